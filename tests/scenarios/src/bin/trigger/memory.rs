//! Memory: writing to a file through a mapping, and making memory executable.

use std::os::fd::AsFd;

use clap::Subcommand;
use nix::libc;
use nix::sys::memfd::MFdFlags;

use crate::options::Target;
use crate::outcome::{Failure, Outcome, Step};
use crate::raw::{self, Mapping};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Writes an X into a file through a shared mapping.
    MapShared {
        /// The file, or fd:N.
        target: Target,
        /// Map read-only first and ask for writing by mprotect.
        #[arg(long)]
        late: bool,
    },
    /// Maps a file executable, as the dynamic loader does.
    MapExec {
        /// The file, or fd:N.
        target: Target,
        /// Map read-only first and ask for execution by mprotect.
        #[arg(long)]
        late: bool,
    },
    /// Maps a file privately, changes the page and makes it executable.
    MapDirty {
        /// The file, or fd:N.
        target: Target,
    },
    /// Maps a memfd executable.
    MapMemfd {
        #[arg(long)]
        late: bool,
    },
    /// Executable memory without a file.
    Anonymous {
        /// Map writable first and ask for execution by mprotect.
        #[arg(long)]
        late: bool,
        /// A shared mapping (which is a deleted file to the kernel) instead of a private one.
        #[arg(long)]
        shared: bool,
    },
    /// Rewrites this program's own read-only memory through /proc/self/mem.
    SelfMem {
        /// Name the file by the process id instead of "self".
        #[arg(long)]
        by_pid: bool,
    },
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::MapShared { target, late } => map_shared(&target, late),
        Command::MapExec { target, late } => {
            let file = target.acquire(libc::O_RDONLY)?;
            executable(Some(&file), libc::PROT_READ, libc::MAP_PRIVATE, late)
        }
        Command::MapDirty { target } => {
            let file = target.acquire(libc::O_RDONLY)?;
            let write = libc::PROT_READ | libc::PROT_WRITE;
            let mapping = Mapping::new(Some(file.as_fd()), write, libc::MAP_PRIVATE).step("mmap")?;
            mapping.write(b'X');
            mapping.protect(libc::PROT_READ | libc::PROT_EXEC).step("mprotect")
        }
        Command::MapMemfd { late } => {
            let file = nix::sys::memfd::memfd_create("map", MFdFlags::MFD_CLOEXEC).step("memfd_create")?;
            nix::unistd::write(&file, &[0xc3; 64]).step("write")?;
            executable(Some(&file), libc::PROT_READ, libc::MAP_PRIVATE, late)
        }
        Command::Anonymous { late, shared } => {
            let kind = if shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
            executable(None::<&std::os::fd::OwnedFd>, libc::PROT_READ | libc::PROT_WRITE, kind, late)
        }
        Command::SelfMem { by_pid } => self_mem(by_pid),
    }
}

fn map_shared(target: &Target, late: bool) -> Outcome {
    let file = target.acquire(libc::O_RDWR)?;
    let write = libc::PROT_READ | libc::PROT_WRITE;
    let first = if late { libc::PROT_READ } else { write };
    let mapping = Mapping::new(Some(file.as_fd()), first, libc::MAP_SHARED).step("mmap")?;
    if late {
        mapping.protect(write).step("mprotect")?;
    }
    mapping.write(b'X');
    Ok(())
}

fn executable(file: Option<&impl AsFd>, first: i32, kind: i32, late: bool) -> Outcome {
    let file = file.map(AsFd::as_fd);
    if !late {
        return Mapping::new(file, first | libc::PROT_EXEC, kind).step("mmap").map(drop);
    }
    let mapping = Mapping::new(file, first, kind).step("mmap")?;
    mapping.protect(libc::PROT_READ | libc::PROT_EXEC).step("mprotect")
}

fn self_mem(by_pid: bool) -> Outcome {
    let name = if by_pid { format!("/proc/{}/mem", std::process::id()) } else { "/proc/self/mem".to_owned() };
    let memory = raw::openat(None, name.as_ref(), libc::O_RDWR, 0).step("openat mem")?;
    let text = *b"rewritten memory";
    raw::poke_own_constant(memory.as_fd(), text).step("pwrite mem")?;
    if raw::read_own_constant().1 == text {
        Ok(())
    } else {
        Err(Failure::Broken("the write did not show".to_owned()))
    }
}
