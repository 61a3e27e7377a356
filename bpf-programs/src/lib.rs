//! The kernel programs of AgentGuard and the types that cross between them and agentd, generated from the C
//! sources through BTF.
//!
//! Only `agentd/src/kernel` loads them; `agentd/src/sense` reads their records.

#[allow(missing_docs, unreachable_pub, non_camel_case_types, clippy::all, clippy::pedantic)]
mod skeleton {
    include!(concat!(env!("OUT_DIR"), "/agentguard.skel.rs"));
}

pub use skeleton::*;

/// Names the layout of the maps: 12 hexadecimal digits over their declarations (`maps.h`) and the types in them (`wire.h`).
/// Maps of another layout must not be used.
pub const LAYOUT: &str = env!("AGENTGUARD_LAYOUT");
