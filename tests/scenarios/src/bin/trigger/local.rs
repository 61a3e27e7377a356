//! Unix sockets: by path and abstract, stream, datagram and sequenced packets.
//! `unix-serve` is the far end that runs outside governance.

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use nix::libc;

use crate::address::Address;
use crate::network::print_answer;
use crate::outcome::{Outcome, Step};
use crate::raw;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Connects and says hello.
    #[command(name = "unix-connect")]
    Connect {
        /// A path, or @name.
        name: OsString,
        #[arg(long, default_value = "stream")]
        kind: Kind,
    },
    /// Sends one datagram without connecting.
    #[command(name = "unix-send")]
    Send { name: OsString },
    /// bind.
    #[command(name = "unix-bind")]
    Bind {
        name: OsString,
        #[arg(long, default_value = "stream")]
        kind: Kind,
    },
    /// Logs what comes and answers "reached", until it is killed.
    #[command(name = "unix-serve")]
    Serve {
        name: OsString,
        #[arg(long, default_value = "stream")]
        kind: Kind,
        #[arg(long)]
        log: PathBuf,
        #[arg(long)]
        ready: PathBuf,
    },
}

/// Type of a unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Stream,
    Dgram,
    Seqpacket,
}

impl Kind {
    fn socket(self) -> Outcome<OwnedFd> {
        let kind = match self {
            Self::Stream => libc::SOCK_STREAM,
            Self::Dgram => libc::SOCK_DGRAM,
            Self::Seqpacket => libc::SOCK_SEQPACKET,
        };
        raw::socket(libc::AF_UNIX, kind, 0).step("socket")
    }
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Connect { name, kind } => {
            let socket = kind.socket()?;
            raw::connect(socket.as_fd(), &Address::unix(&name)).step("connect")?;
            raw::send_to(socket.as_fd(), b"hello\n", 0, None).step("send")?;
            if kind == Kind::Dgram { Ok(()) } else { print_answer(&socket) }
        }
        Command::Send { name } => {
            let socket = Kind::Dgram.socket()?;
            raw::send_to(socket.as_fd(), b"hello\n", 0, Some(&Address::unix(&name))).step("sendto")
        }
        Command::Bind { name, kind } => {
            let socket = kind.socket()?;
            raw::bind(socket.as_fd(), &Address::unix(&name)).step("bind")
        }
        Command::Serve { name, kind, log, ready } => serve(&name, kind, &log, &ready),
    }
}

fn serve(name: &OsString, kind: Kind, log: &Path, ready: &Path) -> Outcome {
    let socket = kind.socket()?;
    raw::bind(socket.as_fd(), &Address::unix(name)).step("bind")?;
    if !name.as_encoded_bytes().starts_with(b"@") {
        std::fs::set_permissions(Path::new(name), PermissionsExt::from_mode(0o666)).step("chmod")?;
    }
    if kind != Kind::Dgram {
        raw::listen(socket.as_fd()).step("listen")?;
    }
    let mut log = std::fs::OpenOptions::new().append(true).create(true).open(log).step("open log")?;
    std::fs::write(ready, "listening\n").step("write ready file")?;
    loop {
        let mut data = [0_u8; 64];
        if kind == Kind::Dgram {
            let length = raw::receive(socket.as_fd(), &mut data).step("recv")?;
            log.write_all(data.get(..length).unwrap_or_default()).step("write log")?;
            continue;
        }
        let connection = raw::accept(socket.as_fd()).step("accept")?;
        log.write_all(b"connection\n").step("write log")?;
        let length = raw::receive(connection.as_fd(), &mut data).unwrap_or(0);
        log.write_all(data.get(..length).unwrap_or_default()).step("write log")?;
        // The log is the proof; whether the peer still listens does not matter.
        let _ = raw::send_to(connection.as_fd(), b"reached\n", 0, None);
    }
}
