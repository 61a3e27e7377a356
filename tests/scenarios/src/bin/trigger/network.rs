//! Internet addresses: every way to send to one, to connect to one and to be connected to.
//! `serve` is the far end that runs outside governance.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use nix::libc;

use crate::address::{self, Address};
use crate::outcome::{Failure, Outcome, Step};
use crate::raw;

/// How long a try waits for the other side.
const WAIT: Duration = Duration::from_secs(5);
/// What is sent.
const DATA: &[u8] = b"leak\n";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Connects, and over TCP sends a line and prints what comes back.
    Connect {
        address: SocketAddr,
        #[arg(long, default_value = "tcp")]
        protocol: Transport,
        /// Do not block in connect.
        #[arg(long)]
        nonblocking: bool,
    },
    /// Sends one UDP datagram.
    Send {
        address: SocketAddr,
        #[arg(long, default_value = "sendto")]
        by: Sending,
        /// Bind to this address first.
        #[arg(long)]
        from: Option<SocketAddr>,
    },
    /// TCP fast open: data goes out with the first packet and connect is never called.
    FastOpen {
        address: SocketAddr,
        /// By the socket option instead of the MSG_FASTOPEN flag.
        #[arg(long)]
        option: bool,
    },
    /// A UDP socket connected to one address, then to another, then sends.
    Reconnect {
        first: SocketAddr,
        second: SocketAddr,
        /// Dissolve the association by AF_UNSPEC in between and send without connecting again.
        #[arg(long)]
        unspecified: bool,
    },
    /// Sends to an address whose family field says AF_UNSPEC, which an IPv4 UDP socket takes for AF_INET.
    SendUnspecified { address: SocketAddr },
    /// bind.
    Bind {
        address: SocketAddr,
        #[arg(long, default_value = "tcp")]
        protocol: Transport,
    },
    /// bind and listen, and with --accept wait for one connection.
    Listen {
        address: SocketAddr,
        #[arg(long)]
        accept: bool,
        /// Written once it listens.
        #[arg(long)]
        ready: Option<PathBuf>,
    },
    /// listen without bind: the kernel chooses the port.
    ListenUnbound,
    /// Answers every TCP connection with "reached" and logs what comes by TCP or UDP, until it is killed.
    Serve {
        address: SocketAddr,
        #[arg(long, default_value = "tcp")]
        protocol: Transport,
        /// What came is appended here.
        #[arg(long)]
        log: PathBuf,
        /// Written once it listens.
        #[arg(long)]
        ready: PathBuf,
    },
}

/// Protocol of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    Tcp,
    Udp,
    Mptcp,
}

impl Transport {
    fn socket(self, family: i32) -> Outcome<OwnedFd> {
        let (kind, protocol) = match self {
            Self::Tcp => (libc::SOCK_STREAM, 0),
            Self::Udp => (libc::SOCK_DGRAM, 0),
            Self::Mptcp => (libc::SOCK_STREAM, libc::IPPROTO_MPTCP),
        };
        raw::socket(family, kind, protocol).step("socket").map_err(Failure::missing_if_unsupported)
    }
}

/// Calls that send a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sending {
    Sendto,
    Sendmsg,
    Sendmmsg,
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Connect { address, protocol, nonblocking } => connect(address, protocol, nonblocking),
        Command::Send { address, by, from } => send(address, by, from),
        Command::FastOpen { address, option } => fast_open(address, option),
        Command::Reconnect { first, second, unspecified } => reconnect(first, second, unspecified),
        Command::SendUnspecified { address } => {
            let socket = Transport::Udp.socket(libc::AF_INET)?;
            raw::send_to(socket.as_fd(), DATA, 0, Some(&Address::unspecified(Some(address)))).step("sendto")
        }
        Command::Bind { address, protocol } => {
            let socket = protocol.socket(address::family(address))?;
            raw::bind(socket.as_fd(), &Address::internet(address)).step("bind")
        }
        Command::Listen { address, accept, ready } => listen(address, accept, ready.as_deref()),
        Command::ListenUnbound => {
            let socket = Transport::Tcp.socket(libc::AF_INET)?;
            raw::listen(socket.as_fd()).step("listen")?;
            println!("port {}", raw::local_port(socket.as_fd()).step("getsockname")?);
            Ok(())
        }
        Command::Serve { address, protocol, log, ready } => match protocol {
            Transport::Udp => serve_udp(address, &log, &ready),
            Transport::Tcp | Transport::Mptcp => serve_tcp(address, &log, &ready),
        },
    }
}

fn connect(address: SocketAddr, protocol: Transport, nonblocking: bool) -> Outcome {
    let socket = protocol.socket(address::family(address))?;
    if nonblocking {
        let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&socket, flags).step("fcntl")?;
        return match raw::connect(socket.as_fd(), &Address::internet(address)) {
            Err(nix::errno::Errno::EINPROGRESS) => Ok(()),
            other => other.step("connect"),
        };
    }
    raw::connect(socket.as_fd(), &Address::internet(address)).step("connect")?;
    raw::send_to(socket.as_fd(), DATA, 0, None).step("send")?;
    if protocol == Transport::Udp { Ok(()) } else { print_answer(&socket) }
}

