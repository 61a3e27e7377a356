//! A rule: what policy and specs become before they are lowered.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::operation::{AddressOp, ClassOp, PathOp};
use crate::verdict::{Layer, Severity, Verdict};

/// Where a rule is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Source {
    /// File as the user named it.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: u32,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// One rule of one layer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// Stable name: `filesystem.ssh_keys` for a guardrail, `files.read[3]` for a grant.
    pub id: String,
    /// Guardrail or grant.
    pub layer: Layer,
    /// What it says.
    pub verdict: Verdict,
    /// What it speaks about.
    pub scope: Scope,
    /// Of guardrails.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub severity: Option<Severity>,
    /// For the user: why this rule is there.
    pub reason: String,
    /// Where it is written.
    pub source: Source,
}

/// Operations and the objects they are on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Scope {
    /// A glob over paths, `@abstract` sockets or `argv:` command lines.
    Path {
        /// Operations, not empty.
        ops: Vec<PathOp>,
        /// The glob as written, variables already replaced.
        pattern: String,
        /// Only for exec grants: the executable must have this SHA-256, lower-case hex.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        sha256: Option<String>,
    },
    /// An address range and ports.
    Address {
        /// Operation.
        op: AddressOp,
        /// Network; `0.0.0.0/0` and `::/0` are two rules.
        network: Network,
        /// Ports and protocol.
        ports: Ports,
    },
    /// A DNS name (`api.example.com`) or a wildcard (`*.example.com`, which is not `example.com` itself).
    Name {
        /// Lower case, no trailing dot.
        name: String,
        /// Ports and protocol.
        ports: Ports,
    },
    /// A class of operations.
    Class {
        /// The class.
        op: ClassOp,
    },
    /// A capability by number.
    Capability {
        /// As in linux/capability.h.
        number: u8,
    },
}

/// An address prefix. Host bits are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Network {
    /// First address.
    pub address: IpAddr,
    /// Prefix length in the address's own family.
    pub bits: u8,
}

/// Transport protocol of a port rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Any protocol.
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Inclusive port ranges of one protocol; empty `ranges` means every port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ports {
    /// Protocol.
    pub protocol: Protocol,
    /// Inclusive, low <= high.
    pub ranges: Vec<(u16, u16)>,
}

/// Everything that decides about one agent: both layers and the defaults. Rule indices count from 1 in `rules`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruleset {
    /// Guardrails first, then grants.
    pub rules: Vec<Rule>,
    /// Where no grant matches.
    pub defaults: Defaults,
}

/// The spec's default per class of operations, for the grant layer. The guardrail layer's default is allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defaults {
    /// read, write, create, delete, attr, link.
    pub files: Verdict,
    /// exec, map_exec, the exec classes.
    pub exec: Verdict,
    /// Addresses and socket classes.
    pub network: Verdict,
    /// Unix sockets: connect, bind.
    pub unix: Verdict,
    /// Everything else: set_id, namespaces, ptrace, signal, mount, kernel, io_uring, capabilities.
    pub process: Verdict,
}

impl Defaults {
    /// The one that a class belongs to.
    pub const fn of_class(&self, op: ClassOp) -> Verdict {
        match op {
            ClassOp::SocketTcp
            | ClassOp::SocketUdp
            | ClassOp::SocketUnix
            | ClassOp::SocketNetlinkRoute
            | ClassOp::SocketNetlink
            | ClassOp::SocketPing
            | ClassOp::SocketRaw
            | ClassOp::SocketPacket
            | ClassOp::SocketOther => self.network,
            ClassOp::ExecAnonymous | ClassOp::ExecMemfd | ClassOp::ExecPrivileged => self.exec,
            ClassOp::SetId
            | ClassOp::UserNamespace
            | ClassOp::Ptrace
            | ClassOp::Signal
            | ClassOp::Mount
            | ClassOp::Kernel
            | ClassOp::IoUring
            | ClassOp::ReceiveFd => self.process,
        }
    }
}
