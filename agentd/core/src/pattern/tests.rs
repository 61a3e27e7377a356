//! What patterns mean, case by case, and that the matcher agrees with plain backtracking.

use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Plain backtracking, slow and obvious: the yardstick for everything else.
pub(crate) fn backtracks(nodes: &[Node], text: &[u8], then: &dyn Fn(&[u8]) -> bool) -> bool {
    let Some((first, rest)) = nodes.split_first() else { return then(text) };
    let onward = |text: &[u8]| backtracks(rest, text, then);
    match first {
        Node::Byte(wanted) => text.split_first().is_some_and(|(byte, text)| byte == wanted && onward(text)),
        Node::Class(set) => {
            text.split_first().is_some_and(|(byte, text)| set.contains(*byte) && onward(text))
        }
        Node::Star => (0..=text.len()).any(|n| !text[..n].contains(&b'/') && onward(&text[n..])),
        Node::Any => (0..=text.len()).any(|n| onward(&text[n..])),
        Node::Gap => (0..=text.len()).any(|n| (n == 0 || text[n - 1] == b'/') && onward(&text[n..])),
        Node::Group(branches) => branches.iter().any(|branch| backtracks(branch, text, &onward)),
    }
}

#[test]
fn patterns_match_what_the_reference_says() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("/etc/passwd", &["/etc/passwd"], &["/etc/passwd2", "/etc", "/etc/passwd/"]),
        ("/", &["/"], &["/etc", ""]),
        ("/**", &["/", "/etc", "/etc/passwd"], &["", "@x", "argv:ls"]),
        ("/srv/**", &["/srv/a", "/srv/a/b", "/srv/.x"], &["/srv", "/srvx", "/srv2/a"]),
        ("/srv/*", &["/srv/a", "/srv/.x"], &["/srv/a/b", "/srv"]),
        ("/srv/**/b", &["/srv/b", "/srv/a/b", "/srv/a/c/b"], &["/srvb", "/srv/ab", "/srv/b/c"]),
        ("/a/**/**/b", &["/a/b", "/a/x/b", "/a/x/y/b"], &["/ab", "/a/xb"]),
        ("**/*.pem", &["/a.pem", "/x/y/a.pem", "/.pem"], &["a.pem", "/a.pem/b", "/a.pemx"]),
        ("**.pem", &["/a.pem", "/a/b.pem"], &["/a.pem2"]),
        ("/home/*/.ssh/**", &["/home/u/.ssh/id"], &["/home/u/.ssh", "/home/u/v/.ssh/id", "/home/.ssh/id/x"]),
        ("/dev/tty?", &["/dev/tty1"], &["/dev/tty", "/dev/tty10", "/dev/tty/"]),
        ("/x[a-c]", &["/xa", "/xc"], &["/xd", "/x", "/x/"]),
        ("/x[!a-c]", &["/xd", "/x!"], &["/xa", "/x/", "/x"]),
        ("/x[]", &[], &[]),
        ("/x[a-]", &["/xa", "/x-"], &["/xb"]),
        ("/x[\\]]", &["/x]"], &["/x\\"]),
        ("/{a,bc}/d", &["/a/d", "/bc/d"], &["/b/d", "/abc/d"]),
        ("/x{,.bak}", &["/x", "/x.bak"], &["/x."]),
        ("/{a,{b,c}d,**/e}", &["/a", "/bd", "/cd", "/x/y/e"], &["/d", "/ae"]),
        ("/a\\*b", &["/a*b"], &["/axb", "/a\\*b"]),
        ("/a,b", &["/a,b"], &["/a", "/b"]),
        ("@abs*", &["@abs", "@abstract"], &["/abs", "@abs/x"]),
        ("argv:rm -rf /*", &["argv:rm -rf /", "argv:rm -rf /home/x"], &["argv:rm -r", "rm -rf /"]),
        ("argv:?dd*", &["argv:/dd", "argv:xdd if=/dev/zero"], &["argv:dd"]),
        ("dns:*.example.com", &["dns:a.example.com", "dns:a.b.example.com"], &["dns:example.com"]),
        ("/é?", &["/éx"], &["/é", "/e\u{301}x"]),
    ];
    for (text, yes, no) in cases {
        if *text == "/x[]" {
            assert!(Pattern::parse(text).is_err());
            continue;
        }
        let pattern = pattern(text);
        for hit in *yes {
            assert!(pattern.matches(hit.as_bytes()), "{text} must match {hit}");
        }
        for miss in *no {
            assert!(!pattern.matches(miss.as_bytes()), "{text} must not match {miss}");
        }
    }
}

