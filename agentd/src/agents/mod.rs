//! Agents: from a spec and a target to governed processes, and back.
//!
//! [`compile`] makes rules, [`place`] finds or makes the cgroup, [`registry`] does both and tells the kernel and the
//! store, all or nothing. [`directory`] is what the pipeline reads. Knows no socket and no protocol.

pub mod cgroup;
pub mod compile;
pub mod directory;
pub mod host;
pub mod own;
mod pinned;
mod place;
pub mod registry;
mod scratch;
mod systemd;
mod undo;
pub mod user;

use std::fmt;
use std::path::{Path, PathBuf};

use agentguard_governance::state::State;
use serde::{Deserialize, Serialize};

/// What was put under a spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Target {
    /// A command in a scope or cgroup of its own.
    Run {
        /// Its first process.
        pid: u32,
        /// In the host's cgroup v2 file system.
        cgroup: PathBuf,
        /// The systemd scope; absent if agentd made the cgroup itself, and must remove it.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        scope: Option<String>,
    },
    /// A process and its children, where they are.
    Pid {
        /// The process.
        pid: u32,
        /// Its start as /proc tells it, to know it again.
        start_ticks: u64,
    },
    /// A cgroup that somebody else made.
    Cgroup {
        /// In the host's cgroup v2 file system.
        cgroup: PathBuf,
    },
    /// A systemd unit.
    Unit {
        /// Its name.
        unit: String,
        /// In the host's cgroup v2 file system.
        cgroup: PathBuf,
    },
}

/// Names one spec of one registered agent, also if another agent of its name is registered later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Signed {
    /// Counts the agent's specs.
    pub revision: u32,
    /// When the agent was registered, seconds since 1970.
    pub created_sec: u64,
}

/// The registered agent that a run is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Its name in the register.
    pub name: String,
    /// The state that its rules are of.
    pub state: State,
    /// Which of its specs it was started on.
    #[serde(default)]
    pub signed: Signed,
    /// Its scratch directory, in the sandbox.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scratch: Option<PathBuf>,
}

impl Target {
    /// The cgroup that is governed, if it is one.
    pub fn cgroup(&self) -> Option<&Path> {
        match self {
            Self::Run { cgroup, .. } | Self::Cgroup { cgroup } | Self::Unit { cgroup, .. } => Some(cgroup),
            Self::Pid { .. } => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run { scope: Some(scope), .. } => write!(f, "run {scope}"),
            Self::Run { cgroup, .. } => write!(f, "run {}", cgroup.display()),
            Self::Pid { pid, .. } => write!(f, "pid {pid}"),
            Self::Cgroup { cgroup } => write!(f, "cgroup {}", cgroup.display()),
            Self::Unit { unit, .. } => write!(f, "unit {unit}"),
        }
    }
}
