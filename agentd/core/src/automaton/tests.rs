//! The automaton against the patterns it was made of, and its sizes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::tables::{Automaton, Row};
use crate::verdict::{Answer, Verdict};

/// Builds with one row per set of tags; gives the tags of each row.
fn built(texts: &[String]) -> (Automaton, Vec<Vec<u32>>) {
    let patterns: Vec<Pattern> =
        texts.iter().map(|text| Pattern::parse(text).unwrap_or_else(|error| panic!("{error}"))).collect();
    let entries: Vec<Entry<'_>> =
        (0..).zip(&patterns).map(|(tag, pattern)| Entry { pattern, tag, tail: tag }).collect();
    let mut rows: BTreeMap<Vec<u32>, u32> = BTreeMap::from([(Vec::new(), 0)]);
    let built = build(&entries, Limits { states: MAX_STATES }, |tags| {
        let next = u32::try_from(rows.len()).expect("few rows");
        *rows.entry(tags.to_vec()).or_insert(next)
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let row = Row {
        seen: [Answer::default_of(Verdict::Deny); 12],
        elsewhere: [Answer::default_of(Verdict::Allow); 12],
    };
    let automaton = Automaton {
        start: built.start,
        classes: built.classes,
        states: built.states,
        comb: built.comb,
        rows: vec![row; rows.len()],
    };
    let mut tags = vec![Vec::new(); rows.len()];
    for (set, row) in rows {
        tags[row as usize] = set;
    }
    (automaton, tags)
}

fn matched(automaton: &Automaton, rows: &[Vec<u32>], text: &str) -> Vec<u32> {
    rows[automaton.row_number(text.as_bytes()).expect("sound tables") as usize].clone()
}

fn texts(patterns: &[&str]) -> Vec<String> {
    patterns.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn each_text_ends_in_the_row_of_the_patterns_that_match_it() {
    let (automaton, rows) =
        built(&texts(&["/srv/**", "/srv/*", "**/*.pem", "/srv/{a,b}/**/c", "@x*", "argv:rm *"]));
    for (text, tags) in [
        ("/srv", &[][..]),
        ("/srv/a", &[0, 1]),
        ("/srv/a/b", &[0]),
        ("/srv/a/c", &[0, 3]),
        ("/srv/a/x/y/c", &[0, 3]),
        ("/srv/k.pem", &[0, 1, 2]),
        ("/k.pem", &[2]),
        ("@xyz", &[4]),
        ("argv:rm -rf /a.pem", &[2, 5]),
        ("", &[]),
    ] {
        assert_eq!(matched(&automaton, &rows, text), tags, "{text}");
    }
}

#[test]
fn every_cell_that_a_walk_can_ask_for_is_inside_the_comb() {
    let (automaton, _) = built(&texts(&["/a[a-m]/**", "/{x,y,z}*/q?", "**/*.key"]));
    let classes = usize::from(automaton.classes.iter().copied().max().expect("256 classes")) + 1;
    for state in &automaton.states {
        assert!(state.base as usize + classes <= automaton.comb.len());
        assert!((state.otherwise as usize) < automaton.states.len());
        assert!((state.row as usize) < automaton.rows.len());
    }
    for edge in automaton.comb.iter().filter(|edge| edge.owner != u32::MAX) {
        assert!(
            (edge.owner as usize) < automaton.states.len() && (edge.next as usize) < automaton.states.len()
        );
    }
}

#[test]
fn no_patterns_make_one_state() {
    let (automaton, rows) = built(&[]);
    assert_eq!(automaton.states.len(), 1);
    assert_eq!(matched(&automaton, &rows, "/x"), [0_u32; 0]);
}

#[test]
fn equal_states_are_one() {
    let (one, _) = built(&texts(&["/a/{b,c,d}/e"]));
    let (other, _) = built(&texts(&["/a/[b-d]/e"]));
    assert_eq!(one.states.len(), other.states.len());
}

#[test]
fn patterns_that_multiply_are_refused_by_name() {
    let mut all = vec!["/etc/**".to_owned()];
    all.push(format!("**a{}", "?".repeat(30)));
    let patterns: Vec<Pattern> = all.iter().map(|text| Pattern::parse(text).expect("pattern")).collect();
    let entries: Vec<Entry<'_>> =
        (0..).zip(&patterns).map(|(tag, pattern)| Entry { pattern, tag, tail: tag }).collect();
    let error = build(&entries, Limits { states: 20_000 }, |tags| u32::from(!tags.is_empty()))
        .map(|_| ())
        .expect_err("too large");
    assert_eq!(error.states, 20_000);
    assert_eq!(error.tags.first(), Some(&1));
}

#[test]
fn tails_that_are_shared_accept_the_first_tag() {
    let patterns: Vec<Pattern> =
        ["/a/**", "/b/**"].iter().map(|text| Pattern::parse(text).expect("pattern")).collect();
    let entries: Vec<Entry<'_>> =
        (0..).zip(&patterns).map(|(tag, pattern)| Entry { pattern, tag, tail: 7 }).collect();
    let mut seen = Vec::new();
    build(&entries, Limits { states: 100 }, |tags| {
        seen.push(tags.to_vec());
        u32::from(!tags.is_empty())
    })
    .expect("small");
    seen.sort();
    seen.dedup();
    assert_eq!(seen, [vec![], vec![0]]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn agrees_with_matching_each_pattern_alone(
        texts in proptest::collection::vec(
            "(/|\\*\\*|@|argv:)(/|a|b|\\*|\\*\\*/|\\?|\\[ab\\]|\\[!a\\]|\\{a,/b\\}|\\{,\\*b\\}|\\*\\*){0,5}", 1..6),
        objects in proptest::collection::vec("(/|@|argv:)[abc/]{0,8}", 1..12),
    ) {
        let texts: Vec<String> = texts.into_iter().filter(|text| Pattern::parse(text).is_ok()).collect();
        let (automaton, rows) = built(&texts);
        for object in objects {
            let wanted: Vec<u32> = (0..).zip(&texts)
                .filter(|(_, text)| Pattern::parse(text).is_ok_and(|pattern| pattern.matches(object.as_bytes())))
                .map(|(tag, _)| tag).collect();
            prop_assert_eq!(matched(&automaton, &rows, &object), wanted, "{:?} on {}", texts, object);
        }
    }
}
