//! A host in a folder: backed up while somebody writes, lost, and put back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentguard_audit::verify::{Checks, verify};
use agentguard_audit::{AuditLog, Entry, Options, SignError, Signer, codes};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::command::{backup, restore};
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen};

struct NoKey;

impl Signer for NoKey {
    fn key_id(&self) -> &str {
        "test"
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(vec![1])
    }
}

/// A host's files below a folder, with a store that is open and an audit log that is written.
struct Host {
    root: TempDir,
    out: TempDir,
    store: Connection,
    audit: Option<AuditLog>,
}

impl Host {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let state = root.path().join("var/lib/agentguard");
        for (path, text, mode) in [
            ("var/lib/agentguard/agents/coder/agent.json", "{}", 0o600),
            ("var/lib/agentguard/agents/coder/revisions/1.toml", "name = 'coder'", 0o600),
            ("var/lib/agentguard/policy/history.json", "[]", 0o644),
            ("var/lib/agentguard/keys/trust.json", "{}", 0o600),
            ("var/lib/agentguard/keys/ed25519-1.key", "of this host", 0o600),
            (
                "etc/agentguard/agentd.toml",
                "[[notify]]\nwebhook = 'https://x'\nsecret_file = '/etc/agentguard/hook'\n",
                0o640,
            ),
            ("etc/agentguard/budget.token", "word", 0o600),
            ("etc/agentguard/hook", "word", 0o600),
            ("etc/agentguard/policies/own/own.rego", "package own", 0o644),
        ] {
            write(&root.path().join(path), text, mode);
        }
        std::os::unix::fs::symlink("own", root.path().join("etc/agentguard/policies/link")).unwrap();
        let store = Connection::open(state.join("records.db")).unwrap();
        store.pragma_update(None, "journal_mode", "wal").unwrap();
        store
            .execute_batch(
                "CREATE TABLE agents (serial INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT);
                 INSERT INTO agents (name) VALUES ('coder'); PRAGMA user_version = 3",
            )
            .unwrap();
        let audit = AuditLog::open(&state.join("audit"), Options::default(), Arc::new(NoKey), 1).unwrap();
        let mut host = Self { root, out: tempfile::tempdir().unwrap(), store, audit: Some(audit) };
        host.happens(3);
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn happens(&mut self, times: u64) {
        for time in 0..times {
            let entry = Entry::new(codes::AGENT_CREATED, "test").agent("coder");
            self.audit.as_mut().unwrap().append_durable(entry, 10 + time).unwrap();
        }
    }

    fn file(&self) -> PathBuf {
        self.out.path().join("b.tar.gz")
    }

    fn backup(&self, with_keys: bool) -> Result<String, Failure> {
        let keys: &[&str] = if with_keys { &["--with-keys"] } else { &[] };
        let (root, file) = (self.root.path().to_str().unwrap(), self.file());
        let words = [&["backup", "--root", root, "--out", file.to_str().unwrap()], keys].concat();
        said(|screen| backup::run(&parsed(&words), screen))
    }

    fn restore(&self, options: &[&str]) -> Result<String, Failure> {
        let (root, file) = (self.root.path().to_str().unwrap(), self.file());
        let words = [&["restore", "--root", root, file.to_str().unwrap()], options].concat();
        said(|screen| restore::run(&parsed(&words), screen))
    }

    /// Path to mode and content of everything, without what SQLite writes beside its file and the note for agentd.
    fn files(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut all = BTreeMap::new();
        for top in ["var/lib/agentguard", "etc/agentguard"] {
            list(&self.path(top), &mut all);
        }
        all.into_iter()
            .filter(|(path, _)| {
                !path.to_string_lossy().contains("records.db") && !path.ends_with("restored.json")
            })
            .map(|(path, found)| (path.strip_prefix(self.root.path()).unwrap().to_owned(), found))
            .collect()
    }

    /// Ends whoever writes, and loses everything.
    fn lose(&mut self) {
        self.audit = None;
        self.store = Connection::open_in_memory().unwrap();
        fs::remove_dir_all(self.path("var/lib/agentguard")).unwrap();
        fs::remove_dir_all(self.path("etc/agentguard")).unwrap();
    }
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn list(path: &Path, out: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
    let meta = fs::symlink_metadata(path).unwrap();
    let content = if meta.is_file() { fs::read(path).unwrap() } else { Vec::new() };
    out.insert(path.to_owned(), (meta.permissions().mode(), content));
    if meta.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            list(&entry.unwrap().path(), out);
        }
    }
}

