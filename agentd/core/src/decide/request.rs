//! A request as a question: one operation on one object, without the process that asks.

use std::net::{IpAddr, Ipv4Addr};

use crate::address;
use crate::capability;
use crate::operation::{AddressOp, ClassOp, Operation, PathOp};
use crate::pattern::{ABSTRACT_PREFIX, COMMAND_PREFIX, NAME_PREFIX};
use crate::rule::Protocol;

/// What a name is taken to stand for: an address of nobody (RFC 5737), so that rules about everybody speak and no other.
const SOMEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// One operation on one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// On a text that the automaton walks: a path, `@name`, `dns:name` or `argv:…`.
    Path {
        /// Operation.
        op: PathOp,
        /// The text, as bytes because paths need not be UTF-8.
        text: Vec<u8>,
    },
    /// On an address.
    Address {
        /// Operation.
        op: AddressOp,
        /// Peer, or the local address.
        address: IpAddr,
        /// Port.
        port: u16,
        /// TCP, UDP, or `Any` for every other.
        protocol: Protocol,
        /// Names that the agent resolved to this address.
        names: Vec<String>,
    },
    /// Without an object.
    Class(ClassOp),
    /// Use of a capability.
    Capability(u8),
}

/// Why an object does not fit its operation. Each says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not a path as the kernel knows paths.
    #[error("`{0}` is not a path from `/` without empty, `.` and `..` parts; write it in full")]
    Path(String),
    /// Not an abstract socket.
    #[error("`{0}` is not an abstract socket; write @name")]
    Abstract(String),
    /// Not an address with a port.
    #[error(
        "`{0}` is not a peer with a port; write 10.0.0.1:443, 10.0.0.1:53/udp, [::1]:443 or, to connect, name:443"
    )]
    Address(String),
    /// Not a capability.
    #[error("`{0}` is not a capability; write a name such as cap_net_admin")]
    Capability(String),
    /// Nothing where something is needed.
    #[error("{0} needs an object; write what it is on")]
    Missing(&'static str),
    /// Something where nothing can be.
    #[error("{0} has no object; leave it out")]
    Superfluous(&'static str),
}

impl Request {
    /// Reads an object as a user writes it for this operation. For `capability` any number will do.
    pub fn parse(op: Operation, object: &str) -> Result<Self, RequestError> {
        match op {
            Operation::Class(class) if object.is_empty() => Ok(Self::Class(class)),
            Operation::Class(_) => Err(RequestError::Superfluous(op.name())),
            Operation::Capability(number) if object.is_empty() => Ok(Self::Capability(number)),
            Operation::Capability(_) => capability::number(object)
                .map(Self::Capability)
                .ok_or_else(|| RequestError::Capability(object.to_owned())),
            _ if object.is_empty() => Err(RequestError::Missing(op.name())),
            Operation::Path(op) => Ok(Self::Path { op, text: path_text(op, object)?.into_bytes() }),
            Operation::Address(op) => address_request(op, object),
        }
    }

    /// The operation.
    pub fn operation(&self) -> Operation {
        match self {
            Self::Path { op, .. } => Operation::Path(*op),
            Self::Address { op, .. } => Operation::Address(*op),
            Self::Class(op) => Operation::Class(*op),
            Self::Capability(number) => Operation::Capability(*number),
        }
    }
}

/// A DNS name as the automaton knows it.
pub(super) fn name_text(name: &str) -> String {
    format!("{NAME_PREFIX}{}", name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase())
}

fn path_text(op: PathOp, object: &str) -> Result<String, RequestError> {
    match op {
        PathOp::Resolve => Ok(name_text(object.strip_prefix(NAME_PREFIX).unwrap_or(object))),
        PathOp::Command if object.starts_with(COMMAND_PREFIX) => Ok(object.to_owned()),
        PathOp::Command => Ok(format!("{COMMAND_PREFIX}{object}")),
        PathOp::Bind if !object.starts_with(ABSTRACT_PREFIX) => {
            Err(RequestError::Abstract(object.to_owned()))
        }
        PathOp::Bind | PathOp::Connect if object.starts_with(ABSTRACT_PREFIX) => Ok(object.to_owned()),
        _ if is_path(object) => Ok(object.to_owned()),
        _ => Err(RequestError::Path(object.to_owned())),
    }
}

fn is_path(text: &str) -> bool {
    let Some(below) = text.strip_prefix('/') else { return false };
    below.is_empty() || !below.split('/').any(|part| matches!(part, "" | "." | ".."))
}

fn address_request(op: AddressOp, object: &str) -> Result<Request, RequestError> {
    let wrong = || RequestError::Address(object.to_owned());
    let (peer, protocol) = match object.split_once('/') {
        None => (object, Protocol::Tcp),
        Some((peer, "tcp")) => (peer, Protocol::Tcp),
        Some((peer, "udp")) => (peer, Protocol::Udp),
        Some((peer, "any")) => (peer, Protocol::Any),
        Some(_) => return Err(wrong()),
    };
    let (host, port) = peer.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let (address, names) = match bare.unwrap_or(host).parse() {
        Ok(IpAddr::V6(_)) if bare.is_none() => return Err(wrong()),
        Ok(address) => (address::canonical(address), Vec::new()),
        Err(_) if op == AddressOp::Connect && is_name(host) => (SOMEWHERE, vec![host.to_owned()]),
        Err(_) => return Err(wrong()),
    };
    Ok(Request::Address { op, address, port, protocol, names })
}

/// A name of the DNS that is not a number in any of the ways in which resolvers read one.
fn is_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_number = |label: &str| {
        label.starts_with("0x") || label.starts_with("0X") || label.bytes().all(|byte| byte.is_ascii_digit())
    };
    address::is_name(host) && !host.rsplit('.').next().is_some_and(is_number)
}
