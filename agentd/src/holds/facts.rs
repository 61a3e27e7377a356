//! What policy sees of a request that waits, beside the request: the process, its lineage, what the agent did before.

use std::fs::File;
use std::io;

use agentguard_core::record::Record;
use agentguard_policy::{Ancestor, HeldFacts, HeldProcess, Recent};
use procfs::process::Process;
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

use crate::act::object;
use crate::kernel::Held;
use crate::record::history::of_agent;

/// Ancestors told, the parent first.
const MAX_ANCESTORS: usize = 16;

/// Records told, the newest first.
const MAX_RECENT: u32 = 20;

/// Everything that can be told now. What can not is left empty: no rule should allow because of what is missing.
pub(super) fn gather(record: &Record, held: &Held, store: Option<&Connection>) -> HeldFacts {
    let process = i32::try_from(held.pid).ok().and_then(|pid| Process::new(pid).ok());
    HeldFacts {
        rule: record.decision.rule.clone().unwrap_or_default(),
        process: process.as_ref().map(of_process).unwrap_or_default(),
        lineage: process.map(lineage).unwrap_or_default(),
        recent: store.map(|store| recent(record, store)).unwrap_or_default(),
    }
}

fn of_process(process: &Process) -> HeldProcess {
    let names = |environment: std::collections::HashMap<std::ffi::OsString, std::ffi::OsString>| {
        let mut names: Vec<_> =
            environment.into_keys().map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    };
    HeldProcess {
        pid: u32::try_from(process.pid).unwrap_or(0),
        uid: process.uid().unwrap_or(u32::MAX),
        exe: process.exe().map(|path| path.display().to_string()).unwrap_or_default(),
        sha256: hash(process).unwrap_or_default(),
        argv: process.cmdline().unwrap_or_default(),
        cwd: process.cwd().map(|path| path.display().to_string()).unwrap_or_default(),
        environment: process.environ().map(names).unwrap_or_default(),
    }
}

/// Through /proc, so that it is the very file that runs, wherever its name leads by now.
fn hash(process: &Process) -> io::Result<String> {
    let mut file = File::open(format!("/proc/{}/exe", process.pid))?;
    let mut hash = Sha256::new();
    io::copy(&mut file, &mut hash)?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
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