/// Prints what the other side says.
pub(crate) fn print_answer(socket: &OwnedFd) -> Outcome {
    let mut answer = [0_u8; 256];
    let length = raw::receive(socket.as_fd(), &mut answer).step("recv")?;
    println!("{}", String::from_utf8_lossy(answer.get(..length).unwrap_or_default()).trim_end());
    Ok(())
}

fn send(address: SocketAddr, by: Sending, from: Option<SocketAddr>) -> Outcome {
    let socket = Transport::Udp.socket(address::family(address))?;
    if let Some(from) = from {
        raw::bind(socket.as_fd(), &Address::internet(from)).step("bind")?;
    }
    let (socket, address) = (socket.as_fd(), Address::internet(address));
    match by {
        Sending::Sendto => raw::send_to(socket, DATA, 0, Some(&address)).step("sendto"),
        Sending::Sendmsg => raw::send_message(socket, DATA, &address).step("sendmsg"),
        Sending::Sendmmsg => raw::send_many(socket, DATA, &address).step("sendmmsg").map(drop),
    }
}

fn fast_open(address: SocketAddr, option: bool) -> Outcome {
    let socket = Transport::Tcp.socket(address::family(address))?;
    let to = Address::internet(address);
    if option {
        raw::set_option(socket.as_fd(), libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, 1)
            .step("setsockopt TCP_FASTOPEN_CONNECT")
            .map_err(Failure::missing_if_unsupported)?;
        raw::connect(socket.as_fd(), &to).step("connect")?;
        raw::send_to(socket.as_fd(), DATA, 0, None).step("send")?;
    } else {
        raw::send_to(socket.as_fd(), DATA, libc::MSG_FASTOPEN, Some(&to))
            .step("sendto MSG_FASTOPEN")
            .map_err(Failure::missing_if_unsupported)?;
    }
    print_answer(&socket)
}

fn reconnect(first: SocketAddr, second: SocketAddr, unspecified: bool) -> Outcome {
    let socket = Transport::Udp.socket(address::family(first))?;
    let socket = socket.as_fd();
    raw::connect(socket, &Address::internet(first)).step("first connect")?;
    raw::send_to(socket, DATA, 0, None).step("first send")?;
    let second = Address::internet(second);
    if unspecified {
        raw::connect(socket, &Address::unspecified(None)).step("connect AF_UNSPEC")?;
        return raw::send_to(socket, DATA, 0, Some(&second)).step("sendto");
    }
    raw::connect(socket, &second).step("second connect")?;
    raw::send_to(socket, DATA, 0, None).step("second send")
}

fn listen(address: SocketAddr, accept: bool, ready: Option<&Path>) -> Outcome {
    let socket = Transport::Tcp.socket(address::family(address))?;
    let socket = socket.as_fd();
    raw::set_option(socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1).step("setsockopt SO_REUSEADDR")?;
    raw::bind(socket, &Address::internet(address)).step("bind")?;
    raw::listen(socket).step("listen")?;
    if let Some(ready) = ready {
        std::fs::write(ready, "listening\n").step("write ready file")?;
    }
    if accept {
        print_answer(&raw::accept(socket).step("accept")?)?;
    }
    Ok(())
}

fn append(log: &Path, data: &[u8]) -> Outcome {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(log).step("open log")?;
    file.write_all(data).step("write log")
}

fn serve_tcp(address: SocketAddr, log: &Path, ready: &Path) -> Outcome {
    let listener = TcpListener::bind(address).step("bind")?;
    fast_open_listener(&listener);
    append(log, b"")?;
    std::fs::write(ready, "listening\n").step("write ready file")?;
    for connection in listener.incoming() {
        let mut connection = connection.step("accept")?;
        append(log, b"connection\n")?;
        connection.set_read_timeout(Some(WAIT)).step("timeout")?;
        let mut data = [0_u8; 64];
        let length = connection.read(&mut data).unwrap_or(0);
        append(log, data.get(..length).unwrap_or_default())?;
        // The log is the proof; whether the peer still listens does not matter.
        let _ = connection.write_all(b"reached\n");
    }
    Ok(())
}

/// Without this the kernel falls back to a plain handshake, and data arrives all the same.
fn fast_open_listener(listener: &TcpListener) {
    let _ = raw::set_option(listener.as_fd(), libc::IPPROTO_TCP, libc::TCP_FASTOPEN, 8);
}

fn serve_udp(address: SocketAddr, log: &Path, ready: &Path) -> Outcome {
    let socket = UdpSocket::bind(address).step("bind")?;
    append(log, b"")?;
    std::fs::write(ready, "listening\n").step("write ready file")?;
    let mut data = [0_u8; 64];
    loop {
        let (length, peer) = socket.recv_from(&mut data).step("recvfrom")?;
        append(log, data.get(..length).unwrap_or_default())?;
        let _ = socket.send_to(b"reached\n", peer);
    }
}
