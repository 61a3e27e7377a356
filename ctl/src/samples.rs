//! Records as agentd writes them.

use std::path::PathBuf;

use agentguard_api::report::ApprovalView;
use agentguard_core::approval::State;
use agentguard_core::held::{Ancestor, Asker, HeldProcess};
use agentguard_core::ids::{AgentName, IncidentId};
use agentguard_core::operation::{AddressOp, Operation, PathOp};
use agentguard_core::record::{Decision, Object, Process, Record};
use agentguard_core::rule::Source;
use agentguard_core::verdict::{Layer, Reason, Severity, Verdict};

/// 2026-03-01T12:00:00Z.
pub(crate) const NOON_NS: u64 = 1_772_366_400_000_000_000;

fn process() -> Process {
    Process {
        pid: 4242,
        tid: 4242,
        start_ns: 1_000,
        parent_pid: 4000,
        parent_start_ns: 900,
        uid: 1000,
        gid: 1000,
        comm: "cat".to_owned(),
        exe: Some("/usr/bin/cat".to_owned()),
    }
}

/// A file that was opened because a grant says so.
pub(crate) fn allowed_open(seq: u64) -> Record {
    Record {
        seq,
        time_ns: NOON_NS + seq * 1_000_000,
        incident: None,
        agent: AgentName("coder".to_owned()),
        process: process(),
        call: "open".to_owned(),
        operation: Some(Operation::Path(PathOp::Read)),
        object: Object::File {
            path: "/srv/app/main.rs".to_owned(),
            other: None,
            inode: 7,
            device: "8:1".to_owned(),
            mode: 0o100_644,
            flags: 0,
        },
        decision: Decision {
            verdict: Verdict::Allow,
            enforced: false,
            reason: Reason::Rule,
            layer: Layer::Grant,
            rule: Some("files.read[2]".to_owned()),
            message: String::new(),
            severity: None,
            source: None,
            version: "0123456789ab".to_owned(),
        },
        findings: Vec::new(),
    }
}

/// A key that a guardrail protects.
pub(crate) fn denied_open(seq: u64) -> Record {
    let mut record = allowed_open(seq);
    record.incident = Some(IncidentId(format!("i-{seq:04}")));
    if let Object::File { path, .. } = &mut record.object {
        *path = "/home/dev/.ssh/id_ed25519".to_owned();
    }
    record.decision = Decision {
        verdict: Verdict::Deny,
        enforced: true,
        layer: Layer::Guardrail,
        rule: Some("filesystem.ssh_keys".to_owned()),
        message: "private keys of a user stay with the user".to_owned(),
        severity: Some(Severity::Critical),
        source: Some(Source { file: PathBuf::from("policies/filesystem/filesystem.rego"), line: 12 }),
        ..record.decision
    };
    record
}

/// Cloud metadata, denied by default.
pub(crate) fn denied_connect(seq: u64) -> Record {
    let mut record = denied_open(seq);
    record.call = "connect".to_owned();
    record.operation = Some(Operation::Address(AddressOp::Connect));
    record.object = Object::Address {
        address: "169.254.169.254".parse().unwrap(),
        port: 80,
        protocol: "tcp".to_owned(),
        name: None,
        size: 0,
    };
    record.decision = Decision {
        reason: Reason::Default,
        layer: Layer::Default,
        rule: None,
        message: String::new(),
        severity: None,
        source: None,
        ..record.decision
    };
    record
}

/// Bytes through a file.
pub(crate) fn file_io(seq: u64) -> Record {
    let mut record = allowed_open(seq);
    record.call = "file_io".to_owned();
    record.operation = None;
    record.object =
        Object::FileIo { path: "/srv/app/main.rs".to_owned(), read_bytes: 2048, written_bytes: 17 };
    record
}

/// A started program.
pub(crate) fn exec(seq: u64) -> Record {
    let mut record = allowed_open(seq);
    record.call = "exec".to_owned();
    record.object = Object::Exec {
        path: "/usr/bin/git".to_owned(),
        cwd: "/srv/app".to_owned(),
        argv: ["git", "commit", "-m", "two\nlines"].map(str::to_owned).to_vec(),
        truncated: false,
        inode: 7,
        device: "8:1".to_owned(),
    };
    record
}

/// A command line that waits for people until ten minutes after noon.
pub(crate) fn held_exec(seq: u64) -> ApprovalView {
    let mut one = held(seq, exec(seq));
    one.asker.sha256 = "5".repeat(64);
    one
}

/// A key file that somebody wants to read.
pub(crate) fn held_open(seq: u64) -> ApprovalView {
    let mut one = held(seq, denied_open(seq));
    one.severity = Severity::Critical;
    one.decided_by = None;
    one
}

fn held(seq: u64, mut record: Record) -> ApprovalView {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    record.incident = Some(IncidentId(format!("i-{seq:04}")));
    record.decision.verdict = Verdict::Hold;
    ApprovalView {
        id: IncidentId(format!("i-{seq:04}")),
        state: State::Pending,
        severity: Severity::High,
        reason: "what leaves the workspace is looked at by a person".to_owned(),
        decided_by: Some("workspace.commits".to_owned()),
        asked_ns: NOON_NS + seq * 1_000_000,
        deadline_ns: NOON_NS + 600_000_000_000,
        needed: 1,
        votes: Vec::new(),
        sha256: "a".repeat(64),
        record,
        asker: Asker {
            sha256: String::new(),
            process: HeldProcess {
                pid: 4242,
                uid: 1000,
                exe: "/usr/bin/cat".to_owned(),
                sha256: "c".repeat(64),
                argv: words(&["cat", "my notes", "/srv/app/main.rs"]),
                cwd: "/srv/app".to_owned(),
                environment: Vec::new(),
            },
            lineage: vec![
                Ancestor { pid: 4000, exe: "/bin/bash".to_owned(), argv: words(&["bash", "-i"]) },
                Ancestor { pid: 3990, exe: "/usr/sbin/sshd".to_owned(), argv: Vec::new() },
            ],
        },
    }
}