#[test]
fn bad_patterns_say_what_is_wrong() {
    for (text, part) in [
        ("", "empty"),
        ("etc/passwd", "not a path from `/`"),
        ("*", "not a path from `/`"),
        ("~/x", "not a path from `/`"),
        ("/etc/", "write `/etc` or `/etc/**`"),
        ("/etc//x", "can never match"),
        ("/etc/../x", "can never match"),
        ("/etc/./x", "can never match"),
        ("/etc/..", "can never match"),
        ("//", "can never match"),
        ("/a{b", "never closed"),
        ("/a}b", "closes nothing"),
        ("/a[b", "never closed"),
        ("/a[b-", "never closed"),
        ("/a[]b", "matches nothing"),
        ("/a[!", "never closed"),
        ("/a[z-a]", "ends before it starts"),
        ("/a[é]", "several bytes"),
        ("/a\\", "ends in `\\`"),
        ("/a/***", "more than two stars"),
        ("/a\0b", "NUL"),
        ("/{{{{{a}}}}}", "nest deeper"),
    ] {
        let error = Pattern::parse(text).map(|_| ()).expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {error}");
        assert!(!error.contains('\n'));
    }
    assert_eq!(Pattern::parse(&format!("/{}", "a".repeat(4096))), Err(PatternError::TooLong(4097)));
}

#[test]
fn the_more_specific_pattern_is_the_greater() {
    for (more, less) in [
        ("/srv/a/**", "/srv/**"),
        ("/srv/a", "/srv/*"),
        ("/srv/**", "**/*.pem"),
        ("/srv/*/secret", "/srv/*"),
        ("/srv/*", "/srv/*?"),
        ("/srv/a", "/srv/{a,b}"),
        ("/srv/{a,b}", "/srv/**"),
        ("**/id_rsa", "**/*.p"),
    ] {
        let (more_is, less_is) = (pattern(more).specificity(), pattern(less).specificity());
        if more == "/srv/{a,b}" {
            assert!(more_is >= less_is);
        } else {
            assert!(more_is > less_is, "{more} over {less}");
        }
    }
    assert_eq!(pattern("/srv/*").specificity(), pattern("/srv/**").specificity());
}

#[test]
fn an_escaped_text_matches_only_itself() {
    for text in ["/a*", "/a[b]", "/{x,y}", "/back\\slash", "/q?"] {
        let escaped = pattern(&Pattern::escape(text));
        assert_eq!(escaped.literal(), Some(text.as_bytes()));
        assert!(escaped.matches(text.as_bytes()) && !escaped.matches(b"/ab"));
    }
}

#[test]
fn a_hostile_pattern_is_matched_in_bounded_time() {
    let many = format!("/{}b", "*a".repeat(1000));
    assert!(!pattern(&many).matches(format!("/{}", "a".repeat(2000)).as_bytes()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_backtracking(
        text in "(/|\\*\\*|@|argv:)(/|a|b|\\*|\\*\\*/|\\?|\\[ab\\]|\\[!a\\]|\\{a,/b\\}|\\{,\\*b\\}){0,6}",
        objects in proptest::collection::vec("(/|@|argv:)[ab/]{0,8}", 1..8),
    ) {
        if let Ok(pattern) = Pattern::parse(&text) {
            for object in objects {
                let wanted = backtracks(pattern.nodes(), object.as_bytes(), &|rest| rest.is_empty());
                prop_assert_eq!(pattern.matches(object.as_bytes()), wanted, "{} on {}", text, object);
            }
        }
    }

    #[test]
    fn reading_never_panics(text in "\\PC{0,40}|[\\[\\]{}*?,\\\\/a!-]{0,20}") {
        let _ = Pattern::parse(&text);
    }
}
