//! Policy: Rego packs, what anyone may be allowed.
//!
//! files -> [`PolicySet`] -> guardrails ([`agentguard_core::rule::Rule`]) when an agent starts or policy changes,
//! findings when a record deserves a second look, and refusals when an agent is to be promoted. Around it: [`testing`] runs the packs' own tests,
//! [`history`] keeps the versions that were in force, [`diff`] says what changed.
//!
//! A set loads whole or not at all: a rule that cannot be evaluated is an error of the set, never a rule that is
//! skipped. This crate knows no kernel, no daemon and no clock.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod decision;
pub mod diff;
mod engine;
mod error;
mod files;
mod finding;
mod guardrail;
pub mod history;
mod input;
mod outline;
mod packs;
mod references;
pub mod refusal;
mod sample;
mod set;
pub mod testing;

pub use engine::PreparedInput;
pub use error::{PolicyError, PolicyErrors};
pub use files::{PolicyFiles, Version};
pub use finding::Finding;
pub use input::{
    Actor, AgentFacts, HeldFacts, HostFacts, Input, Interface, PromotionAction, PromotionFacts, Recent,
    RequestFacts, UNREGISTERED, WantedFacts,
};
pub use refusal::Refusal;
pub use set::PolicySet;
