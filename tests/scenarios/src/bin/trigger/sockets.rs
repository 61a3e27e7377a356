//! Sockets that are not TCP, UDP or unix, devices that are as good as sockets, and options that bend routing.

use std::os::fd::{AsFd, OwnedFd};

use clap::{Subcommand, ValueEnum};
use nix::libc::{self, c_int};

use crate::address::Address;
use crate::outcome::{Failure, Outcome, Step};
use crate::raw;

/// Families and a type that the C library's crate does not name.
const AF_RDS: c_int = 21;
const AF_KCM: c_int = 41;
const AF_SMC: c_int = 43;
const SOCK_PACKET: c_int = 10;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Creates a socket of a kind that an agent has no business with.
    Socket { kind: Kind },
    /// Makes a tun interface, whose other end is this process.
    Tun {
        #[arg(long, default_value = "agtest0")]
        name: String,
    },
    /// Adds a route to 192.0.2.0/24 over loopback (route netlink).
    RouteAdd,
    /// Asks nftables for a new table (netfilter netlink).
    NftAdd,
    /// Sets a socket option.
    SocketOption { option: SocketOption },
}

/// Kinds of socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Mptcp,
    Sctp,
    SctpSeqpacket,
    Dccp,
    UdpLite,
    Vsock,
    Alg,
    Xdp,
    Tipc,
    Rds,
    Smc,
    Raw,
    Raw6,
    RawAny,
    Packet,
    PacketDgram,
    InetPacket,
    Ping,
    Ping6,
    NetlinkRoute,
    NetlinkAudit,
    NetlinkNetfilter,
    NetlinkUevent,
    NetlinkGeneric,
    NetlinkDiag,
    Bluetooth,
    Can,
    Key,
    Kcm,
}

impl Kind {
    /// Family, type and protocol.
    fn numbers(self) -> (c_int, c_int, c_int) {
        use libc::{
            AF_ALG, AF_BLUETOOTH, AF_CAN, AF_INET, AF_INET6, AF_KEY, AF_NETLINK, AF_PACKET, AF_TIPC, AF_VSOCK,
        };
        use libc::{
            AF_XDP, ETH_P_ALL, IPPROTO_DCCP, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_MPTCP, IPPROTO_RAW,
        };
        use libc::{IPPROTO_SCTP, IPPROTO_UDPLITE, NETLINK_AUDIT, NETLINK_GENERIC, NETLINK_KOBJECT_UEVENT};
        use libc::{NETLINK_NETFILTER, NETLINK_ROUTE, NETLINK_SOCK_DIAG, SOCK_DCCP, SOCK_DGRAM, SOCK_RAW};
        use libc::{SOCK_RDM, SOCK_SEQPACKET, SOCK_STREAM};
        let any_packet = c_int::from((ETH_P_ALL as u16).to_be());
        match self {
            Self::Mptcp => (AF_INET, SOCK_STREAM, IPPROTO_MPTCP),
            Self::Sctp => (AF_INET, SOCK_STREAM, IPPROTO_SCTP),
            Self::SctpSeqpacket => (AF_INET, SOCK_SEQPACKET, IPPROTO_SCTP),
            Self::Dccp => (AF_INET, SOCK_DCCP, IPPROTO_DCCP),
            Self::UdpLite => (AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE),
            Self::Vsock => (AF_VSOCK, SOCK_STREAM, 0),
            Self::Alg => (AF_ALG, SOCK_SEQPACKET, 0),
            Self::Xdp => (AF_XDP, SOCK_RAW, 0),
            Self::Tipc => (AF_TIPC, SOCK_RDM, 0),
            Self::Rds => (AF_RDS, SOCK_SEQPACKET, 0),
            Self::Smc => (AF_SMC, SOCK_STREAM, 0),
            Self::Raw => (AF_INET, SOCK_RAW, IPPROTO_ICMP),
            Self::Raw6 => (AF_INET6, SOCK_RAW, IPPROTO_ICMPV6),
            Self::RawAny => (AF_INET, SOCK_RAW, IPPROTO_RAW),
            Self::Packet => (AF_PACKET, SOCK_RAW, any_packet),
            Self::PacketDgram => (AF_PACKET, SOCK_DGRAM, any_packet),
            // The old way to get a packet socket.
            Self::InetPacket => (AF_INET, SOCK_PACKET, any_packet),
            Self::Ping => (AF_INET, SOCK_DGRAM, IPPROTO_ICMP),
            Self::Ping6 => (AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6),
            Self::NetlinkRoute => (AF_NETLINK, SOCK_RAW, NETLINK_ROUTE),
            Self::NetlinkAudit => (AF_NETLINK, SOCK_RAW, NETLINK_AUDIT),
            Self::NetlinkNetfilter => (AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER),
            Self::NetlinkUevent => (AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT),
            Self::NetlinkGeneric => (AF_NETLINK, SOCK_RAW, NETLINK_GENERIC),
            Self::NetlinkDiag => (AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG),
            Self::Bluetooth => (AF_BLUETOOTH, SOCK_RAW, 1),
            Self::Can => (AF_CAN, SOCK_RAW, 1),
            Self::Key => (AF_KEY, SOCK_RAW, 2),
            Self::Kcm => (AF_KCM, SOCK_DGRAM, 0),
        }
    }
}

