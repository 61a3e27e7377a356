//! Labels of running tasks: the kernel's own list of tasks is walked by a program, so that no thread is missed.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use agentguard_bpf::types;
use agentguard_core::ids::AgentKey;
use libbpf_rs::{Link, MapCore as _, MapFlags, MapHandle};
use nix::libc;

use super::KernelError;
use super::iterate::iterate;
use super::maps::{Maps, failed, remove, update};
use super::wire::value_of;

/// New children can appear between two looks at /proc; each look finds fewer.
const MAX_PASSES: usize = 16;

/// One run of the labeller: every governed task, after those that ought to be were labelled.
pub(super) fn label_tasks(labeller: &Link) -> Result<Vec<types::labelled_task>, KernelError> {
    let bytes = iterate(labeller, "walking the kernel's tasks")?;
    Ok(bytes.chunks_exact(size_of::<types::labelled_task>()).filter_map(value_of).collect())
}

/// Labels a process, its threads and its descendants, and repeats until no new child was found.
pub(super) fn enroll(maps: &Maps, labeller: &Link, agent: AgentKey, pid: u32) -> Result<u32, KernelError> {
    let mut enrolled = BTreeMap::new();
    for _ in 0..MAX_PASSES {
        let family: BTreeMap<u32, AgentKey> = family_of(pid)?.into_iter().map(|pid| (pid, agent)).collect();
        if family.keys().all(|pid| enrolled.contains_key(pid)) {
            break;
        }
        enrolled.extend(family);
        label_all(maps, labeller, &enrolled)?;
    }
    let governed = label_tasks(labeller)?;
    Ok(governed.iter().filter(|task| is_of(task, agent) && enrolled.contains_key(&task.tgid)).count() as u32)
}

/// Labels the processes that programs of another layout govern, and repeats until all had a label before: the last pass
/// finds the threads that were born during the one before.
pub(super) fn take_over(
    maps: &Maps,
    labeller: &Link,
    labelled: impl Fn() -> Result<BTreeMap<u32, AgentKey>, KernelError>,
) -> Result<Vec<u32>, KernelError> {
    let mut taken = BTreeSet::new();
    for _ in 0..MAX_PASSES {
        let wanted = labelled()?;
        let governed = label_tasks(labeller)?;
        let is_governed = |pid: &u32| governed.iter().any(|task| task.tgid == *pid);
        let is_last = wanted.keys().all(is_governed);
        label_all(maps, labeller, &wanted)?;
        taken.extend(wanted.into_keys());
        if is_last {
            return Ok(taken.into_iter().collect());
        }
    }
    Err(KernelError::Missing("processes of agents appear faster than they can be labelled".to_owned()))
}

/// Labels every thread of these processes, unless it has a label.
fn label_all(maps: &Maps, labeller: &Link, wanted: &BTreeMap<u32, AgentKey>) -> Result<(), KernelError> {
    let labels =
        wanted.iter().map(|(pid, agent)| (pid, types::label { slot: agent.slot, serial: agent.serial }));
    let mut labelled =
        labels.into_iter().try_for_each(|(pid, label)| update(&maps.enroll_label, pid, &label));
    labelled = labelled.and_then(|()| label_tasks(labeller).map(drop));
    wanted.keys().try_for_each(|pid| remove(&maps.enroll_label, pid))?;
    labelled
}

/// Process ids of an agent's tasks.
pub(super) fn tasks_of(labeller: &Link, agent: AgentKey) -> Result<BTreeSet<u32>, KernelError> {
    Ok(label_tasks(labeller)?.iter().filter(|task| is_of(task, agent)).map(|task| task.tgid).collect())
}

fn is_of(task: &types::labelled_task, agent: AgentKey) -> bool {
    task.label.slot == agent.slot && task.label.serial == agent.serial
}

/// The label of a process' main thread.
pub(super) fn label_in(labels: &MapHandle, pid: u32) -> Result<Option<types::label>, KernelError> {
    let process = open_process(pid)?;
    let key = process.as_raw_fd().to_ne_bytes();
    let found = labels
        .lookup(&key, MapFlags::ANY)
        .map_err(|error| failed(format!("reading the label of process {pid}"), error))?;
    Ok(found.as_deref().and_then(value_of))
}

/// A descriptor of another process: the same open file, with the same position.
pub fn descriptor_of(pid: u32, number: i32) -> Result<OwnedFd, KernelError> {
    let process = open_process(pid)?;
    // SAFETY: a plain system call without pointers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) };
    if fd < 0 {
        let what = format!("taking descriptor {number} of process {pid}");
        return Err(KernelError::System { what, source: std::io::Error::last_os_error() });
    }
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A process, to be signalled: the descriptor never means a later one that got the same number.
pub fn open_process(pid: u32) -> Result<OwnedFd, KernelError> {
    // SAFETY: a plain system call without pointers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    if fd < 0 {
        let source = std::io::Error::last_os_error();
        return Err(match source.raw_os_error() {
            Some(libc::ESRCH) => KernelError::Missing(format!("no process {pid}")),
            _ => KernelError::System { what: format!("opening process {pid}"), source },
        });
    }
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Ends a process at once. One that has ended already is no error.
pub fn kill(process: &OwnedFd) -> Result<(), KernelError> {
    let no_details = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the pointer may be null.
    let sent = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), libc::SIGKILL, no_details, 0)
    };
    match std::io::Error::last_os_error() {
        error if sent < 0 && error.raw_os_error() != Some(libc::ESRCH) => {
            Err(KernelError::System { what: "ending a process".to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

/// Every process, by /proc.
pub(super) fn processes() -> Result<Vec<u32>, KernelError> {
    Ok(all_processes()?.filter_map(|process| u32::try_from(process.ok()?.pid).ok()).collect())
}

fn all_processes() -> Result<procfs::process::ProcessesIter, KernelError> {
    procfs::process::all_processes().map_err(|error| KernelError::System {
        what: "reading /proc".to_owned(),
        source: std::io::Error::other(error),
    })
}

/// A process and its descendants, by /proc.
fn family_of(pid: u32) -> Result<BTreeSet<u32>, KernelError> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let mut found = false;
    for stat in all_processes()?.flatten().filter_map(|process| process.stat().ok()) {
        found |= stat.pid == pid as i32;
        children.entry(stat.ppid).or_default().push(stat.pid);
    }
    if !found {
        return Err(KernelError::Missing(format!("no process {pid}")));
    }
    let mut family = BTreeSet::new();
    let mut waiting = vec![pid as i32];
    while let Some(next) = waiting.pop() {
        if family.insert(next as u32) {
            waiting.extend(children.get(&next).into_iter().flatten());
        }
    }
    Ok(family)
}
