//! Labels of running tasks: the kernel's own list of tasks is walked by a program, so that no thread is missed.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use agentguard_bpf::types;
use agentguard_core::ids::AgentKey;
use libbpf_rs::{Link, MapCore as _, MapFlags};
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
    let label = types::label { slot: agent.slot, serial: agent.serial };
    let mut enrolled = BTreeSet::new();
    let mut result = Ok(());
    for _ in 0..MAX_PASSES {
        let family = family_of(pid)?;
        if family.is_subset(&enrolled) {
            break;
        }
        result = family.iter().try_for_each(|pid| update(&maps.enroll_label, pid, &label));
        enrolled.extend(family);
        result = result.and_then(|()| label_tasks(labeller).map(drop));
        if result.is_err() {
            break;
        }
    }
    for pid in &enrolled {
        remove(&maps.enroll_label, pid)?;
    }
    result?;
    let governed = label_tasks(labeller)?;
    Ok(governed.iter().filter(|task| is_of(task, agent) && enrolled.contains(&task.tgid)).count() as u32)
}

/// Process ids of an agent's tasks.
pub(super) fn tasks_of(labeller: &Link, agent: AgentKey) -> Result<Vec<u32>, KernelError> {
    let pids: BTreeSet<u32> =
        label_tasks(labeller)?.iter().filter(|task| is_of(task, agent)).map(|task| task.tgid).collect();
    Ok(pids.into_iter().collect())
}

fn is_of(task: &types::labelled_task, agent: AgentKey) -> bool {
    task.label.slot == agent.slot && task.label.serial == agent.serial
}

/// The label of a process' main thread.
pub(super) fn label_of(maps: &Maps, pid: u32) -> Result<Option<types::label>, KernelError> {
    let process = open_process(pid)?;
    let key = process.as_raw_fd().to_ne_bytes();
    let found = maps
        .task_label
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

fn open_process(pid: u32) -> Result<OwnedFd, KernelError> {
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

/// A process and its descendants, by /proc.
fn family_of(pid: u32) -> Result<BTreeSet<u32>, KernelError> {
    let processes = procfs::process::all_processes().map_err(|error| KernelError::System {
        what: "reading /proc".to_owned(),
        source: std::io::Error::other(error),
    })?;
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let mut found = false;
    for stat in processes.flatten().filter_map(|process| process.stat().ok()) {
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
