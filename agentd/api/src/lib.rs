//! The local API of agentd: generated messages and a thin client for the unix socket.
#![forbid(unsafe_code)]

/// Generated from `proto/agentd.proto`.
#[allow(missing_docs, unreachable_pub, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("agentguard.v1");
}
