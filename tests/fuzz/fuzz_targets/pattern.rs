//! Any lines as patterns and a text: the automaton and each pattern alone must say the same.
//!
//! The last line is the text, the lines before it are patterns.
#![no_main]

use std::collections::HashMap;

use agentguard_core::automaton::{Entry, Limits, build};
use agentguard_core::pattern::Pattern;
use agentguard_core::tables::Automaton;
use libfuzzer_sys::fuzz_target;

/// Enough to meet each other, few enough to be fast.
const MAX_PATTERNS: usize = 6;
/// Longer texts only make a run slower.
const MAX_TEXT_BYTES: usize = 256;
/// Patterns that multiply to more are refused, which is fine.
const LIMITS: Limits = Limits { states: 4_000 };

fuzz_target!(|input: &[u8]| {
    let mut lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let Some(text) = lines.pop() else { return };
    let text = text.get(..MAX_TEXT_BYTES).unwrap_or(text);
    let patterns: Vec<Pattern> = lines
        .into_iter()
        .filter(|line| line.len() <= MAX_TEXT_BYTES)
        .filter_map(|line| Pattern::parse(std::str::from_utf8(line).ok()?).ok())
        .take(MAX_PATTERNS)
        .collect();
    let entries: Vec<Entry<'_>> =
        (0..).zip(&patterns).map(|(tag, pattern)| Entry { pattern, tag, tail: tag }).collect();
    let mut numbers: HashMap<Vec<u32>, u32> = HashMap::from([(Vec::new(), 0)]);
    let built = build(&entries, LIMITS, |tags| {
        let next = numbers.len() as u32;
        *numbers.entry(tags.to_vec()).or_insert(next)
    });
    let Ok(built) = built else { return };
    let automaton = Automaton {
        start: built.start,
        classes: built.classes,
        states: built.states,
        comb: built.comb,
        rows: Vec::new(),
    };
    let wanted: Vec<u32> =
        (0..).zip(&patterns).filter(|(_, pattern)| pattern.matches(text)).map(|(tag, _)| tag).collect();
    let number = automaton.row_number(text).expect("a built automaton is sound");
    let found = numbers.iter().find(|(_, own)| **own == number).map(|(tags, _)| tags.clone());
    assert_eq!(found, Some(wanted), "{patterns:?} on {text:?}");
});
