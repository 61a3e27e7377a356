//! The local API of agentd: generated messages, the JSON documents that travel in them, and a thin client.
//!
//! Knows no store and no kernel. Both sides use these types, so the schema that users see is written once:
//! [`report`] here, and [`agentguard_core::record::Record`].
#![forbid(unsafe_code)]

mod client;
pub mod report;

pub use client::{Client, ClientError, Documents, Verbatim};

/// Where agentd listens unless its configuration says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/agentguard/agentd.sock";

/// Members may read, and may run or enroll their own processes.
pub const GROUP: &str = "agentguard";

/// Largest message either way: a policy tree by content, or a rich explanation, fits many times over.
pub const MAX_MESSAGE_BYTES: usize = 8 << 20;

/// Generated from `proto/agentd.proto`.
#[allow(missing_docs, unreachable_pub, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("agentguard.v1");
}
