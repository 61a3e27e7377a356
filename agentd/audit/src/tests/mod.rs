//! The log as a whole: written, damaged, verified. A key of its own stands for the real ones.

mod crash;
mod disk_full;
mod flips;
mod tamper;
mod writer;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;

use crate::verify::{Checks, Problem, Report, verify};
use crate::{AuditLog, DAY_NS, Entry, Options, SignError, Signer, Verdict, Verifier, codes};

/// A noon some time in 2026.
const NOON: u64 = 20_514 * DAY_NS + DAY_NS / 2;

/// A key whose secret is its name.
struct Key(&'static str);

fn mac(key_id: &str, message: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(key_id.as_bytes()).unwrap();
    mac.update(message);
    mac
}

impl Signer for Key {
    fn key_id(&self) -> &str {
        self.0
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        if self.0 == "broken" {
            return Err(SignError { key_id: self.0.to_owned(), why: "the card was pulled".to_owned() });
        }
        Ok(mac(self.0, message).finalize().into_bytes().to_vec())
    }
}

/// Trusts `host` and `host-2`; `old` is revoked.
struct Trust;

impl Verifier for Trust {
    fn verify(&self, key_id: &str, message: &[u8], signature: &[u8]) -> Verdict {
        match key_id {
            "host" | "host-2" | "old" if mac(key_id, message).verify_slice(signature).is_err() => {
                Verdict::Bad
            }
            "host" | "host-2" => Verdict::Good,
            "old" => Verdict::Revoked,
            _ => Verdict::UnknownKey,
        }
    }
}

fn options() -> Options {
    Options { host: "test".to_owned(), checkpoint_every: 5, segment_bytes: 4096, ..Options::default() }
}

fn open(dir: &Path, now_ns: u64) -> AuditLog {
    AuditLog::open(dir, options(), Arc::new(Key("host")), now_ns).unwrap()
}

/// A day in which both clocks go on alike: at its end retention is looked after.
fn watched(log: &mut AuditLog, from_ns: u64) {
    log.tick(from_ns, 0).unwrap();
    log.tick(from_ns + DAY_NS, DAY_NS).unwrap();
}

fn entry(number: u64) -> Entry {
    Entry::new(codes::DECISION_DENY, "agentd")
        .agent("coding-agent")
        .detail(json!({ "rule": "filesystem.ssh_keys", "number": number }))
}

/// A closed log with this many entries in several segments.
fn written(dir: &Path, entries: u64) {
    let mut log = open(dir, NOON);
    for number in 0..entries {
        log.append(entry(number), NOON + number).unwrap();
    }
    log.close(NOON + entries).unwrap();
}

/// The files of a closed log: written once, because what makes it durable takes longer than all the rest.
static LOG: LazyLock<Vec<(OsString, Vec<u8>)>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 40);
    let files = [segments(dir.path()), vec![dir.path().join("head.json")]].concat();
    files.iter().map(|path| (path.file_name().unwrap().to_owned(), fs::read(path).unwrap())).collect()
});

fn checked(dir: &Path) -> Report {
    verify(dir, Checks { verifier: Some(&Trust), permissions: None, anchor: None }, &mut |_| ()).unwrap()
}

fn problems(report: &Report) -> Vec<(Problem, Option<u64>)> {
    report.findings.iter().map(|finding| (finding.problem, finding.seq)).collect()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    crate::files::list(dir).unwrap().segments.into_iter().map(|found| found.path).collect()
}

fn codes_of(dir: &Path) -> Vec<String> {
    let records = crate::read::Records::of(dir, crate::read::Filter::default()).unwrap();
    records.map(|record| record.unwrap().code).collect()
}

fn append_bytes(path: &Path, bytes: &[u8]) {
    let content = [fs::read(path).unwrap(), bytes.to_vec()].concat();
    fs::write(path, content).unwrap();
}
