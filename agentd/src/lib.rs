//! agentd: the daemon of one host.
//!
//! ```text
//! kernel -> sense -> enrich -> decide -> act -> record -> export      pipeline.rs
//!               spec + policy -> governance -> agents -> kernel        governance/ agents/
//!                            control (gRPC on a unix socket)           control/
//! ```
//!
//! [`start`] wires it. Only [`kernel`] names a BPF loader or holds unsafe code.
#![deny(unsafe_code)]

#[forbid(unsafe_code)]
pub mod act;
#[forbid(unsafe_code)]
pub mod agents;
#[forbid(unsafe_code)]
pub mod audit;
#[forbid(unsafe_code)]
pub mod bounded;
#[forbid(unsafe_code)]
pub mod clock;
#[forbid(unsafe_code)]
pub mod config;
#[forbid(unsafe_code)]
pub mod control;
#[forbid(unsafe_code)]
pub mod decide;
#[forbid(unsafe_code)]
pub mod enrich;
#[forbid(unsafe_code)]
pub mod export;
#[forbid(unsafe_code)]
pub mod governance;
#[forbid(unsafe_code)]
pub mod health;
#[forbid(unsafe_code)]
pub mod holds;
#[forbid(unsafe_code)]
pub mod http;
#[forbid(unsafe_code)]
pub mod journal;
#[allow(unsafe_code)]
pub mod kernel;
#[forbid(unsafe_code)]
pub mod log_limit;
pub mod logging;
#[forbid(unsafe_code)]
pub mod notify;
#[forbid(unsafe_code)]
pub mod pipeline;
#[forbid(unsafe_code)]
pub mod policy;
#[forbid(unsafe_code)]
pub mod privileges;
#[forbid(unsafe_code)]
pub mod record;
#[forbid(unsafe_code)]
pub mod sense;
#[forbid(unsafe_code)]
pub mod start;
#[cfg(test)]
mod testing;
