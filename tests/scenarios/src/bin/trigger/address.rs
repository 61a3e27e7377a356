//! Socket addresses as the bytes that the kernel takes, so that odd ones can be said exactly.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;

use nix::libc;

/// Length of `sockaddr_in`.
const SOCKADDR_IN_LEN: usize = 16;

/// The bytes of a `struct sockaddr_*`.
#[derive(Debug, Clone)]
pub(crate) struct Address(Vec<u8>);

impl Address {
    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// An internet address in its own family: `[::ffff:1.2.3.4]:80` stays IPv6.
    pub(crate) fn internet(address: SocketAddr) -> Self {
        let mut bytes = Vec::with_capacity(28);
        bytes.extend_from_slice(&(family(address) as u16).to_ne_bytes());
        bytes.extend_from_slice(&address.port().to_be_bytes());
        match address {
            SocketAddr::V4(v4) => bytes.extend_from_slice(&v4.ip().octets()),
            SocketAddr::V6(v6) => {
                bytes.extend_from_slice(&v6.flowinfo().to_be_bytes());
                bytes.extend_from_slice(&v6.ip().octets());
                bytes.extend_from_slice(&v6.scope_id().to_ne_bytes());
            }
        }
        bytes.resize(bytes.len().max(SOCKADDR_IN_LEN), 0);
        Self(bytes)
    }

    /// A unix socket: a path, or `@name` for an abstract one.
    pub(crate) fn unix(name: &OsStr) -> Self {
        let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
        match name.as_bytes().strip_prefix(b"@") {
            Some(rest) => {
                bytes.push(0);
                bytes.extend_from_slice(rest);
            }
            None => {
                bytes.extend_from_slice(name.as_bytes());
                bytes.push(0);
            }
        }
        Self(bytes)
    }

    /// AF_UNSPEC, which dissolves the association of a datagram socket. With an address it is taken as IPv4 by
    /// some calls.
    pub(crate) fn unspecified(address: Option<SocketAddr>) -> Self {
        let mut bytes = address.map_or_else(|| vec![0; SOCKADDR_IN_LEN], |address| Self::internet(address).0);
        for (byte, unspecified) in bytes.iter_mut().zip((libc::AF_UNSPEC as u16).to_ne_bytes()) {
            *byte = unspecified;
        }
        Self(bytes)
    }

    /// Any other family: its number and the rest.
    pub(crate) fn other(family: i32, rest: &[u8]) -> Self {
        let mut bytes = (family as u16).to_ne_bytes().to_vec();
        bytes.extend_from_slice(rest);
        Self(bytes)
    }
}

/// AF_INET or AF_INET6.
pub(crate) fn family(address: SocketAddr) -> i32 {
    match address {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    }
}