fn parsed<T: clap::Args>(words: &[&str]) -> T {
    let command = T::augment_args(clap::Command::new("test"));
    T::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap()
}

fn said(run: impl FnOnce(&mut Screen<'_>) -> Result<Outcome, Failure>) -> Result<String, Failure> {
    let mut out = Vec::new();
    assert_eq!(run(&mut Screen::plain(&mut out, Format::Table, 200))?, Outcome::Done);
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn a_lost_host_is_as_it_was_with_keys() {
    let mut host = Host::new();
    let before = host.files();
    assert!(host.backup(true).unwrap().contains("KEYS ARE IN IT"));
    assert_eq!(fs::metadata(host.file()).unwrap().permissions().mode() & 0o777, 0o600);
    host.lose();
    let said = host.restore(&[]).unwrap();
    assert!(said.contains("1 registered agent") && !said.contains("MISSING"), "{said}");
    assert_eq!(host.files(), before);
    let report = verify(&host.path("var/lib/agentguard/audit"), Checks::default(), &mut |_| {}).unwrap();
    assert!(report.is_clean(), "{report:?}");
    let store = Connection::open(host.path("var/lib/agentguard/records.db")).unwrap();
    let name: String = store.query_row("SELECT name FROM agents", [], |row| row.get(0)).unwrap();
    let version: i32 = store.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let serial: i64 = store.query_row("SELECT seq FROM sqlite_sequence", [], |row| row.get(0)).unwrap();
    assert_eq!((name.as_str(), version), ("coder", 3));
    assert!(serial > 1_000_000, "{serial} may be that of a label in the kernel");
    let note = fs::read_to_string(host.path("var/lib/agentguard/restored.json")).unwrap();
    assert!(note.contains("\"backup_of\""), "{note}");
}

#[test]
fn without_keys_no_secret_is_in_it_and_each_is_named() {
    let mut host = Host::new();
    let said = host.backup(false).unwrap();
    for name in ["state/keys/ed25519-1.key", "config/budget.token", "config/hook"] {
        assert!(said.contains(name), "{said}");
    }
    let mut text = Vec::new();
    let packed = fs::File::open(host.file()).unwrap();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed), &mut text).unwrap();
    for secret in ["of this host", "word"] {
        assert!(!text.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret}");
    }
    host.lose();
    let said = host.restore(&[]).unwrap();
    assert!(said.contains("MISSING") && said.contains("/var/lib/agentguard/keys/ed25519-1.key"), "{said}");
}

#[test]
fn secrets_that_the_host_still_has_stay() {
    let mut host = Host::new();
    host.backup(false).unwrap();
    host.audit = None;
    let before = host.files();
    let said = host.restore(&[]).unwrap();
    assert!(said.contains("secrets of this host that stay") && !said.contains("MISSING"), "{said}");
    assert_eq!(host.files(), before);
}

#[test]
fn what_was_there_before_is_moved_aside_and_whole() {
    let mut host = Host::new();
    host.backup(true).unwrap();
    host.audit = None;
    write(&host.path("var/lib/agentguard/agents/later/agent.json"), "later", 0o600);
    let said = host.restore(&[]).unwrap();
    assert!(!host.path("var/lib/agentguard/agents/later").exists());
    let aside: Vec<_> =
        said.lines().filter_map(|line| line.strip_prefix("what was there before: ")).collect();
    assert_eq!(aside.len(), 2, "{said}");
    let later = aside.iter().any(|dir| Path::new(dir).join("agents/later/agent.json").exists());
    assert!(later, "{said}");
}

#[test]
fn a_dry_run_verifies_and_changes_nothing() {
    let mut host = Host::new();
    host.backup(true).unwrap();
    host.audit = None;
    write(&host.path("etc/agentguard/new"), "new", 0o600);
    let before = host.files();
    let said = host.restore(&["--dry-run"]).unwrap();
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(host.files(), before);
    assert_eq!(fs::read_dir(host.path("etc")).unwrap().count(), 1);
}

