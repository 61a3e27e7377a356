//! `backup` from the real program, ended by a signal while it copies: nothing is left, and it can be made again.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::Connection;
use tempfile::TempDir;

/// Far more than a loaded machine needs to start a program.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host's files, with records that cannot be copied as long as somebody holds them.
struct Host {
    root: TempDir,
    out: TempDir,
    records: Connection,
}

impl Host {
    fn new() -> Self {
        let (root, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let state = root.path().join("var/lib/agentguard");
        fs::create_dir_all(state.join("agents/coder")).unwrap();
        let records = Connection::open(state.join("records.db")).unwrap();
        records.execute_batch("CREATE TABLE agents (name TEXT); BEGIN EXCLUSIVE").unwrap();
        Self { root, out, records }
    }

    fn file(&self) -> PathBuf {
        self.out.path().join("b.tar.gz")
    }

    /// Starts a backup with `--default-signal` or `--ignore-signal` as env takes it: what this test was started with says
    /// nothing.
    fn backup(&self, signals: &str) -> Child {
        let mut command = Command::new("env");
        command.arg(signals).arg(env!("CARGO_BIN_EXE_agentctl")).arg("backup");
        command.arg("--root").arg(self.root.path()).arg("--out").arg(self.file());
        command.stdout(Stdio::null()).spawn().unwrap()
    }

    fn left(&self) -> Vec<PathBuf> {
        fs::read_dir(self.out.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// Until something was copied.
    fn wait_for_a_copy(&self) {
        let end = Instant::now() + PATIENCE;
        let is_copy = |folder: &PathBuf| folder.join("state/agents/coder").exists();
        while !self.left().iter().any(is_copy) {
            assert!(Instant::now() < end, "nothing was copied: {:?}", self.left());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!self.file().exists());
    }
}

fn send(signal: Signal, child: &Child) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
}

#[test]
fn a_signal_leaves_nothing_of_a_backup() {
    let host = Host::new();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut backup = host.backup("--default-signal=INT,TERM,HUP");
        host.wait_for_a_copy();
        send(signal, &backup);
        assert_eq!(backup.wait().unwrap().code(), Some(128 + signal as i32));
        assert_eq!(host.left(), Vec::<PathBuf>::new());
    }
    host.records.execute_batch("COMMIT").unwrap();
    assert!(host.backup("--default-signal=INT,TERM,HUP").wait().unwrap().success());
    assert_eq!(host.left(), [host.file()]);
}

#[test]
fn a_signal_that_is_ignored_ends_no_backup() {
    let host = Host::new();
    let mut backup = host.backup("--ignore-signal=HUP");
    host.wait_for_a_copy();
    send(Signal::SIGHUP, &backup);
    host.records.execute_batch("COMMIT").unwrap();
    assert!(backup.wait().unwrap().success());
    assert!(host.file().exists());
}
