//! Governance: what makes an agent one that may start.
//!
//! ```text
//! spec + policy ─▶ promotion (policy says yes) ─▶ proof: both hashes, signed ─▶ admission, at every start ─▶ kernel rules
//! ```
//!
//! [`state`] says what may become of an agent, [`proof`] what is signed, [`keys`] by whom, [`admission`] whether all of it
//! still holds, and [`register`] keeps it as files. This crate knows no kernel, no daemon, no policy language and no clock:
//! the caller says what time it is and which policy is in force.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod admission;
pub mod budget;
pub mod files;
pub mod keys;
pub mod proof;
pub mod register;
pub mod state;
