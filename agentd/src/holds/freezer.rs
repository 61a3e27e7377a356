//! Freezes processes that wait for a person: a task that waits turns in the kernel, which costs a processor.
//!
//! A frozen process is in a child of its own cgroup, so that its unit, its limits and its agent stay what they are.
//! Thawed, it goes back. Every step may fail, because the process may be gone: then there is nothing to freeze.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use procfs::process::Process;

use crate::agents::cgroup::{self, Cgroups};
use crate::clock;

/// How the cgroup of a frozen process begins.
const PREFIX: &str = "agentguard-held-";

/// Frozen processes and the cgroups that they are frozen in.
#[derive(Debug, Default)]
pub(super) struct Freezer {
    frozen: BTreeMap<u32, PathBuf>,
}

impl Freezer {
    /// Freezes a process. Once more changes nothing.
    pub(super) fn freeze(&mut self, pid: u32) {
        if self.frozen.contains_key(&pid) {
            return;
        }
        match freeze(pid) {
            Ok(cell) => {
                self.frozen.insert(pid, cell);
            }
            Err(error) => tracing::debug!(pid, %error, "a process that waits was not frozen"),
        }
    }

    /// Lets a process run again, also one that an agentd before this one froze.
    pub(super) fn thaw(&mut self, pid: u32) {
        if let Some(cell) = self.frozen.remove(&pid).or_else(|| cell_of(pid)) {
            thaw(&cell);
        }
    }
}

fn cell_of(pid: u32) -> Option<PathBuf> {
    let cell = Cgroups::find().ok()?.of(pid)?;
    cell.ends_with(format!("{PREFIX}{pid}")).then_some(cell)
}

/// Freezes the processes that wait for an agentd before this one. While programs are loaded they could only turn, and
/// loading waits for tasks that do: seconds each. Who takes over thaws them.
pub fn rest(waiting: &[(u32, u64)]) {
    let mut freezer = Freezer::default();
    for (pid, start_ns) in waiting {
        let process = i32::try_from(*pid).ok().and_then(|pid| Process::new(pid).ok()?.stat().ok());
        // Another process may have its number by now.
        if process.is_some_and(|stat| stat.starttime.abs_diff(start_ns / clock::NS_PER_TICK) <= 1) {
            freezer.freeze(*pid);
        }
    }
}

/// Thaws every process but these: whatever it waited for, nobody knows any more. If it still has to ask, it asks again.
pub fn free_others(waiting: &BTreeSet<u32>) {
    let Ok(cgroups) = Cgroups::find() else { return };
    let mut folders = vec![cgroups.mount().to_owned()];
    while let Some(folder) = folders.pop() {
        let inner = fs::read_dir(&folder).into_iter().flatten().flatten();
        for entry in inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let name = entry.file_name();
            match name.to_str().and_then(|name| name.strip_prefix(PREFIX)) {
                None => folders.push(entry.path()),
                Some(pid) if pid.parse().is_ok_and(|pid: u32| waiting.contains(&pid)) => {}
                Some(_) => thaw(&entry.path()),
            }
        }
    }
}

/// Returns the cgroup that the process is frozen in.
fn freeze(pid: u32) -> io::Result<PathBuf> {
    let cgroups = Cgroups::find().map_err(io::Error::other)?;
    let home = cgroups.of(pid).ok_or(io::ErrorKind::NotFound)?;
    let own = format!("{PREFIX}{pid}");
    if home.ends_with(&own) {
        return Ok(home); // an agentd before this one froze it
    }
    let cell = home.join(own);
    match fs::create_dir(&cell) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let moved = fs::write(cell.join("cgroup.freeze"), "1")
        .and_then(|()| fs::write(cell.join("cgroup.procs"), pid.to_string()));
    if let Err(error) = moved {
        let _ = fs::remove_dir(&cell);
        return Err(error);
    }
    Ok(cell)
}

/// Puts everybody who is there back to where the process came from: the process, and children that it had meanwhile.
fn thaw(cell: &Path) {
    let Some(home) = cell.parent() else { return };
    for pid in cgroup::processes(cell) {
        if let Err(error) = fs::write(home.join("cgroup.procs"), pid.to_string()) {
            tracing::debug!(pid, %error, "a frozen process was not put back");
        }
    }
    // Whoever could not be put back runs all the same.
    let _ = fs::write(cell.join("cgroup.freeze"), "0");
    let _ = fs::remove_dir(cell);
}

/// Whether a signal waits for the process that it would act on: a frozen process does not.
pub(super) fn has_signal(pid: u32) -> bool {
    let status = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok()?.status().ok());
    status.is_some_and(|status| {
        let pending = status.sigpnd | status.shdpnd;
        pending & !status.sigign & !status.sigblk != 0
    })
}
