//! Descriptors that come from elsewhere: passed over a unix socket or taken out of another process.
//! `send-fd` is the accomplice that runs outside governance.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use nix::libc;

use crate::address::{self, Address};
use crate::options::{Target, open_flags, print_content};
use crate::outcome::{Outcome, Step};
use crate::raw;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Listens on a unix socket and gives each who connects a descriptor, until it is killed.
    SendFd {
        socket: PathBuf,
        /// Open this file.
        #[arg(long, required_unless_present = "connect")]
        file: Option<PathBuf>,
        #[arg(long, value_parser = open_flags, default_value = "rdonly")]
        flags: i32,
        /// Or connect a TCP socket to this address.
        #[arg(long)]
        connect: Option<SocketAddr>,
        /// Written once it listens.
        #[arg(long)]
        ready: Option<PathBuf>,
    },
    /// Connects to such a socket and uses what it gets.
    RecvFd {
        socket: PathBuf,
        #[arg(long, value_enum, default_value = "read")]
        then: Then,
    },
    /// Takes a descriptor out of another process (pidfd_getfd) and uses it.
    PidfdGetfd {
        pid: i32,
        number: i32,
        #[arg(long, value_enum, default_value = "read")]
        then: Then,
    },
    /// Uses a descriptor that was inherited.
    UseFd {
        number: i32,
        #[arg(long, value_enum, default_value = "read")]
        then: Then,
    },
}

/// What is done with the descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Then {
    /// Read and print it.
    Read,
    /// Write "tampered".
    Write,
    /// Send "leak" through it.
    Send,
    /// Only have it.
    Keep,
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::SendFd { socket, file, flags, connect, ready } => {
            let descriptor = match (file, connect) {
                (Some(file), _) => raw::openat(None, &file, flags, 0o600).step("openat")?,
                (None, Some(peer)) => connected(peer)?,
                (None, None) => return Ok(()),
            };
            serve(&socket, &descriptor, ready.as_deref())
        }
        Command::RecvFd { socket, then } => {
            let connection = raw::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).step("socket")?;
            raw::connect(connection.as_fd(), &Address::unix(socket.as_os_str())).step("connect")?;
            let descriptor = raw::receive_descriptor(connection.as_fd()).step("recvmsg")?;
            then_use(&descriptor, then)
        }
        Command::PidfdGetfd { pid, number, then } => {
            let process = raw::pidfd(pid).step("pidfd_open")?;
            let descriptor = raw::take_descriptor(process.as_fd(), number).step("pidfd_getfd")?;
            then_use(&descriptor, then)
        }
        Command::UseFd { number, then } => {
            then_use(&Target::Inherited(number).acquire(libc::O_RDONLY)?, then)
        }
    }
}

fn connected(peer: SocketAddr) -> Outcome<OwnedFd> {
    let socket = raw::socket(address::family(peer), libc::SOCK_STREAM, 0).step("socket")?;
    raw::connect(socket.as_fd(), &Address::internet(peer)).step("connect")?;
    Ok(socket)
}

fn serve(path: &Path, descriptor: &OwnedFd, ready: Option<&Path>) -> Outcome {
    let socket = raw::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).step("socket")?;
    raw::bind(socket.as_fd(), &Address::unix(path.as_os_str())).step("bind")?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).step("chmod")?;
    raw::listen(socket.as_fd()).step("listen")?;
    if let Some(ready) = ready {
        std::fs::write(ready, "listening\n").step("write ready file")?;
    }
    loop {
        let connection = raw::accept(socket.as_fd()).step("accept")?;
        // A peer that went away is its own business.
        let _ = raw::send_descriptor(connection.as_fd(), descriptor.as_fd());
    }
}

fn then_use(descriptor: &OwnedFd, then: Then) -> Outcome {
    match then {
        Then::Read => print_content(descriptor),
        Then::Write => nix::unistd::write(descriptor, b"tampered").step("write").map(drop),
        Then::Send => raw::send_to(descriptor.as_fd(), b"leak", 0, None).step("send"),
        Then::Keep => Ok(()),
    }
}
