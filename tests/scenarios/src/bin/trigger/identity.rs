//! Ways to stop being who one is: namespaces, cgroups, orphans, ids.

use std::os::fd::AsFd;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use nix::libc;
use nix::sched::CloneFlags;

use crate::files;
use crate::outcome::{Failure, Outcome, Step};
use crate::raw::{self, Spawn};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// unshare, then perhaps read a file.
    Unshare {
        #[arg(required = true)]
        namespaces: Vec<Namespace>,
        #[arg(long)]
        open: Option<PathBuf>,
    },
    /// clone3 with new namespaces; the child perhaps reads a file.
    Clone {
        #[arg(required = true)]
        namespaces: Vec<Namespace>,
        #[arg(long)]
        open: Option<PathBuf>,
    },
    /// setns to a namespace file, then perhaps read a file.
    Setns {
        namespace: PathBuf,
        #[arg(long)]
        open: Option<PathBuf>,
    },
    /// clone3 with CLONE_INTO_CGROUP; the child perhaps reads a file.
    CloneIntoCgroup {
        cgroup: PathBuf,
        #[arg(long)]
        open: Option<PathBuf>,
    },
    /// Two forks and a session of its own; the orphan reads a file.
    Orphan { path: PathBuf },
    /// A chain of children, the last of which reads a file.
    Lineage {
        path: PathBuf,
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
        depth: u32,
    },
    /// setresuid.
    Setuid { id: u32 },
    /// setresgid.
    Setgid { id: u32 },
    /// setgroups.
    Setgroups { id: u32 },
    /// capset to every capability.
    Capset,
    /// chroot, then perhaps read a file.
    Chroot {
        root: PathBuf,
        #[arg(long)]
        open: Option<PathBuf>,
    },
}

/// Kinds of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Namespace {
    User,
    Mnt,
    Pid,
    Net,
    Ipc,
    Uts,
    Cgroup,
}

fn flags(namespaces: &[Namespace]) -> CloneFlags {
    namespaces.iter().fold(CloneFlags::empty(), |flags, namespace| {
        flags
            | match namespace {
                Namespace::User => CloneFlags::CLONE_NEWUSER,
                Namespace::Mnt => CloneFlags::CLONE_NEWNS,
                Namespace::Pid => CloneFlags::CLONE_NEWPID,
                Namespace::Net => CloneFlags::CLONE_NEWNET,
                Namespace::Ipc => CloneFlags::CLONE_NEWIPC,
                Namespace::Uts => CloneFlags::CLONE_NEWUTS,
                Namespace::Cgroup => CloneFlags::CLONE_NEWCGROUP,
            }
    })
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Unshare { namespaces, open } => {
            nix::sched::unshare(flags(&namespaces)).step("unshare")?;
            files::reach(open.as_deref())
        }
        Command::Clone { namespaces, open } => {
            let bits = flags(&namespaces).bits();
            let how = Spawn { flags: u64::from(bits.cast_unsigned()), cgroup: None };
            raw::in_child(&how, || files::reach(open.as_deref()))
        }
        Command::Setns { namespace, open } => {
            let file = raw::openat(None, &namespace, libc::O_RDONLY, 0).step("openat namespace")?;
            nix::sched::setns(&file, CloneFlags::empty()).step("setns")?;
            files::reach(open.as_deref())
        }
        Command::CloneIntoCgroup { cgroup, open } => {
            let flags = libc::O_PATH | libc::O_DIRECTORY;
            let cgroup = raw::openat(None, &cgroup, flags, 0).step("openat cgroup")?;
            let how = Spawn { flags: 0, cgroup: Some(cgroup.as_fd()) };
            raw::in_child(&how, || files::reach(open.as_deref()))
        }
        Command::Orphan { path } => raw::in_orphan(|| files::reach(Some(&path))),
        Command::Lineage { path, depth } => lineage(&path, depth),
        Command::Setuid { id } => raw::set_ids(true, id).step("setresuid"),
        Command::Setgid { id } => raw::set_ids(false, id).step("setresgid"),
        Command::Setgroups { id } => {
            nix::unistd::setgroups(&[nix::unistd::Gid::from_raw(id)]).step("setgroups")
        }
        Command::Capset => raw::ask_for_all_capabilities().step("capset"),
        Command::Chroot { root, open } => {
            nix::unistd::chroot(&root).step("chroot")?;
            nix::unistd::chdir("/").step("chdir")?;
            files::reach(open.as_deref())
        }
    }
}

fn lineage(path: &std::path::Path, depth: u32) -> Outcome {
    match depth.checked_sub(1) {
        Some(rest) => raw::in_child(&Spawn::default(), || lineage(path, rest)),
        None => files::reach(Some(path)),
    }
    .map_err(|failure| match failure {
        Failure::Broken(why) => Failure::Broken(format!("at depth {depth}: {why}")),
        other => other,
    })
}
