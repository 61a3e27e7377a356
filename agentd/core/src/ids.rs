//! Names of things, one newtype each.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A governed agent on this host: its name, unique among the agents that are not released.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AgentName(pub String);

/// Where an agent lives in the kernel's tables. The serial is never reused, the slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AgentKey {
    /// Index into the kernel's agents table, below 1,024.
    pub slot: u32,
    /// Counts up over the life of the state directory.
    pub serial: u32,
}

/// Index of a rule in its ruleset, from 1; 0 means that no rule matched and the default decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleIndex(pub u32);

/// Names one denied request to a user, for `agentctl explain`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IncidentId(pub String);

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
