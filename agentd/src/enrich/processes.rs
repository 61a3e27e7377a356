//! The process table: which executable a process runs and who started it.
//!
//! Fed by fork, exec and exit events; a process that was there before its agent was enrolled is looked up in /proc once,
//! with its ancestors. The lineage itself is kept in the store; here is only what the next event needs.

use std::sync::Arc;

use procfs::process::Process;

use crate::bounded::Bounded;
use crate::clock::NS_PER_TICK;
use crate::sense::event::{Body, Event, ProcessId};

/// Processes remembered. A governed process that is forgotten is looked up again.
const MAX_PROCESSES: usize = 16_384;

/// Ancestors looked up for a process that was there before.
const MAX_ANCESTORS: usize = 16;

/// Arguments kept of a process that was there before; the kernel cuts at the same size.
const MAX_ARGV_BYTES: usize = 4096;

/// What the store learns about processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessChange {
    /// A process came to be, or runs another program now.
    Started(Started),
    /// A process ended.
    Ended {
        /// The process.
        id: ProcessId,
        /// Exit code.
        code: i32,
        /// Signal, 0 if none.
        signal: u32,
    },
}

/// A process and its program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The process.
    pub id: ProcessId,
    /// Its parent.
    pub parent: ProcessId,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Executable, if known.
    pub exe: Option<Arc<str>>,
    /// Arguments, if known.
    pub argv: Vec<String>,
    /// Working directory, if known.
    pub cwd: Option<String>,
}

/// What is known about the process of an event.
pub(super) struct Seen {
    pub(super) id: ProcessId,
    pub(super) exe: Option<Arc<str>>,
}

struct Entry {
    id: ProcessId,
    exe: Option<Arc<str>>,
}

/// Pid to the process that has it, or had it last.
pub(super) struct Processes(Bounded<u32, Entry>);

impl Default for Processes {
    fn default() -> Self {
        Self(Bounded::new(MAX_PROCESSES))
    }
}

impl Processes {
    /// Learns what an event says, and tells what is known about its process.
    pub(super) fn see(&mut self, event: &Event, changes: &mut Vec<ProcessChange>) -> Seen {
        if event.process.pid == 0 {
            return Seen { id: event.process, exe: None };
        }
        let exe = match &event.body {
            // One that fails or waits has not begun.
            Body::Exec(exec) if !(event.ruling.enforced && event.ruling.verdict.stops()) => {
                let exe: Arc<str> = exec.path.as_str().into();
                changes.push(ProcessChange::Started(Started {
                    id: event.process,
                    parent: event.parent,
                    uid: event.uid,
                    gid: event.gid,
                    exe: Some(exe.clone()),
                    argv: exec.argv.clone(),
                    cwd: Some(exec.cwd.clone()),
                }));
                self.0.insert(event.process.pid, Entry { id: event.process, exe: Some(exe.clone()) });
                Some(exe)
            }
            _ => self.known(event, changes),
        };
        self.follow(event, exe.as_ref(), changes);
        let id = match event.process.start_ns {
            0 => self.0.get(&event.process.pid).map_or(event.process, |entry| entry.id),
            _ => event.process,
        };
        Seen { id, exe }
    }

    /// A child starts with its parent's program; an exit ends the process.
    fn follow(&mut self, event: &Event, exe: Option<&Arc<str>>, changes: &mut Vec<ProcessChange>) {
        match event.body {
            Body::Fork { child } => {
                self.0.insert(child.pid, Entry { id: child, exe: exe.cloned() });
                changes.push(ProcessChange::Started(Started {
                    id: child,
                    parent: event.process,
                    uid: event.uid,
                    gid: event.gid,
                    exe: exe.cloned(),
                    argv: Vec::new(),
                    cwd: None,
                }));
            }
            Body::Exit { code, signal } => {
                changes.push(ProcessChange::Ended { id: event.process, code, signal })
            }
            _ => {}
        }
    }

    fn known(&mut self, event: &Event, changes: &mut Vec<ProcessChange>) -> Option<Arc<str>> {
        match self.0.get(&event.process.pid) {
            Some(entry) if event.process.start_ns == 0 || entry.id == event.process => entry.exe.clone(),
            _ => self.look_up(event, changes),
        }
    }

    /// First sight of a process. What /proc can not tell (any more) stays unknown and is not asked again.
    fn look_up(&mut self, event: &Event, changes: &mut Vec<ProcessChange>) -> Option<Arc<str>> {
        let mut found = from_proc(event.process.pid).filter(|found| {
            event.process.start_ns == 0
                || found.id.start_ns / NS_PER_TICK == event.process.start_ns / NS_PER_TICK
        });
        if let Some(found) = &mut found {
            if event.process.start_ns != 0 {
                found.id = event.process;
                found.parent = event.parent;
            }
            self.look_up_ancestors(found.parent.pid, changes);
        }
        let started = found.unwrap_or_else(|| Started {
            id: event.process,
            parent: event.parent,
            uid: event.uid,
            gid: event.gid,
            exe: None,
            argv: Vec::new(),
            cwd: None,
        });
        let exe = started.exe.clone();
        self.0.insert(event.process.pid, Entry { id: started.id, exe: exe.clone() });
        changes.push(ProcessChange::Started(started));
        exe
    }

    fn look_up_ancestors(&mut self, mut pid: u32, changes: &mut Vec<ProcessChange>) {
        for _ in 0..MAX_ANCESTORS {
            if pid == 0 || self.0.get(&pid).is_some() {
                return;
            }
            let Some(found) = from_proc(pid) else { return };
            pid = found.parent.pid;
            self.0.insert(found.id.pid, Entry { id: found.id, exe: found.exe.clone() });
            changes.push(ProcessChange::Started(found));
        }
    }
}

fn from_proc(pid: u32) -> Option<Started> {
    let process = Process::new(i32::try_from(pid).ok()?).ok()?;
    let stat = process.stat().ok()?;
    let status = process.status().ok()?;
    Some(Started {
        id: ProcessId { pid, start_ns: stat.starttime.saturating_mul(NS_PER_TICK) },
        parent: ProcessId { pid: u32::try_from(stat.ppid).unwrap_or(0), start_ns: 0 },
        uid: status.euid,
        gid: status.egid,
        exe: process.exe().ok().map(|exe| exe.to_string_lossy().into()),
        argv: cut(process.cmdline().unwrap_or_default()),
        cwd: process.cwd().ok().map(|cwd| cwd.to_string_lossy().into_owned()),
    })
}

fn cut(argv: Vec<String>) -> Vec<String> {
    let mut left = MAX_ARGV_BYTES;
    argv.into_iter()
        .take_while(|argument| {
            let fits = argument.len() < left;
            left = left.saturating_sub(argument.len() + 1);
            fits
        })
        .collect()
}
