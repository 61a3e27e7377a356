//! Freezes processes that wait for a person: a task that waits turns in the kernel, which costs a processor.
//!
//! A frozen process is in a child of its own cgroup, so that its unit, its limits and its agent stay what they are.
//! Thawed, it goes back. Every step may fail, because the process may be gone: then there is nothing to freeze.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use procfs::process::Process;

use crate::agents::cgroup::Cgroups;
use crate::clock;

/// How the cgroup of a frozen process begins.
const PREFIX: &str = "agentguard-held-";

/// Frozen processes and where they came from.
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
            Ok(home) => {
                self.frozen.insert(pid, home);
            }
            Err(error) => tracing::debug!(pid, %error, "a process that waits was not frozen"),
        }
    }

    /// Knows a process again that an agentd before this one froze.
    pub(super) fn adopt(&mut self, pid: u32) {
        let home = Cgroups::find().ok().and_then(|cgroups| cgroups.of(pid));
        if let Some(home) = home.filter(|home| home.ends_with(format!("{PREFIX}{pid}"))) {
            self.frozen.insert(pid, home.parent().unwrap_or(&home).to_owned());
        }
    }

    /// Lets a process run again.
    pub(super) fn thaw(&mut self, pid: u32) {
        let Some(home) = self.frozen.remove(&pid) else { return };
        if let Err(error) = thaw(pid, &home) {
            tracing::debug!(pid, %error, "a frozen process was not put back");
        }
    }
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

/// Thaws processes whose requests no agentd knows any more: they ask again.
pub fn free(pids: &[u32]) {
    let mut freezer = Freezer::default();
    for pid in pids {
        freezer.adopt(*pid);
        freezer.thaw(*pid);
    }
}

/// Returns the cgroup that the process was in.
fn freeze(pid: u32) -> io::Result<PathBuf> {
    let cgroups = Cgroups::find().map_err(io::Error::other)?;
    let mut home = cgroups.of(pid).ok_or(io::ErrorKind::NotFound)?;
    let own = format!("{PREFIX}{pid}");
    if home.ends_with(&own) {
        // An agentd before this one froze it.
        home.pop();
        return Ok(home);
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
    Ok(home)
}

fn thaw(pid: u32, home: &Path) -> io::Result<()> {
    let cell = home.join(format!("{PREFIX}{pid}"));
    let moved = fs::write(home.join("cgroup.procs"), pid.to_string());
    // Children that it had meanwhile, if any, must not stay behind.
    let _ = fs::write(cell.join("cgroup.freeze"), "0");
    let _ = fs::remove_dir(&cell);
    moved
}

/// Whether a signal waits for the process that it would act on: a frozen process does not.
pub(super) fn has_signal(pid: u32) -> bool {
    let status = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok()?.status().ok());
    status.is_some_and(|status| {
        let pending = status.sigpnd | status.shdpnd;
        pending & !status.sigign & !status.sigblk != 0
    })
}
