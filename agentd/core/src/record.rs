//! What is written down: one record per request, with its decision. This is the schema of `-o ndjson`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::ids::{AgentName, IncidentId};
use crate::operation::Operation;
use crate::rule::Source;
use crate::verdict::{Layer, Reason, Severity, Verdict};

/// One recorded request or event of a governed process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Row number in the store; 0 before it is stored.
    pub seq: u64,
    /// Wall clock, nanoseconds since 1970.
    pub time_ns: u64,
    /// Only for denied requests (also those that observe mode would have denied).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub incident: Option<IncidentId>,
    /// The agent.
    pub agent: AgentName,
    /// The process.
    pub process: Process,
    /// What was asked, as the call: `open`, `rename`, `connect`, `exec`, …
    pub call: String,
    /// What was asked, as rules see it; absent for plain events (fork, exit, byte counts).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operation: Option<Operation>,
    /// On what.
    pub object: Object,
    /// What was decided.
    pub decision: Decision,
    /// What policy finds worth a second look, although it did not decide: command lines, byte counts, connections.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub findings: Vec<Finding>,
}

/// What policy says about a request after it was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Rule id: `<pack>.<id>`.
    pub id: String,
    /// How bad.
    pub severity: Severity,
    /// The rule's own words.
    pub reason: String,
    /// Where the rule is written, if that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<Source>,
}

/// A process, named by pid and start time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Start, nanoseconds after boot.
    pub start_ns: u64,
    /// Parent's process id.
    pub parent_pid: u32,
    /// Parent's start.
    pub parent_start_ns: u64,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The kernel's short name of the thread. Never used to decide.
    pub comm: String,
    /// Path of the executable, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exe: Option<String>,
}

/// What an operation was on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Object {
    /// A file or unix socket.
    File {
        /// Path in the mount namespace of the task.
        path: String,
        /// New path of a rename or link, target of a symlink, or the path on the host where that decided.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        other: Option<String>,
        /// Inode number.
        inode: u64,
        /// Device, `major:minor`.
        device: String,
        /// File mode.
        mode: u32,
        /// Open or rename flags.
        flags: u32,
    },
    /// Bytes through one open file, since its open or the last such record.
    FileIo {
        /// Path at the open, if its record was seen.
        path: String,
        /// Bytes read.
        read_bytes: u64,
        /// Bytes written.
        written_bytes: u64,
    },
    /// An address.
    Address {
        /// Peer; for bind and listen the local address.
        address: IpAddr,
        /// Port.
        port: u16,
        /// `tcp`, `udp` or the number.
        protocol: String,
        /// Name that the agent resolved to this address, if known.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        name: Option<String>,
        /// Bytes of a send.
        size: u64,
    },
    /// IP bytes exchanged with one peer since the last such record, headers included.
    PeerIo {
        /// Peer.
        address: IpAddr,
        /// Port of the peer.
        port: u16,
        /// `tcp`, `udp` or the number.
        protocol: String,
        /// Name that the agent resolved to this address, if known.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        name: Option<String>,
        /// Bytes sent.
        sent_bytes: u64,
        /// Bytes received.
        received_bytes: u64,
    },
    /// A DNS answer that is followed.
    Resolved {
        /// Name.
        name: String,
        /// Address.
        address: IpAddr,
        /// Time to live.
        ttl_sec: u32,
    },
    /// A class operation or capability, with its arguments by name.
    Class {
        /// `family=2 type=3 protocol=1`, `target=1 signal=9`, `pivot_root`; empty where the operation says it all.
        detail: String,
    },
    /// A program that was started.
    Exec {
        /// Resolved path.
        path: String,
        /// Working directory.
        cwd: String,
        /// Arguments, cut after 4 KiB.
        argv: Vec<String>,
        /// Whether they were cut.
        truncated: bool,
        /// Inode number of the program.
        #[serde(default)]
        inode: u64,
        /// Its device, `major:minor`.
        #[serde(default)]
        device: String,
    },
    /// A child.
    Fork {
        /// Its process id.
        child_pid: u32,
        /// Its start, nanoseconds after boot.
        child_start_ns: u64,
    },
    /// The end of a process.
    Exit {
        /// Exit code.
        code: i32,
        /// Signal that ended it, 0 if none.
        signal: u32,
    },
    /// Changed credentials.
    Credentials {
        /// `uid 1000 -> 0`, …
        detail: String,
    },
}

/// Verdict, rule and reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What the rules said.
    pub verdict: Verdict,
    /// Whether it was put into effect: false in observe mode and where the back end cannot block.
    pub enforced: bool,
    /// Why.
    pub reason: Reason,
    /// Layer that decided.
    pub layer: Layer,
    /// Rule id; absent if a default decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<String>,
    /// The rule's own words.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub message: String,
    /// Severity of the guardrail.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub severity: Option<Severity>,
    /// Where the rule is written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<Source>,
    /// Version of the rules: first 12 hex digits of the hash over policy and spec.
    pub version: String,
}