/// Options that change where packets go or whose they seem to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SocketOption {
    /// SO_MARK: takes another routing table or passes a filter.
    Mark,
    /// IP_TRANSPARENT: sends from addresses that are not the host's.
    Transparent,
    /// SO_BINDTODEVICE loopback.
    Device,
    /// SO_PRIORITY above what everybody may have.
    Priority,
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Socket { kind } => socket(kind).map(drop),
        Command::Tun { name } => tun(&name),
        Command::RouteAdd => route_add(),
        Command::NftAdd => nft_add(),
        Command::SocketOption { option } => socket_option(option),
    }
}

fn socket(kind: Kind) -> Outcome<OwnedFd> {
    let (family, kind, protocol) = kind.numbers();
    raw::socket(family, kind, protocol).step("socket").map_err(Failure::missing_if_unsupported)
}

fn tun(name: &str) -> Outcome {
    let device = raw::openat(None, "/dev/net/tun".as_ref(), libc::O_RDWR, 0)
        .step("openat /dev/net/tun")
        .map_err(|failure| match failure {
            Failure::Step { step, errno: nix::errno::Errno::ENOENT } => {
                Failure::Missing { what: step, errno: nix::errno::Errno::ENOENT }
            }
            other => other.missing_if_unsupported(),
        })?;
    let mut bytes = [0_u8; 16];
    for (to, from) in bytes.iter_mut().zip(name.bytes().take(15)) {
        *to = from;
    }
    raw::make_tun(device.as_fd(), &bytes).step("ioctl TUNSETIFF")
}

/// A netlink message: header, body; asks for an acknowledgement.
fn netlink_message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    /// NLM_F_REQUEST | NLM_F_ACK
    const REQUEST: u16 = 0x5;
    let length = 16 + body.len() as u32;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&(REQUEST | flags).to_ne_bytes());
    message.extend_from_slice(&1_u32.to_ne_bytes());
    message.extend_from_slice(&0_u32.to_ne_bytes());
    message.extend_from_slice(body);
    message
}

/// Sends one message to the kernel and gives back its answer's error number.
fn netlink(protocol: c_int, message: &[u8]) -> Outcome {
    let socket = raw::socket(libc::AF_NETLINK, libc::SOCK_RAW, protocol)
        .step("socket")
        .map_err(Failure::missing_if_unsupported)?;
    let kernel = Address::other(libc::AF_NETLINK, &[0; 10]);
    raw::send_to(socket.as_fd(), message, 0, Some(&kernel)).step("sendto netlink")?;
    let mut answer = [0_u8; 512];
    let length = raw::receive(socket.as_fd(), &mut answer).step("recv netlink")?;
    // An acknowledgement is an error message whose number, right after the header, is 0.
    let number = answer.get(16..20).filter(|_| length >= 20).and_then(|bytes| bytes.try_into().ok());
    match number.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(number) => Err(Failure::new("netlink answer", nix::errno::Errno::from_raw(-number))),
        None => Err(Failure::Broken("the netlink answer is too short".to_owned())),
    }
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = (4 + value.len() as u16).to_ne_bytes().to_vec();
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn route_add() -> Outcome {
    /// RTM_NEWROUTE, with NLM_F_CREATE | NLM_F_REPLACE
    const NEW_ROUTE: (u16, u16) = (24, 0x500);
    /// RTA_DST and RTA_OIF
    const DESTINATION: u16 = 1;
    const INTERFACE: u16 = 4;
    // rtmsg: family, /24, table main, protocol static, scope link, type unicast, no flags
    let mut body = vec![libc::AF_INET as u8, 24, 0, 0, 254, 4, 253, 1, 0, 0, 0, 0];
    body.extend(attribute(DESTINATION, &[192, 0, 2, 0]));
    body.extend(attribute(INTERFACE, &1_u32.to_ne_bytes()));
    netlink(libc::NETLINK_ROUTE, &netlink_message(NEW_ROUTE.0, NEW_ROUTE.1, &body))
}

fn nft_add() -> Outcome {
    /// NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE; batch begin and end
    const NEW_TABLE: u16 = 10 << 8;
    const BATCH_BEGIN: u16 = 16;
    const BATCH_END: u16 = 17;
    let general = |family: u8, resource: u16| {
        let mut bytes = vec![family, 0];
        bytes.extend_from_slice(&resource.to_be_bytes());
        bytes
    };
    let mut table = general(2, 0);
    table.extend(attribute(1, b"agtest\0"));
    let mut message = netlink_message(BATCH_BEGIN, 0, &general(0, 10));
    message.extend(netlink_message(NEW_TABLE, 0x400, &table));
    message.extend(netlink_message(BATCH_END, 0, &general(0, 10)));
    netlink(libc::NETLINK_NETFILTER, &message)
}

fn socket_option(option: SocketOption) -> Outcome {
    let socket = raw::socket(libc::AF_INET, libc::SOCK_STREAM, 0).step("socket")?;
    let socket = socket.as_fd();
    match option {
        SocketOption::Mark => raw::set_option(socket, libc::SOL_SOCKET, libc::SO_MARK, 1),
        SocketOption::Transparent => raw::set_option(socket, libc::IPPROTO_IP, libc::IP_TRANSPARENT, 1),
        SocketOption::Device => {
            raw::set_option_bytes(socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, b"lo\0")
        }
        SocketOption::Priority => raw::set_option(socket, libc::SOL_SOCKET, libc::SO_PRIORITY, 7),
    }
    .step("setsockopt")
}
