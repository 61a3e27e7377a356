//! What the kernel reported, in domain types. Names of agents and rules are not known yet.

use std::net::IpAddr;

use agentguard_core::ids::AgentKey;
use agentguard_core::operation::{ClassOp, Operation};
use agentguard_core::verdict::{Answer, Reason, Verdict};

/// One event of a governed process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Boot time clock, nanoseconds.
    pub time_ns: u64,
    /// Whose.
    pub agent: AgentKey,
    /// The generation of the ruleset that decided.
    pub generation: u32,
    /// The process.
    pub process: ProcessId,
    /// Its parent.
    pub parent: ProcessId,
    /// Thread id.
    pub tid: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The kernel's short name of the thread.
    pub comm: String,
    /// What was asked, as the call.
    pub call: &'static str,
    /// What was asked, as rules see it; absent for plain events.
    pub operation: Option<Operation>,
    /// What the kernel answered.
    pub ruling: Ruling,
    /// On what.
    pub body: Body,
    /// The request waits in the kernel.
    pub hold: Option<HoldMark>,
}

/// The kernel's mark on a request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldMark {
    /// Its number, never used twice.
    pub id: u64,
    /// An agentd before this one was told of the request already.
    pub again: bool,
}

/// A process, named by pid and start time on the boot time clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ProcessId {
    /// Process id.
    pub pid: u32,
    /// Nanoseconds after boot.
    pub start_ns: u64,
}

/// The kernel's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ruling {
    /// What the rules said.
    pub verdict: Verdict,
    /// The answer that said so.
    pub answer: Answer,
    /// Why.
    pub reason: Reason,
    /// Whether a denial was put into effect.
    pub enforced: bool,
}

/// What an event is about, by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A file or unix socket.
    File(File),
    /// Bytes through an open file.
    FileIo {
        /// The open whose record has the path: its own, or an earlier one of the same file that it was folded into.
        open_id: u64,
        /// Read since the last such event.
        read_bytes: u64,
        /// Written since the last such event.
        written_bytes: u64,
    },
    /// An address.
    Address {
        /// Peer; for bind and listen the local address.
        address: IpAddr,
        /// Port.
        port: u16,
        /// IP protocol number.
        protocol: u16,
        /// Bytes of a send.
        size: u64,
    },
    /// An operation without an object.
    Class {
        /// The class, or none for a capability.
        class: Option<ClassOp>,
        /// Arguments, by class.
        arguments: [u32; 5],
    },
    /// A child.
    Fork {
        /// The child.
        child: ProcessId,
    },
    /// A program was started.
    Exec(Exec),
    /// A process ended.
    Exit {
        /// Exit code.
        code: i32,
        /// Signal, 0 if none.
        signal: u32,
    },
    /// A DNS answer that is followed.
    Resolved {
        /// Name, lower case.
        name: String,
        /// Address.
        address: IpAddr,
        /// Time to live.
        ttl_sec: u32,
    },
    /// Changed credentials.
    Credentials {
        /// uid and gid before.
        old: (u32, u32),
        /// uid and gid after.
        new: (u32, u32),
        /// Effective capabilities before.
        old_capabilities: u64,
        /// Effective capabilities after.
        new_capabilities: u64,
    },
    /// Bytes exchanged with a peer, summed in the kernel and fetched by agentd.
    PeerIo {
        /// Peer.
        address: IpAddr,
        /// Port of the peer.
        port: u16,
        /// IP protocol number.
        protocol: u16,
        /// Sent.
        sent_bytes: u64,
        /// Received.
        received_bytes: u64,
    },
}

/// A file or unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Joins an open with the bytes through it; 0 = none.
    pub id: u64,
    /// Inode number.
    pub inode: u64,
    /// The kernel's own encoding: major << 20 | minor.
    pub device: u32,
    /// File mode.
    pub mode: u32,
    /// Open or rename flags.
    pub flags: u32,
    /// Path as the task sees it.
    pub path: String,
    /// New path, target, or path on the host.
    pub other: Option<String>,
}

/// A program that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// Path of the program.
    pub path: String,
    /// Working directory.
    pub cwd: String,
    /// Arguments.
    pub argv: Vec<String>,
    /// Whether they were cut.
    pub truncated: bool,
    /// Inode number of the program.
    pub inode: u64,
    /// The kernel's own encoding: major << 20 | minor.
    pub device: u32,
}
