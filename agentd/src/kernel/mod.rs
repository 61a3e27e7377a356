//! The boundary to the kernel: everything that agentd asks of it, in the words of agentguard-core.
//!
//! Only this folder names a BPF loader, and only this folder may hold unsafe code. It knows no store, no socket, no
//! policy and no spec; whoever calls it knows no map, no link and no program.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use agentguard_core::ids::AgentKey;
use agentguard_core::spec::Mode;
use agentguard_core::tables::Tables;
use agentguard_core::verdict::Answer;
use serde::{Deserialize, Serialize};

mod arena;
mod canary;
mod cgroups;
mod ebpf;
mod encode;
mod events;
#[cfg(test)]
pub mod fake;
mod holds;
mod hooks;
mod iterate;
mod load;
mod maps;
mod mounts;
mod others;
mod rulesets;
mod statistics;
mod tables;
mod tasks;
mod wire;

pub use ebpf::{Ebpf, LoadOptions};
pub use load::{unload, waiting};
pub use tasks::{descriptor_of, kill, open_process};

/// How decisions are put into effect, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// BPF LSM programs.
    Lsm,
    /// `fmod_ret` programs on `security_*` functions.
    FmodRet,
    /// Cgroup programs and tracepoints: network is blocked, the rest is only seen.
    Tracing,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lsm => "lsm",
            Self::FmodRet => "fmod-ret",
            Self::Tracing => "tracing",
        })
    }
}

/// An executable whose hash agentd has checked, by identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedFile {
    /// The kernel's own encoding: major << 20 | minor.
    pub device: u32,
    /// Inode number.
    pub inode: u64,
    /// ctime, seconds.
    pub changed_sec: i64,
    /// ctime, nanoseconds.
    pub changed_nsec: u32,
    /// What the kernel answers for this file.
    pub answer: Answer,
}

/// Everything that the kernel is told about one agent.
#[derive(Debug, Clone, Copy)]
pub struct AgentRules<'a> {
    /// Whether denied requests fail.
    pub mode: Mode,
    /// Counts the agent's rulesets.
    pub generation: u32,
    /// Rules.
    pub tables: &'a Tables,
    /// DNS servers whose answers are followed.
    pub resolvers: &'a [IpAddr],
    /// Executables granted by hash.
    pub pins: &'a [PinnedFile],
    /// Connections were made under wider rules: each send on one is a request.
    pub asks_each_send: bool,
    /// What the rules were made of.
    pub made_of: MadeOf,
}

/// Hashes of the spec and of the policy that rules were made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MadeOf {
    /// Over the canonical form of the spec.
    pub spec_sha256: [u8; 32],
    /// Over every file of the policy.
    pub policy_sha256: [u8; 32],
}

/// An agent's rules as the kernel has them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inspection {
    /// What they were made of.
    pub made_of: MadeOf,
    /// Where they differ from what they should be, one line each.
    pub differences: Vec<String>,
}

/// Bytes exchanged with one peer since the last look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerBytes {
    /// Whose.
    pub agent: AgentKey,
    /// Peer.
    pub address: IpAddr,
    /// Port of the peer.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u16,
    /// Sent, IP headers included.
    pub sent_bytes: u64,
    /// Received, IP headers included.
    pub received_bytes: u64,
}

/// The kernel programs' own counters. They go on over a restart of agentd.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Events put into the ring.
    pub emitted: u64,
    /// Events that found the ring full.
    pub lost: u64,
    /// Denials.
    pub denied: u64,
    /// Objects whose path could not be told.
    pub unresolved: u64,
    /// Full maps and failed allocations.
    pub no_memory: u64,
    /// Helpers that failed and should not.
    pub helper: u64,
    /// DNS answers that were not followed.
    pub dns_skipped: u64,
    /// Opens without a record of their own: the same process had opened the same file in the same way a moment before.
    pub folded: u64,
    /// Requests that waited.
    pub held: u64,
    /// Times that one of them was asked about again without an answer.
    pub turns: u64,
}

impl Counters {
    /// Each with its name, as metrics and `status` show it.
    pub fn named(&self) -> [(&'static str, u64); 10] {
        [
            ("emitted", self.emitted),
            ("lost", self.lost),
            ("denied", self.denied),
            ("folded", self.folded),
            ("held", self.held),
            ("turns", self.turns),
            ("unresolved", self.unresolved),
            ("no_memory", self.no_memory),
            ("helper", self.helper),
            ("dns_skipped", self.dns_skipped),
        ]
    }
}

/// What is asked, by which agent: equal for the same operation of the same program on the same object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HeldRequest {
    /// The agent.
    pub agent: AgentKey,
    /// The kernel's hash of program, operation and object.
    pub hash: [u64; 2],
}

/// A request that waits in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its number, never used twice.
    pub id: u64,
    /// What is asked.
    pub request: HeldRequest,
    /// Process that waits.
    pub pid: u32,
    /// Its thread that waits.
    pub tid: u32,
    /// Start of the process, nanoseconds after boot.
    pub start_ns: u64,
    /// Since when, nanoseconds after boot.
    pub since_ns: u64,
    /// It wants to start a program.
    pub is_exec: bool,
}

