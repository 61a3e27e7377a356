//! Mounts: ways to give a file another path.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::files;
use crate::outcome::{Outcome, Step};
use crate::raw;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Mounts one directory on another, then perhaps reads a file.
    BindMount {
        from: PathBuf,
        to: PathBuf,
        /// By open_tree and move_mount.
        #[arg(long)]
        new: bool,
        /// In a user and a mount namespace of its own.
        #[arg(long)]
        unshare: bool,
        #[arg(long)]
        open: Option<PathBuf>,
    },
    /// Mounts an overlay of a directory, then perhaps reads a file.
    OverlayMount {
        /// Directories with a colon between them, two at least.
        lower: String,
        to: PathBuf,
        #[arg(long)]
        open: Option<PathBuf>,
    },
    /// Mounts a tmpfs.
    TmpfsMount { to: PathBuf },
    /// Unmounts.
    Unmount { path: PathBuf },
    /// pivot_root.
    PivotRoot { new: PathBuf, old: PathBuf },
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::BindMount { from, to, new, unshare, open } => {
            if unshare {
                let both = nix::sched::CloneFlags::CLONE_NEWUSER | nix::sched::CloneFlags::CLONE_NEWNS;
                nix::sched::unshare(both).step("unshare")?;
            }
            if new {
                bind_by_tree(&from, &to)?
            } else {
                bind(&from, &to)?
            }
            files::reach(open.as_deref())
        }
        Command::OverlayMount { lower, to, open } => {
            let options = format!("lowerdir={lower}");
            let (kind, flags) = (Some("overlay"), MsFlags::MS_RDONLY);
            mount(Some("overlay"), &to, kind, flags, Some(options.as_str())).step("mount overlay")?;
            files::reach(open.as_deref())
        }
        Command::TmpfsMount { to } => {
            let none = None::<&str>;
            mount(Some("tmpfs"), &to, Some("tmpfs"), MsFlags::empty(), none).step("mount tmpfs")
        }
        Command::Unmount { path } => umount2(&path, MntFlags::MNT_DETACH).step("umount2"),
        Command::PivotRoot { new, old } => nix::unistd::pivot_root(&new, &old).step("pivot_root"),
    }
}

fn bind(from: &Path, to: &Path) -> Outcome {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).step("mount")
}

fn bind_by_tree(from: &Path, to: &Path) -> Outcome {
    /// OPEN_TREE_CLONE
    const CLONE: u32 = 1;
    let tree = raw::open_tree(from, CLONE).step("open_tree")?;
    let target = raw::openat(None, to, libc::O_PATH | libc::O_DIRECTORY, 0).step("openat target")?;
    raw::move_mount(tree.as_fd(), target.as_fd()).step("move_mount")
}
