//! The audit log of a host: what was decided, by whom, in an order that cannot be changed unnoticed.
//!
//! [`AuditLog`] appends records to a chain of hashes and signs it now and then; [`verify`](verify::verify) reads all
//! of it and says what was changed, removed, moved or added; [`read`] finds records; [`controls`] says which of them
//! are evidence for which control of NIST 800-53, ISO/IEC 27001 and OWASP.
//!
//! This crate knows no keys ([`Signer`] and [`Verifier`] are the caller's), no clock (every time is handed in), and
//! not what a record means. One process writes a log; any number may read it.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod codes;
pub mod controls;
mod end;
mod error;
mod files;
mod head;
mod lines;
mod log;
pub mod read;
mod record;
mod sign;
pub mod verify;

pub use codes::Code;
pub use error::AuditError;
pub use head::HEAD_FILE;
pub use log::{AuditLog, DAY_NS, Fsync, Options};
pub use record::{AuditRecord, Entry, Kind, MAX_LINE, Receipt};
pub use sign::{SignError, Signer, Verdict, Verifier};

#[cfg(test)]
mod tests;
