//! Many patterns become one comb-compressed DFA, so that matching costs the length of the text and not the number
//! of patterns.
//!
//! patterns -> `nfa` (shared prefixes are one) -> `subset` (DFA, sparse) -> `minimise` -> `comb`. Knows no
//! rules and no verdicts: a pattern has a tag, and what a set of matching tags means ("row") is for the caller.

mod classes;
mod comb;
mod minimise;
mod nfa;
mod subset;

use crate::pattern::Pattern;
use crate::tables::{Edge, State};

/// Most states of one DFA. Reached only by patterns that multiply each other.
pub const MAX_STATES: usize = 1_000_000;
/// Most states before patterns are combined: bounds memory for absurdly many long patterns.
const MAX_NFA_STATES: usize = 4_000_000;
/// Most members of all state sets together, 64 MiB.
const MAX_SET_MEMBERS: usize = 1 << 24;
/// Most steps of building, some seconds.
const MAX_STEPS: u64 = 400_000_000;
/// Beyond this many states, making the DFA minimal costs more time than it saves memory.
const MAX_MINIMISED_STATES: usize = 200_000;
/// How many tags an error names.
const MAX_OFFENDERS: usize = 3;

/// A pattern and what stands for it in the accepting sets.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'p> {
    /// The pattern.
    pub pattern: &'p Pattern,
    /// Given to the caller when the pattern matches.
    pub tag: u32,
    /// Patterns that end in `**` may share what follows: those with the same number here do, and matching any
    /// of them accepts the tag of the first. Otherwise a number of its own.
    pub tail: u32,
}

/// Limits and how far to go, so that a caller may try with less first.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most states.
    pub states: usize,
}

/// The patterns multiply each other beyond a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the patterns need more than {states} states together")]
pub struct TooLarge {
    /// The limit that was reached, in states or what they amount to.
    pub states: usize,
    /// Tags of the patterns that take most of them.
    pub tags: Vec<u32>,
}

/// What is built, all but the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// First state.
    pub start: u32,
    /// Byte to class.
    pub classes: [u8; 256],
    /// States.
    pub states: Vec<State>,
    /// Transitions.
    pub comb: Vec<Edge>,
}

/// Builds the automaton. `row_of` turns the sorted tags of the patterns that match into the number of a row;
/// no tags must be row 0.
pub fn build(
    entries: &[Entry<'_>],
    limits: Limits,
    row_of: impl FnMut(&[u32]) -> u32,
) -> Result<Built, TooLarge> {
    let nfa = nfa::Nfa::build(entries)
        .ok_or_else(|| TooLarge { states: MAX_NFA_STATES, tags: longest(entries) })?;
    let classes = classes::Classes::of(&nfa);
    let dfa = subset::determinise(&nfa, &classes, limits.states.min(MAX_STATES), row_of)?;
    let dfa = if dfa.len() <= MAX_MINIMISED_STATES { minimise::minimise(&dfa) } else { dfa };
    let packed = comb::pack(&dfa, classes.count());
    Ok(Built { start: dfa.start, classes: classes.of_byte, states: packed.states, comb: packed.comb })
}

fn longest(entries: &[Entry<'_>]) -> Vec<u32> {
    let mut lengths: Vec<(usize, u32)> =
        entries.iter().map(|entry| (entry.pattern.as_str().len(), entry.tag)).collect();
    lengths.sort_unstable_by(|left, right| right.cmp(left));
    lengths.into_iter().take(MAX_OFFENDERS).map(|(_, tag)| tag).collect()
}

#[cfg(test)]
mod tests;