/// An answer to every later request that is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandingAnswer {
    /// Whether they go on.
    pub allow: bool,
    /// Until when, nanoseconds after boot.
    pub expires_ns: u64,
    /// Of the agent's rules: others end it.
    pub generation: u32,
    /// The hold that was answered.
    pub hold: u64,
}

/// What one kernel program did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramStats {
    /// Name of the program.
    pub name: String,
    /// Runs, while statistics were on.
    pub runs: u64,
    /// Nanoseconds in all of them.
    pub ns: u64,
    /// Runs that the kernel skipped.
    pub recursion_misses: u64,
}

/// A table of the kernel programs that can fill up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// As in the sources of the kernel programs.
    pub name: &'static str,
    /// Entries now.
    pub entries: u64,
    /// Entries that it has room for.
    pub capacity: u64,
}

/// Why the kernel did not do what was asked. Messages name the object.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The kernel or the back end can not do this at all.
    #[error("{0}")]
    Unsupported(String),
    /// A table is full; nothing was changed.
    #[error("{0}")]
    Full(String),
    /// The task, cgroup or agent does not exist.
    #[error("{0}")]
    Missing(String),
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// What was tried, on what.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// The kernel programs as agentd uses them. Every method is short and synchronous.
pub trait Kernel: Send + Sync {
    /// The back end that runs.
    fn backend(&self) -> Backend;

    /// One line for each thing that this back end can not enforce.
    fn limits(&self) -> Vec<String>;

    /// Puts an agent's rules into the kernel, or replaces them atomically. All or nothing.
    fn install(&self, agent: AgentKey, rules: &AgentRules<'_>) -> Result<(), KernelError>;

    /// Reads an agent's rules back from the kernel and compares them with what they should be.
    fn inspect(&self, agent: AgentKey, rules: &AgentRules<'_>) -> Result<Inspection, KernelError>;

    /// The agents that have rules in the kernel.
    fn agents(&self) -> Result<Vec<AgentKey>, KernelError>;

    /// Changes the mode of an installed agent.
    fn set_mode(&self, agent: AgentKey, mode: Mode) -> Result<(), KernelError>;

    /// Labels every task in a cgroup and below, now and later.
    fn govern_cgroup(&self, agent: AgentKey, path: &Path) -> Result<(), KernelError>;

    /// Labels a process, its threads and its descendants. Returns how many tasks.
    fn govern_pid(&self, agent: AgentKey, pid: u32) -> Result<u32, KernelError>;

    /// Tasks that enter the cgroup from now on are not labelled. Labels stay.
    fn forget_cgroup(&self, path: &Path) -> Result<(), KernelError>;

    /// Takes an agent's rules away: its tasks are free.
    fn release(&self, agent: AgentKey) -> Result<(), KernelError>;

    /// Takes over from an agentd whose maps had another layout: labels every process of these agents that its programs
    /// governed, then takes its programs away. Returns these processes; none if there was no such agentd.
    ///
    /// # Errors
    /// When one of them could not be labelled: then the programs before stay and go on enforcing.
    fn take_over(&self, agents: &[AgentKey]) -> Result<Vec<u32>, KernelError>;

    /// The label of a process, if it is governed.
    fn label_of(&self, pid: u32) -> Result<Option<AgentKey>, KernelError>;

    /// Process ids of an agent's tasks.
    fn tasks_of(&self, agent: AgentKey) -> Result<Vec<u32>, KernelError>;

    /// Bytes per peer since the last call.
    fn take_peers(&self) -> Result<Vec<PeerBytes>, KernelError>;

    /// Has the kernel record what was read and written through open files since the last call. The records come with
    /// the next events.
    fn report_files(&self) -> Result<(), KernelError>;

    /// Counters.
    fn counters(&self) -> Result<Counters, KernelError>;

    /// Statistics by program.
    fn programs(&self) -> Result<Vec<ProgramStats>, KernelError>;

    /// How full the tables are that can fill up.
    fn tables(&self) -> Vec<Table>;

    /// Proves that the kernel path denies: true if an operation that must be denied was.
    fn canary(&self) -> Result<bool, KernelError>;

    /// Waits for events, at most `timeout`, and hands each raw record to `sink`. Called by one thread only.
    fn next_events(&self, timeout: Duration, sink: &mut dyn FnMut(&[u8])) -> Result<(), KernelError>;

    /// Waits until a request is held, at most `timeout`. Called by the same thread.
    fn rest(&self, timeout: Duration) -> Result<(), KernelError>;

    /// Requests that wait.
    fn held(&self) -> Result<Vec<Held>, KernelError>;

    /// One of them, if it still waits.
    fn held_request(&self, id: u64) -> Result<Option<Held>, KernelError>;

    /// Answers a request that waits. False if it does not wait any more.
    fn answer(&self, id: u64, allow: bool) -> Result<bool, KernelError>;

    /// Answers every later request that is the same.
    fn stand(&self, request: &HeldRequest, answer: StandingAnswer) -> Result<(), KernelError>;

    /// The answers that stand, also those that expired.
    fn standing(&self) -> Result<Vec<(HeldRequest, StandingAnswer)>, KernelError>;

    /// Takes a standing answer back.
    fn revoke(&self, request: &HeldRequest) -> Result<(), KernelError>;
}
