//! Files: ways to open one, and ways to change one without opening it for writing.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use nix::fcntl::AtFlags;
use nix::libc;
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags};
use nix::sys::time::TimeSpec;

use crate::options::{Target, open_and_print, open_flags, print_content};
use crate::outcome::{Failure, Outcome, Step};
use crate::raw;

/// Deeper trees say nothing new and take long to remove.
const MAX_DEPTH: u32 = 4096;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// openat with flags; prints the content when opened for reading.
    Open {
        path: PathBuf,
        /// rdonly, wronly, rdwr, creat, excl, trunc, append, path, directory, tmpfile, nofollow, direct, ioctl
        #[arg(long, value_parser = open_flags, default_value = "rdonly")]
        flags: i32,
        /// Relative to this directory.
        #[arg(long)]
        at: Option<PathBuf>,
    },
    /// openat2 with resolve flags.
    Openat2 {
        path: PathBuf,
        #[arg(long, value_parser = open_flags, default_value = "rdonly")]
        flags: i32,
        #[arg(long)]
        at: Option<PathBuf>,
        #[arg(long)]
        resolve: Vec<Resolve>,
    },
    /// O_PATH, then a real open through /proc/self/fd.
    Reopen {
        path: PathBuf,
        #[arg(long, value_parser = open_flags, default_value = "rdonly")]
        flags: i32,
    },
    /// name_to_handle_at, then open_by_handle_at.
    HandleOpen {
        path: PathBuf,
        /// Any directory of the same file system.
        #[arg(long, default_value = "/")]
        mount: PathBuf,
    },
    /// open_tree(OPEN_TREE_CLONE) of a directory, then open a file in the copy that is mounted nowhere.
    OpenTree { directory: PathBuf, inside: PathBuf },
    /// truncate.
    Truncate { path: PathBuf },
    /// ftruncate of a descriptor.
    Ftruncate { target: Target },
    /// fallocate of a descriptor.
    Fallocate {
        target: Target,
        /// Zero the range instead of growing the file.
        #[arg(long)]
        zero: bool,
    },
    /// chmod.
    Chmod {
        target: Target,
        #[arg(value_parser = |text: &str| u32::from_str_radix(text, 8))]
        mode: u32,
    },
    /// chown to the caller's own ids, which needs no privilege.
    Chown { path: PathBuf },
    /// utimensat.
    Utimes { path: PathBuf },
    /// setxattr of a user attribute.
    Setxattr {
        target: Target,
        #[arg(default_value = "user.agentguard")]
        name: OsString,
    },
    /// link.
    Link { old: PathBuf, new: PathBuf },
    /// linkat of a descriptor, by AT_EMPTY_PATH or through /proc/self/fd.
    LinkFd {
        old: PathBuf,
        new: PathBuf,
        #[arg(long)]
        proc: bool,
    },
    /// symlink.
    Symlink { target: PathBuf, new: PathBuf },
    /// rename.
    Rename {
        old: PathBuf,
        new: PathBuf,
        /// RENAME_EXCHANGE
        #[arg(long)]
        exchange: bool,
        /// RENAME_WHITEOUT
        #[arg(long)]
        whiteout: bool,
    },
    /// Makes a tree of directories longer than PATH_MAX, step by step, with a file at its end.
    Deep {
        /// Where it starts.
        start: PathBuf,
        #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_DEPTH)))]
        depth: u32,
        /// Length of each name.
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=255))]
        name_bytes: u32,
        /// Walk a tree that is there instead of making it, and read the file at its end.
        #[arg(long)]
        read: bool,
    },
}

/// RESOLVE_* of openat2.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Resolve {
    Beneath,
    InRoot,
    NoSymlinks,
    NoMagiclinks,
    NoXdev,
}

impl Resolve {
    fn bit(self) -> u64 {
        match self {
            Self::Beneath => libc::RESOLVE_BENEATH,
            Self::InRoot => libc::RESOLVE_IN_ROOT,
            Self::NoSymlinks => libc::RESOLVE_NO_SYMLINKS,
            Self::NoMagiclinks => libc::RESOLVE_NO_MAGICLINKS,
            Self::NoXdev => libc::RESOLVE_NO_XDEV,
        }
    }
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Open { path, flags, at } => open(&path, flags, at.as_deref(), None),
        Command::Openat2 { path, flags, at, resolve } => {
            let resolve = resolve.iter().fold(0, |bits, flag| bits | flag.bit());
            open(&path, flags, at.as_deref(), Some(resolve))
        }
        Command::Reopen { path, flags } => reopen(&path, flags),
        Command::HandleOpen { path, mount } => handle_open(&path, &mount),
        Command::OpenTree { directory, inside } => open_tree(&directory, &inside),
        Command::Truncate { path } => nix::unistd::truncate(&path, 0).step("truncate"),
        Command::Ftruncate { target } => {
            nix::unistd::ftruncate(target.acquire(libc::O_RDWR)?, 0).step("ftruncate")
        }
        Command::Fallocate { target, zero } => {
            let mode = if zero { libc::FALLOC_FL_ZERO_RANGE } else { 0 };
            raw::allocate(target.acquire(libc::O_RDWR)?.as_fd(), mode, 4096)
                .step("fallocate")
                .map_err(Failure::missing_if_unsupported)
        }
        Command::Chmod { target, mode } => chmod(&target, mode),
        Command::Chown { path } => {
            let (user, group) = (nix::unistd::getuid(), nix::unistd::getgid());
            nix::unistd::chown(&path, Some(user), Some(group)).step("chown")
        }
        Command::Utimes { path } => utimes(&path),
        Command::Setxattr { target, name } => setxattr(&target, &name),
        Command::Link { old, new } => {
            nix::unistd::linkat(nix::fcntl::AT_FDCWD, &old, nix::fcntl::AT_FDCWD, &new, AtFlags::empty())
                .step("linkat")
        }
        Command::LinkFd { old, new, proc } => link_fd(&old, &new, proc),
        Command::Symlink { target, new } => std::os::unix::fs::symlink(target, new).step("symlink"),
        Command::Rename { old, new, exchange, whiteout } => {
            let exchange = if exchange { libc::RENAME_EXCHANGE } else { 0 };
            let whiteout = if whiteout { libc::RENAME_WHITEOUT } else { 0 };
            raw::rename(&old, &new, exchange | whiteout).step("renameat2")
        }
        Command::Deep { start, depth, name_bytes, read } => deep(&start, depth, name_bytes, read),
    }
}