#[test]
fn a_damaged_backup_is_refused_before_anything_is_changed() {
    let mut host = Host::new();
    host.backup(true).unwrap();
    host.audit = None;
    let good = fs::read(host.file()).unwrap();
    let before = host.files();
    for damage in [good[..good.len() / 2].to_vec(), b"no archive".to_vec(), changed(&good)] {
        fs::write(host.file(), &damage).unwrap();
        for options in [&["--dry-run"][..], &[]] {
            let error = host.restore(options).unwrap_err().to_string();
            assert!(error.contains("nothing was changed"), "{error}");
            assert_eq!(error.lines().count(), 1);
        }
        assert_eq!(host.files(), before);
        assert_eq!(fs::read_dir(host.path("etc")).unwrap().count(), 1, "nothing is left beside it");
    }
}

/// The same archive with another word in one file.
fn changed(packed: &[u8]) -> Vec<u8> {
    rewritten(packed, |_, bytes| {
        if let Some(at) = bytes.windows(12).position(|part| part == b"of this host") {
            bytes[at] = b'O';
        }
    })
}

fn rewritten(packed: &[u8], change: impl Fn(&str, &mut Vec<u8>)) -> Vec<u8> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed));
    let zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut out = tar::Builder::new(zipped);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let mut header = entry.header().clone();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        change(&path, &mut bytes);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        out.append(&header, bytes.as_slice()).unwrap();
    }
    out.into_inner().unwrap().finish().unwrap()
}

#[test]
fn a_newer_form_is_refused_with_what_to_do() {
    let mut host = Host::new();
    host.backup(true).unwrap();
    host.audit = None;
    let newer = rewritten(&fs::read(host.file()).unwrap(), |path, bytes| {
        if path == "manifest.json" {
            *bytes = br#"{"format": 2, "product": "9.0.0", "folders": 7}"#.to_vec();
        }
    });
    fs::write(host.file(), newer).unwrap();
    let error = host.restore(&[]).unwrap_err().to_string();
    assert!(error.contains("format 2, made by AgentGuard 9.0.0") && error.contains("install"), "{error}");
}

#[test]
fn nothing_is_restored_while_agentd_runs() {
    let mut host = Host::new();
    host.backup(true).unwrap();
    let error = host.restore(&[]).unwrap_err();
    assert!(matches!(&error, Failure::Refused(why) if why.contains("systemctl stop agentd")), "{error}");
    host.audit = None;
    fs::create_dir_all(host.path("run/agentguard")).unwrap();
    let _agentd = UnixListener::bind(host.path("run/agentguard/agentd.sock")).unwrap();
    let error = host.restore(&[]).unwrap_err();
    assert!(matches!(&error, Failure::Refused(why) if why.contains("answers")), "{error}");
    assert!(host.restore(&["--dry-run"]).unwrap().contains("now it would be refused"));
}

#[test]
fn nothing_is_restored_while_agents_run() {
    let mut host = Host::new();
    host.backup(true).unwrap();
    host.audit = None;
    write(&host.path("sys/fs/cgroup/agents.slice/cgroup.events"), "populated 1\nfrozen 0\n", 0o644);
    let error = host.restore(&[]).unwrap_err().to_string();
    assert!(error.contains("systemctl stop agents.slice"), "{error}");
}

#[test]
fn a_backup_is_whole_while_records_are_written() {
    let mut host = Host::new();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (dir, stopped) = (host.path("var/lib/agentguard"), stop.clone());
    let mut audit = host.audit.take().unwrap();
    let writer = std::thread::spawn(move || {
        let store = Connection::open(dir.join("records.db")).unwrap();
        store.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        let mut time = 100;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            store.execute("INSERT INTO agents (name) VALUES ('more')", []).unwrap();
            audit.append(Entry::new(codes::AGENT_CREATED, "test").agent("more"), time).unwrap();
            time += 1;
        }
        audit
    });
    let made = host.backup(true);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    drop(writer.join().unwrap());
    made.unwrap();
    host.lose();
    host.restore(&[]).unwrap();
    let report = verify(&host.path("var/lib/agentguard/audit"), Checks::default(), &mut |_| {}).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    let store = Connection::open(host.path("var/lib/agentguard/records.db")).unwrap();
    let sound: String = store.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}
