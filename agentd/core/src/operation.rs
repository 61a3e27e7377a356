//! The operations that rules speak about. The kernel's numbers for them are mapped where bytes are decoded.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::capability;
use crate::suggest;

/// Operation on something with a path: a file, a unix socket, and by a prefix of their own DNS names
/// (`dns:NAME`), abstract sockets (`@NAME`) and command lines (`argv:ARG0 ARG1 …`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathOp {
    /// Open for reading, list a directory.
    Read,
    /// Open for writing, truncate, rename over, shared writable mapping.
    Write,
    /// New name: create, mkdir, mknod, symlink, link, rename.
    Create,
    /// A name goes away: unlink, rmdir, rename.
    Delete,
    /// chmod, chown, times, extended attributes.
    Attr,
    /// The file gets another hard link.
    Link,
    /// Execute.
    Exec,
    /// Map executable.
    MapExec,
    /// Connect or send to a unix socket.
    Connect,
    /// Bind an abstract unix socket.
    Bind,
    /// Follow the DNS answers for a name.
    Resolve,
    /// Run a command line.
    Command,
}

impl PathOp {
    /// What changes something.
    pub const CHANGES: [Self; 5] = [Self::Write, Self::Create, Self::Delete, Self::Attr, Self::Link];

    /// Every operation, in the order of the kernel's rows.
    pub const ALL: [Self; 12] = [
        Self::Read,
        Self::Write,
        Self::Create,
        Self::Delete,
        Self::Attr,
        Self::Link,
        Self::Exec,
        Self::MapExec,
        Self::Connect,
        Self::Bind,
        Self::Resolve,
        Self::Command,
    ];
}

/// Operation on an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressOp {
    /// Connect, or send to.
    Connect,
    /// Bind to a fixed port, listen, accept.
    Listen,
}

/// Operation without an object that a pattern could name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassOp {
    /// A TCP socket.
    SocketTcp,
    /// A UDP socket.
    SocketUdp,
    /// A unix socket.
    SocketUnix,
    /// A route netlink socket, which getaddrinfo needs.
    SocketNetlinkRoute,
    /// Any other netlink socket.
    SocketNetlink,
    /// An ICMP echo socket.
    SocketPing,
    /// A raw IP socket.
    SocketRaw,
    /// A packet socket.
    SocketPacket,
    /// Any other kind of socket.
    SocketOther,
    /// Executable memory without a file behind it (just-in-time compilers).
    ExecAnonymous,
    /// An executable without a name: memfd, deleted, O_TMPFILE.
    ExecMemfd,
    /// An executable that raises privilege.
    ExecPrivileged,
    /// Taking a uid, gid or capability not held before.
    SetId,
    /// A new user namespace.
    UserNamespace,
    /// Inspecting or controlling a process of somebody else.
    Ptrace,
    /// Signalling a process of somebody else.
    Signal,
    /// mount, pivot_root, chroot.
    Mount,
    /// bpf(), modules, kexec.
    Kernel,
    /// An io_uring with a polling thread or borrowed credentials.
    IoUring,
    /// Receiving a descriptor whose object cannot be told.
    ReceiveFd,
}

impl ClassOp {
    /// Every class, in the order of the kernel's table.
    pub const ALL: [Self; 20] = [
        Self::SocketTcp,
        Self::SocketUdp,
        Self::SocketUnix,
        Self::SocketNetlinkRoute,
        Self::SocketNetlink,
        Self::SocketPing,
        Self::SocketRaw,
        Self::SocketPacket,
        Self::SocketOther,
        Self::ExecAnonymous,
        Self::ExecMemfd,
        Self::ExecPrivileged,
        Self::SetId,
        Self::UserNamespace,
        Self::Ptrace,
        Self::Signal,
        Self::Mount,
        Self::Kernel,
        Self::IoUring,
        Self::ReceiveFd,
    ];
}

/// Any operation, as records and `policy explain` name it: `read`, `connect_address`, `socket_raw`, `capability`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "class", content = "op")]
pub enum Operation {
    /// On a path.
    Path(PathOp),
    /// On an address.
    Address(AddressOp),
    /// Without an object.
    Class(ClassOp),
    /// Use of a capability, by its number.
    Capability(u8),
}