fn directory(path: Option<&Path>) -> Outcome<Option<OwnedFd>> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    path.map(|path| raw::openat(None, path, flags, 0).step("openat directory")).transpose()
}

fn open(path: &Path, flags: i32, at: Option<&Path>, resolve: Option<u64>) -> Outcome {
    let at = directory(at)?;
    let at = at.as_ref().map(AsFd::as_fd);
    let file = match resolve {
        Some(resolve) => raw::openat2(at, path, flags, resolve).step("openat2")?,
        None => raw::openat(at, path, flags, 0o600).step("openat")?,
    };
    let reads = flags & libc::O_ACCMODE == libc::O_RDONLY;
    if reads && flags & (libc::O_PATH | libc::O_DIRECTORY) == 0 { print_content(file) } else { Ok(()) }
}

fn reopen(path: &Path, flags: i32) -> Outcome {
    let handle = raw::openat(None, path, libc::O_PATH, 0).step("openat O_PATH")?;
    let name = PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()));
    let file = raw::openat(None, &name, flags, 0).step("openat /proc/self/fd")?;
    if flags & libc::O_ACCMODE == libc::O_RDONLY { print_content(file) } else { Ok(()) }
}

fn handle_open(path: &Path, mount: &Path) -> Outcome {
    let handle = raw::handle_of(path).step("name_to_handle_at").map_err(Failure::missing_if_unsupported)?;
    let mount = raw::openat(None, mount, libc::O_RDONLY | libc::O_DIRECTORY, 0).step("openat mount")?;
    print_content(raw::open_handle(mount.as_fd(), &handle, libc::O_RDONLY).step("open_by_handle_at")?)
}

fn open_tree(directory: &Path, inside: &Path) -> Outcome {
    /// OPEN_TREE_CLONE
    const CLONE: u32 = 1;
    let tree = raw::open_tree(directory, CLONE).step("open_tree")?;
    print_content(raw::openat(Some(tree.as_fd()), inside, libc::O_RDONLY, 0).step("openat in tree")?)
}

fn chmod(target: &Target, mode: u32) -> Outcome {
    let mode = Mode::from_bits_truncate(mode);
    match target {
        Target::Path(path) => {
            nix::sys::stat::fchmodat(nix::fcntl::AT_FDCWD, path, mode, FchmodatFlags::FollowSymlink)
                .step("fchmodat")
        }
        Target::Inherited(_) => nix::sys::stat::fchmod(target.acquire(libc::O_RDONLY)?, mode).step("fchmod"),
    }
}

fn utimes(path: &Path) -> Outcome {
    let old = TimeSpec::new(1, 0);
    let follow = UtimensatFlags::FollowSymlink;
    nix::sys::stat::utimensat(nix::fcntl::AT_FDCWD, path, &old, &old, follow).step("utimensat")
}

fn setxattr(target: &Target, name: &OsString) -> Outcome {
    match target {
        Target::Path(path) => raw::set_attribute(path, name, b"1").step("setxattr"),
        Target::Inherited(_) => {
            raw::set_attribute_of(target.acquire(libc::O_RDONLY)?.as_fd(), name, b"1").step("fsetxattr")
        }
    }
    .map_err(Failure::missing_if_unsupported)
}

fn link_fd(old: &Path, new: &Path, proc: bool) -> Outcome {
    let file = raw::openat(None, old, libc::O_PATH, 0).step("openat O_PATH")?;
    if !proc {
        return raw::link_descriptor(file.as_fd(), new).step("linkat AT_EMPTY_PATH");
    }
    let name = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let cwd = nix::fcntl::AT_FDCWD;
    nix::unistd::linkat(cwd, &name, cwd, new, AtFlags::AT_SYMLINK_FOLLOW).step("linkat /proc/self/fd")
}

fn deep(start: &Path, depth: u32, name_bytes: u32, read: bool) -> Outcome {
    let name = PathBuf::from("d".repeat(name_bytes as usize));
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let mut here = raw::openat(None, start, flags, 0).step("openat start")?;
    for _ in 0..depth {
        if !read {
            nix::sys::stat::mkdirat(&here, &name, Mode::S_IRWXU).step("mkdirat")?;
        }
        here = raw::openat(Some(here.as_fd()), &name, flags, 0).step("openat next")?;
    }
    let last = Path::new("last");
    if read {
        print_content(raw::openat(Some(here.as_fd()), last, libc::O_RDONLY, 0).step("openat last")?)
    } else {
        let flags = libc::O_CREAT | libc::O_WRONLY;
        let file = raw::openat(Some(here.as_fd()), last, flags, 0o600).step("openat create last")?;
        nix::unistd::write(&file, b"deep secret\n").step("write").map(drop)
    }
}

/// For the commands of other modules that end with "and then reach this file".
pub(crate) fn reach(path: Option<&Path>) -> Outcome {
    path.map_or(Ok(()), open_and_print)
}
