//! What policy sees of a request that waits, beside the request: the process, its lineage, what the agent did before.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use agentguard_core::held::{Ancestor, Asker, HeldProcess};
use agentguard_core::record::{Object, Record};
use agentguard_policy::{HeldFacts, Recent, WantedFacts};
use nix::sys::stat::{major, minor};
use procfs::process::Process;
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

use crate::act::object;
use crate::bounded::Bounded;
use crate::kernel::Held;
use crate::record::Store;
use crate::record::history::of_agent;

/// Ancestors told, the parent first.
const MAX_ANCESTORS: usize = 16;

/// Records told, the newest first.
const MAX_RECENT: u32 = 20;

/// Hashes of programs remembered.
const MAX_HASHES: usize = 1024;

/// A file as it was when it was hashed: device, inode, ctime, size.
type FileVersion = (u64, u64, (i64, i64), u64);

/// Gathers facts, and remembers hashes: the same few programs ask again and again.
pub(super) struct Gatherer(Mutex<Bounded<FileVersion, String>>);

impl Default for Gatherer {
    fn default() -> Self {
        Self(Mutex::new(Bounded::new(MAX_HASHES)))
    }
}

impl Gatherer {
    /// What policy wants to know.
    pub(super) fn gather(
        &self,
        record: &Record,
        held: &Held,
        wanted: WantedFacts,
        store: &Store,
    ) -> HeldFacts {
        let reader = wanted.recent.then(|| store.reader().ok()).flatten();
        HeldFacts {
            rule: record.decision.rule.clone().unwrap_or_default(),
            asker: self.asker(record, held, wanted),
            recent: reader.map(|reader| recent(record, &reader)).unwrap_or_default(),
        }
    }

    /// Everything that is wanted and can be told now. The rest is left empty: no rule should allow because of what is
    /// missing.
    pub(super) fn asker(&self, record: &Record, held: &Held, wanted: WantedFacts) -> Asker {
        let looks = wanted.process || wanted.lineage;
        let process = i32::try_from(held.pid).ok().filter(|_| looks).and_then(|pid| Process::new(pid).ok());
        let program = wanted.sha256.then(|| self.hash_of_program(record, held.pid).ok()).flatten();
        Asker {
            sha256: program.unwrap_or_default(),
            process: match &process {
                Some(process) if wanted.process => self.of_process(process, wanted.process_sha256),
                _ => HeldProcess::default(),
            },
            lineage: process.filter(|_| wanted.lineage).map(lineage).unwrap_or_default(),
        }
    }

    fn of_process(&self, process: &Process, wants_hash: bool) -> HeldProcess {
        let names = |environment: HashMap<OsString, OsString>| {
            let mut names: Vec<_> =
                environment.into_keys().map(|name| name.to_string_lossy().into_owned()).collect();
            names.sort_unstable();
            names
        };
        // Through /proc, so that it is the very file that runs, wherever its name leads by now.
        let executable = || File::open(format!("/proc/{}/exe", process.pid));
        let hash = wants_hash.then(|| executable().and_then(|file| self.hash(file)).ok()).flatten();
        HeldProcess {
            pid: u32::try_from(process.pid).unwrap_or(0),
            uid: process.uid().unwrap_or(u32::MAX),
            exe: process.exe().map(|path| path.display().to_string()).unwrap_or_default(),
            sha256: hash.unwrap_or_default(),
            argv: process.cmdline().unwrap_or_default(),
            cwd: process.cwd().map(|path| path.display().to_string()).unwrap_or_default(),
            environment: process.environ().map(names).unwrap_or_default(),
        }
    }

    /// Only if the path leads to the very file that the kernel saw.
    fn hash_of_program(&self, record: &Record, pid: u32) -> io::Result<String> {
        let Object::Exec { path, inode, device, .. } = &record.object else { return Ok(String::new()) };
        let file = File::open(format!("/proc/{pid}/root{path}"))?;
        let meta = file.metadata()?;
        let found = format!("{}:{}", major(meta.dev()), minor(meta.dev()));
        if (meta.ino(), &found) == (*inode, device) { self.hash(file) } else { Ok(String::new()) }
    }

    fn hash(&self, mut file: File) -> io::Result<String> {
        let meta = file.metadata()?;
        let version = (meta.dev(), meta.ino(), (meta.ctime(), meta.ctime_nsec()), meta.len());
        if let Some(known) = self.known().get(&version) {
            return Ok(known.clone());
        }
        let mut hash = Sha256::new();
        io::copy(&mut file, &mut hash)?;
        let hex = hex::encode(hash.finalize());
        self.known().insert(version, hex.clone());
        Ok(hex)
    }

    fn known(&self) -> MutexGuard<'_, Bounded<FileVersion, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lineage(process: Process) -> Vec<Ancestor> {
    let mut ancestors = Vec::new();
    let mut parent = process.stat().map(|stat| stat.ppid).unwrap_or(0);
    while parent > 1 && ancestors.len() < MAX_ANCESTORS {
        let Ok(process) = Process::new(parent) else { break };
        ancestors.push(Ancestor {
            pid: u32::try_from(parent).unwrap_or(0),
            exe: process.exe().map(|path| path.display().to_string()).unwrap_or_default(),
            argv: process.cmdline().unwrap_or_default(),
        });
        parent = process.stat().map(|stat| stat.ppid).unwrap_or(0);
    }
    ancestors
}

fn recent(record: &Record, store: &Connection) -> Vec<Recent> {
    let records = of_agent(store, &record.agent, MAX_RECENT).unwrap_or_default();
    let tell = |record: Record| Recent {
        call: record.call.clone(),
        operation: record.operation.map_or_else(String::new, |operation| operation.name().to_owned()),
        object: object(&record.object),
        verdict: record.decision.verdict.name().to_owned(),
        time_ns: record.time_ns,
    };
    records.into_iter().map(tell).collect()
}
