//! Copies that the kernel makes by itself.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use clap::Subcommand;
use nix::errno::Errno;
use nix::libc;

use crate::options::Target;
use crate::outcome::{Failure, Outcome, Step};
use crate::raw::{self, Copy};

/// Bytes asked for at once; a pipe takes this much.
const CHUNK: usize = 4096;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Copies one file to another (created if need be).
    Copy {
        #[arg(long)]
        by: Copy,
        /// From a path or fd:N.
        from: Target,
        to: PathBuf,
    },
}

pub(crate) fn run(command: Command) -> Outcome {
    let Command::Copy { by, from, to } = command;
    let from = from.acquire(libc::O_RDONLY)?;
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC;
    let to = raw::openat(None, &to, flags, 0o600).step("openat to")?;
    match by {
        Copy::Splice => through_pipe(&from, &to),
        Copy::Sendfile | Copy::Range => some(raw::copy(by, from.as_fd(), to.as_fd(), CHUNK).step("copy")?),
        Copy::Clone => match raw::copy(by, from.as_fd(), to.as_fd(), 0) {
            // ext4 has no shared extents; it says so only after the permission checks.
            Err(errno @ (Errno::EOPNOTSUPP | Errno::EXDEV | Errno::ENOTTY)) => {
                Err(Failure::Missing { what: "FICLONE".to_owned(), errno })
            }
            other => other.step("ioctl FICLONE").map(drop),
        },
    }
}

fn some(count: i64) -> Outcome {
    if count > 0 { Ok(()) } else { Err(Failure::Broken("nothing was copied".to_owned())) }
}

fn through_pipe(from: &OwnedFd, to: &OwnedFd) -> Outcome {
    let (reader, writer) = nix::unistd::pipe().step("pipe")?;
    let count = raw::copy(Copy::Splice, from.as_fd(), writer.as_fd(), CHUNK).step("splice from")?;
    some(count)?;
    let count = usize::try_from(count).unwrap_or(0);
    raw::copy(Copy::Splice, reader.as_fd(), to.as_fd(), count).step("splice to").map(drop)
}
