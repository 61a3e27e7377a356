//! Makes specs for new agents, one module per way of making them.
//!
//! Text, answers or records in; a commented spec and what its author should look at out. This crate opens no file,
//! asks no clock, knows no daemon: the caller reads and writes. Whatever it makes is a spec that
//! [`agentguard_core::spec::Spec::parse`] takes, for the sandbox: enforced, no external calls, no persistent writes.
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

mod base;
pub mod clone;
pub mod conversation;
mod draft;
mod edit;
mod error;
pub mod event;
mod identity;
pub mod import;
mod list;
mod program;
mod render;
pub mod scratch;
mod spec_draft;
pub mod template;
mod text;
pub mod workflow;

pub use draft::{Draft, Note, NoteKind};
pub use error::AuthoringError;
pub use identity::{Identity, temperature_limit};
pub use list::{Entry, List};
pub use spec_draft::{
    Anatomy, Containment, ExecPart, FilesPart, NetworkPart, ProcessPart, SpecDraft, UnixPart, Variable,
};

/// A text and the name of the file that it was read from, for messages.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// As the user named it.
    pub file: &'a str,
    /// The whole text.
    pub text: &'a str,
}
