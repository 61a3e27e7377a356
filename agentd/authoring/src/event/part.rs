//! One name in a path: which of its letters would be others in the next run.

use agentguard_core::pattern::Pattern;

/// Letters of a UUID, with where its hyphens are.
const UUID_BYTES: usize = 36;
const UUID_HYPHENS: [usize; 4] = [8, 13, 18, 23];
/// A run of so many hex digits is a hash.
const HASH_DIGITS: usize = 16;
/// A short one only behind a hyphen or point, as build tools append it.
const SHORT_HASH_DIGITS: usize = 8;
/// A run of so many digits is a time or a serial number.
const LONG_NUMBER_DIGITS: usize = 8;
/// What mkstemp and its like replace.
const RANDOM_LETTERS: usize = 6;
/// What programs put before random letters.
const TEMPORARY_PREFIXES: [&str; 6] = ["tmp", "temp", "cc", "rustc", "pip", "npm"];

/// Where a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Below `/proc`: numbers are processes.
    Process,
    /// In a directory for temporary files.
    Temporary,
    /// In a directory of libraries: versions and architectures change.
    Library,
    /// Anywhere else.
    Plain,
}

/// The name as a pattern. What is random becomes as many `?`, so that nothing of another length is granted.
pub(super) fn pattern(name: &str, kind: Kind) -> String {
    match kind {
        Kind::Process if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) => {
            "[0-9]*".to_owned()
        }
        Kind::Process => Pattern::escape(name),
        Kind::Library => library(name).unwrap_or_else(|| Pattern::escape(name)),
        Kind::Temporary | Kind::Plain => runs(name, kind == Kind::Temporary),
    }
}

fn library(name: &str) -> Option<String> {
    if let Some((stem, _)) = name.split_once(".so.") {
        return Some(format!("{}.so*", Pattern::escape(stem)));
    }
    if name.ends_with("-linux-gnu") {
        return Some("*-linux-gnu".to_owned());
    }
    let minor = name.strip_prefix("python3.")?;
    minor.bytes().all(|byte| byte.is_ascii_digit()).then(|| "python3.*".to_owned())
}

/// Replaces the random ones among the runs of letters and digits.
fn runs(name: &str, temporary: bool) -> String {
    let mut pattern = String::new();
    let mut rest = name;
    let mut before = None;
    while let Some(first) = rest.chars().next() {
        if let Some((uuid, after)) = rest.split_at_checked(UUID_BYTES).filter(|(head, _)| is_uuid(head)) {
            pattern.extend(uuid.chars().map(|letter| if letter == '-' { '-' } else { '?' }));
            (rest, before) = (after, None);
            continue;
        }
        let length = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let (run, after) = rest.split_at_checked(length.max(first.len_utf8())).unwrap_or((rest, ""));
        pattern.push_str(&if length == 0 {
            Pattern::escape(run)
        } else {
            run_pattern(run, before, temporary)
        });
        before = run.chars().next_back();
        rest = after;
    }
    pattern
}

fn run_pattern(run: &str, before: Option<char>, temporary: bool) -> String {
    let digits = run.bytes().filter(u8::is_ascii_digit).count();
    let hex = run.bytes().all(|byte| byte.is_ascii_hexdigit());
    let random = || "?".repeat(run.len());
    if digits == run.len() {
        return if digits >= LONG_NUMBER_DIGITS { "[0-9]*".to_owned() } else { run.to_owned() };
    }
    if hex && digits > 0 && run.len() >= HASH_DIGITS {
        return random();
    }
    let appended = matches!(before, Some('-' | '.'));
    if hex && appended && run.len() >= SHORT_HASH_DIGITS && digits > 1 && run.len() - digits > 1 {
        return random();
    }
    if !temporary {
        return run.to_owned();
    }
    for prefix in TEMPORARY_PREFIXES {
        if let Some(rest) = run.strip_prefix(prefix).filter(|rest| rest.len() >= RANDOM_LETTERS) {
            return format!("{prefix}{}", "?".repeat(rest.len()));
        }
    }
    if run.len() >= RANDOM_LETTERS && is_mixed(run) { random() } else { run.to_owned() }
}

/// Whether letters of two kinds are mixed, as in no word.
fn is_mixed(run: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| usize::from(run.bytes().any(|byte| kind(&byte)));
    let upper_behind = run.bytes().skip(1).any(|byte| byte.is_ascii_uppercase());
    has(u8::is_ascii_lowercase) + usize::from(upper_behind) + has(u8::is_ascii_digit) > 1
}

fn is_uuid(text: &str) -> bool {
    text.bytes()
        .enumerate()
        .all(|(at, byte)| if UUID_HYPHENS.contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_random_becomes_wildcards_of_the_same_length() {
        for (name, kind, wanted) in [
            ("tmpab12cd", Kind::Temporary, "tmp??????"),
            ("ccAbCdEf.s", Kind::Temporary, "cc??????.s"),
            ("tmp_x8k2lq9", Kind::Temporary, "tmp_???????"),
            ("readme.txt", Kind::Temporary, "readme.txt"),
            ("tmpab12cd", Kind::Plain, "tmpab12cd"),
            ("550e8400-e29b-41d4-a716-446655440000", Kind::Plain, "????????-????-????-????-????????????"),
            ("deadbeefdeadbeef01", Kind::Plain, "??????????????????"),
            ("libfoo-1a2b3c4d5e.rlib", Kind::Plain, "libfoo-??????????.rlib"),
            ("log-1700000000.txt", Kind::Plain, "log-[0-9]*.txt"),
            ("v12", Kind::Plain, "v12"),
            ("a*b", Kind::Plain, "a\\*b"),
            ("4711", Kind::Process, "[0-9]*"),
            ("status", Kind::Process, "status"),
            ("libc.so.6", Kind::Library, "libc.so*"),
            ("x86_64-linux-gnu", Kind::Library, "*-linux-gnu"),
            ("python3.11", Kind::Library, "python3.*"),
            ("libé.so.1", Kind::Library, "libé.so*"),
        ] {
            assert_eq!(pattern(name, kind), wanted, "{name}");
            let whole = Pattern::parse(&format!("/{}", pattern(name, kind))).expect("pattern");
            assert!(whole.matches(format!("/{name}").as_bytes()), "{name}");
        }
    }
}
