//! The words of AgentGuard and the pure functions between them.
//!
//! Spec + guardrails -> [`rule::Rule`]s -> [`lower`] -> [`tables::Tables`], which the kernel walks; and
//! [`record::Record`], which says what happened. This crate knows no kernel, no clock, no file and no socket.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::unreachable
    )
)]

pub mod address;
pub mod approval;
pub mod automaton;
pub mod canonical;
pub mod capability;
pub mod containment;
pub mod decide;
pub mod held;
pub mod ids;
mod lower;
pub mod operation;
pub mod pattern;
mod precedence;
pub mod record;
pub mod rule;
pub mod spec;
mod suggest;
pub mod tables;
pub mod verdict;

pub use lower::{LowerError, MAX_RANGES, MAX_RULES, MAX_WORDS, lower, lower_compact};
