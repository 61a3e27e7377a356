//! One request through io_uring, so that the kernel does it from another place than the system call.

use std::ffi::{CString, OsStr};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use nix::errno::Errno;
use nix::libc;

use crate::address::{self, Address};
use crate::options::{Target, open_flags};
use crate::outcome::{Failure, Outcome, Step};
use crate::raw::{self, Request, Ring};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// A kernel thread takes the request up (IORING_SETUP_SQPOLL).
    #[arg(long, global = true)]
    polled: bool,
    /// A worker thread carries it out (IOSQE_ASYNC).
    #[arg(long, global = true)]
    worker: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Only makes the ring.
    Setup,
    Open {
        path: PathBuf,
        #[arg(long, value_parser = open_flags, default_value = "rdonly")]
        flags: i32,
    },
    /// Reads from a path or fd:N.
    Read {
        target: Target,
    },
    /// Writes to a path or fd:N.
    Write {
        target: Target,
    },
    Unlink {
        path: PathBuf,
    },
    Rename {
        old: PathBuf,
        new: PathBuf,
    },
    Link {
        old: PathBuf,
        new: PathBuf,
    },
    Mkdir {
        path: PathBuf,
    },
    /// A TCP socket.
    Socket,
    /// Connects by TCP.
    Connect {
        address: SocketAddr,
    },
    /// Connects by TCP and sends, both through the ring.
    Send {
        address: SocketAddr,
    },
    /// Sends a UDP datagram.
    Sendmsg {
        address: SocketAddr,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let ring = Ring::new(arguments.polled).step("io_uring_setup").map_err(not_configured)?;
    let submit = |step: &str, request: Request<'_>| {
        // A kernel that does not know the request says EINVAL.
        ring.run(&request, arguments.worker).step(step).map(drop).map_err(|failure| match failure {
            Failure::Step { step, errno: Errno::EINVAL } => {
                Failure::Missing { what: step, errno: Errno::EINVAL }
            }
            other => other,
        })
    };
    match &arguments.command {
        Command::Setup => Ok(()),
        Command::Open { path, flags } => {
            submit("uring openat", Request::Open { path: c_string(path)?, flags: *flags })
        }
        Command::Read { target } => {
            let file = target.acquire(libc::O_RDONLY)?;
            submit("uring read", Request::Read { file: file.as_fd(), length: 64 })
        }
        Command::Write { target } => {
            let file = target.acquire(libc::O_WRONLY)?;
            submit("uring write", Request::Write { file: file.as_fd(), data: b"tampered".to_vec() })
        }
        Command::Unlink { path } => submit("uring unlinkat", Request::Unlink { path: c_string(path)? }),
        Command::Rename { old, new } => {
            submit("uring renameat", Request::Rename { old: c_string(old)?, new: c_string(new)? })
        }
        Command::Link { old, new } => {
            submit("uring linkat", Request::Link { old: c_string(old)?, new: c_string(new)? })
        }
        Command::Mkdir { path } => submit("uring mkdirat", Request::Mkdir { path: c_string(path)? }),
        Command::Socket => {
            submit("uring socket", Request::Socket { family: libc::AF_INET, kind: libc::SOCK_STREAM })
        }
        Command::Connect { address } => {
            let socket = socket(*address, libc::SOCK_STREAM)?;
            let address = Address::internet(*address);
            submit("uring connect", Request::Connect { socket: socket.as_fd(), address })
        }
        Command::Send { address } => {
            let socket = socket(*address, libc::SOCK_STREAM)?;
            let address = Address::internet(*address);
            submit("uring connect", Request::Connect { socket: socket.as_fd(), address })?;
            submit("uring send", Request::Send { socket: socket.as_fd(), data: b"leak\n".to_vec() })
        }
        Command::Sendmsg { address } => {
            let socket = socket(*address, libc::SOCK_DGRAM)?;
            let address = Address::internet(*address);
            let data = b"leak\n".to_vec();
            submit("uring sendmsg", Request::SendMessage { socket: socket.as_fd(), data, address })
        }
    }
}

/// The setting that turns io_uring off answers EPERM; that is not a verdict about this request.
fn not_configured(failure: Failure) -> Failure {
    let off = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
        .is_ok_and(|setting| setting.trim() == "2");
    match failure {
        Failure::Step { step, errno: Errno::EPERM } if off => {
            Failure::Missing { what: step, errno: Errno::EPERM }
        }
        other => other,
    }
}

fn socket(address: SocketAddr, kind: i32) -> Outcome<OwnedFd> {
    raw::socket(address::family(address), kind, 0).step("socket")
}

fn c_string(path: &Path) -> Outcome<CString> {
    let path: &OsStr = path.as_os_str();
    CString::new(path.as_bytes()).map_err(|_| Failure::Broken("a NUL in the path".to_owned()))
}