/// A name that is no operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not an operation{hint}")]
pub struct UnknownOperation {
    name: String,
    hint: String,
}

impl PathOp {
    /// As users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Attr => "attr",
            Self::Link => "link",
            Self::Exec => "exec",
            Self::MapExec => "map_exec",
            Self::Connect => "connect",
            Self::Bind => "bind",
            Self::Resolve => "resolve",
            Self::Command => "command",
        }
    }

    /// Position in [`Self::ALL`] and in the kernel's rows.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl AddressOp {
    /// Every operation, in the order of the kernel's numbers.
    pub const ALL: [Self; 2] = [Self::Connect, Self::Listen];

    /// As users write it; `connect` alone is the unix socket's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect_address",
            Self::Listen => "listen",
        }
    }
}

impl ClassOp {
    /// As users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SocketTcp => "socket_tcp",
            Self::SocketUdp => "socket_udp",
            Self::SocketUnix => "socket_unix",
            Self::SocketNetlinkRoute => "socket_netlink_route",
            Self::SocketNetlink => "socket_netlink",
            Self::SocketPing => "socket_ping",
            Self::SocketRaw => "socket_raw",
            Self::SocketPacket => "socket_packet",
            Self::SocketOther => "socket_other",
            Self::ExecAnonymous => "exec_anonymous",
            Self::ExecMemfd => "exec_memfd",
            Self::ExecPrivileged => "exec_privileged",
            Self::SetId => "set_id",
            Self::UserNamespace => "user_namespace",
            Self::Ptrace => "ptrace",
            Self::Signal => "signal",
            Self::Mount => "mount",
            Self::Kernel => "kernel",
            Self::IoUring => "io_uring",
            Self::ReceiveFd => "receive_fd",
        }
    }

    /// Position in [`Self::ALL`] and in the kernel's table.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl Operation {
    /// As users write it; every capability is `capability`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Path(op) => op.name(),
            Self::Address(op) => op.name(),
            Self::Class(op) => op.name(),
            Self::Capability(_) => "capability",
        }
    }

    /// Every operation but the capabilities.
    pub fn all() -> impl Iterator<Item = Self> {
        let paths = PathOp::ALL.into_iter().map(Self::Path);
        let addresses = AddressOp::ALL.into_iter().map(Self::Address);
        paths.chain(addresses).chain(ClassOp::ALL.into_iter().map(Self::Class))
    }
}

impl fmt::Display for PathOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for AddressOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for ClassOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Operation {
    type Err = UnknownOperation;

    /// Reads the name of an operation, or a capability by its own name (`cap_sys_admin`).
    fn from_str(name: &str) -> Result<Self, UnknownOperation> {
        if let Some(found) = Self::all().find(|op| op.name() == name) {
            return Ok(found);
        }
        if let Some(number) = capability::number(name) {
            return Ok(Self::Capability(number));
        }
        let known = Self::all().map(Self::name).chain(capability::NAMES);
        Err(UnknownOperation { name: name.to_owned(), hint: suggest::hint(name, known) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_read_from_its_own_name() {
        for op in Operation::all() {
            assert_eq!(op.to_string().parse(), Ok(op));
        }
        assert_eq!("cap_sys_admin".parse(), Ok(Operation::Capability(21)));
    }

    #[test]
    fn positions_are_those_of_the_tables() {
        assert!(PathOp::ALL.iter().enumerate().all(|(position, op)| op.index() == position));
        assert!(ClassOp::ALL.iter().enumerate().all(|(position, op)| op.index() == position));
    }

    #[test]
    fn names_are_those_of_the_records() {
        for op in Operation::all() {
            let written = match op {
                Operation::Path(op) => serde_json::to_string(&op),
                Operation::Address(AddressOp::Connect) => continue,
                Operation::Address(op) => serde_json::to_string(&op),
                Operation::Class(op) => serde_json::to_string(&op),
                Operation::Capability(_) => continue,
            };
            assert_eq!(written.expect("json"), format!("\"{op}\""));
        }
    }

    #[test]
    fn a_misspelt_operation_gets_a_hint() {
        let error = "raed".parse::<Operation>().expect_err("no operation");
        assert_eq!(error.to_string(), "`raed` is not an operation; did you mean `read`?");
    }
}
