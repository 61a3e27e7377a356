//! The operations that rules speak about. The kernel's numbers for them are mapped where bytes are decoded.

use serde::{Deserialize, Serialize};

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
