//! Why rules cannot become tables. Every message names the rules and where they are written.

use super::{MAX_RANGES, MAX_RULES, MAX_WORDS};
use crate::address::AddressError;
use crate::pattern::PatternError;
use crate::rule::Rule;

/// How many rules a message names.
const MAX_NAMED: usize = 4;

/// A ruleset that cannot be lowered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LowerError {
    /// More rules than the tables can number.
    #[error("{count} rules for one agent, the limit is {MAX_RULES}; use wider patterns")]
    TooManyRules {
        /// How many there are.
        count: usize,
    },
    /// Rules whose patterns multiply each other.
    #[error(
        "the patterns of {rules} multiply each other to more than {states} states; use fewer wildcards in them"
    )]
    TooManyStates {
        /// The limit that was reached.
        states: usize,
        /// The rules that cost most.
        rules: String,
    },
    /// More than the kernel holds.
    #[error("the rules take {words} words in the kernel, the limit is {MAX_WORDS}; use wider patterns")]
    TooManyWords {
        /// What they would take.
        words: usize,
    },
    /// Port ranges that cut each other too often.
    #[error("{rules} cut the ports of {of} into more than {MAX_RANGES} ranges; use wider ranges")]
    TooManyRanges {
        /// Prefix or name.
        of: String,
        /// Rules on it.
        rules: String,
    },
    /// Not a pattern.
    #[error("{rule}: {error}")]
    Pattern {
        /// The rule.
        rule: String,
        /// What is wrong.
        error: PatternError,
    },
    /// Not a network.
    #[error("{rule}: {error}")]
    Address {
        /// The rule.
        rule: String,
        /// What is wrong.
        error: AddressError,
    },
    /// Anything else that a rule cannot be.
    #[error("{rule}: {message}")]
    Rule {
        /// The rule.
        rule: String,
        /// What is wrong and what to do.
        message: &'static str,
    },
}

/// `file:line: rule id`.
pub(super) fn place(rule: &Rule) -> String {
    format!("{}: rule {}", rule.source, rule.id)
}

/// The first few rules, by id and place.
pub(super) fn places<'r>(rules: impl ExactSizeIterator<Item = &'r Rule>) -> String {
    let more = rules.len().saturating_sub(MAX_NAMED);
    let mut text = rules
        .take(MAX_NAMED)
        .map(|rule| format!("{} ({})", rule.id, rule.source))
        .collect::<Vec<_>>()
        .join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
