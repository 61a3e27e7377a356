//! The words of AgentGuard and the pure functions between them.
//!
//! Spec + guardrails -> [`rule::Rule`]s -> [`lower`] -> [`tables::Tables`], which the kernel walks; and
//! [`record::Record`], which says what happened. This crate knows no kernel, no clock, no file and no socket.
#![forbid(unsafe_code)]

pub mod ids;
pub mod operation;
pub mod record;
pub mod rule;
pub mod tables;
pub mod verdict;
