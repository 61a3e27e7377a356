//! `approvals watch` on a terminal: the real program, an agentd that plays its part, and a person at the keys.

mod agentd;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use agentd::{Fixture, Script};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn waiting(id: &str) -> Value {
    json!({
        "id": id, "state": "pending", "severity": "HIGH", "reason": "looked at by a person", "asked_ns": 1,
        "deadline_ns": 4_000_000_000_000_000_000_u64, "needed": 1, "votes": [], "sha256": "ab",
        "record": {
            "seq": 1, "time_ns": 1, "incident": id, "agent": "coder",
            "process": {
                "pid": 4242, "tid": 4242, "start_ns": 1, "parent_pid": 1, "parent_start_ns": 1, "uid": 1000,
                "gid": 1000, "comm": "cat"
            },
            "call": "open",
            "object": {
                "kind": "file", "path": format!("/srv/{id}\u{1b}]0;owned\u{7}"), "inode": 7, "device": "8:1",
                "mode": 0, "flags": 0
            },
            "decision": {
                "verdict": "hold", "enforced": true, "reason": "rule", "layer": "grant", "version": "0123456789ab"
            }
        },
        "asker": {
            "sha256": "",
            "process": {
                "pid": 4242, "uid": 1000, "exe": "/usr/bin/cat", "sha256": "", "argv": ["cat", "my notes"],
                "cwd": "/srv", "environment": []
            },
            "lineage": []
        }
    })
}

/// The program on a terminal, and what it wrote there so far.
struct Seat {
    child: Child,
    terminal: File,
    written: Receiver<Vec<u8>>,
    seen: String,
    before: Termios,
}

impl Seat {
    fn take(mut command: Command) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).unwrap();
        let before = tcgetattr(&pty.master).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().unwrap();
        let terminal = File::from(pty.master);
        let mut reader = terminal.try_clone().unwrap();
        let (writes, written) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = reader.read(&mut bytes) {
                if count == 0 || writes.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, terminal, written, seen: String::new(), before }
    }

    fn wait_for(&mut self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.seen.contains(words) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(bytes) = self.written.recv_timeout(left) else {
                panic!("no {words:?} in {:?}", self.seen);
            };
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    fn press(&mut self, keys: &str) {
        self.seen.clear();
        self.terminal.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for the end: its status, when the terminal is as it was.
    fn end(mut self) -> Option<i32> {
        self.wait_for("\x1b[?1049l");
        let status = self.child.wait().unwrap();
        assert_eq!(tcgetattr(&self.terminal).unwrap(), self.before);
        status.code()
    }
}

#[test]
fn an_approval_is_approved_and_the_next_one_denied_by_keys() {
    let script = Script { approvals: vec![waiting("i-1"), waiting("i-2")], ..Script::default() };
    let answers = script.answers.clone();
    let fixture = Fixture::start(script);
    let mut seat = Seat::take(fixture.agentctl(&["approvals", "watch", "--color", "never"]));
    seat.wait_for("/srv/i-1\\u{1b}]0;owned\\u{7}");
    assert!(!seat.seen.contains("\x1b]0;owned"));
    seat.press("a");
    seat.wait_for("how far?");
    seat.press("tfine\r");
    // Only what differs is written, so that most words come in pieces; these are on a line that was empty.
    seat.wait_for("nothing is selected");
    seat.press("jdno\rq");
    assert_eq!(seat.end(), Some(0));
    let sent = |id: &str, allow, because: &str, seconds| agentguard_api::v1::AnswerRequest {
        id: id.to_owned(),
        allow,
        because: because.to_owned(),
        seconds,
        session: false,
    };
    assert_eq!(*answers.lock().unwrap(), [sent("i-1", true, "fine", 600), sent("i-2", false, "no", 0)]);
}

#[test]
fn an_answer_that_is_on_its_way_is_not_lost_by_leaving() {
    let script = Script { approvals: vec![waiting("i-1")], ..Script::default() };
    let answers = script.answers.clone();
    let fixture = Fixture::start(script);
    let mut seat = Seat::take(fixture.agentctl(&["approvals", "watch"]));
    seat.wait_for("/srv/i-1");
    seat.press("ao\rq");
    assert_eq!(seat.end(), Some(0));
    assert_eq!(answers.lock().unwrap().len(), 1);
}

#[test]
fn an_agentd_that_comes_back_is_asked_again() {
    let fixture = Fixture::start(Script { approvals: vec![waiting("i-1")], ..Script::default() });
    let later = fixture.folder().join("later.sock");
    let words = ["--socket", later.to_str().unwrap(), "approvals", "watch"];
    let mut seat = Seat::take(fixture.agentctl(&words));
    seat.wait_for("agentd is not running");
    std::os::unix::fs::symlink(fixture.folder().join("agentd.sock"), &later).unwrap();
    seat.wait_for("/srv/i-1");
    seat.press("q");
    assert_eq!(seat.end(), Some(0));
}

#[test]
fn an_agentd_that_is_away_is_told_and_every_end_restores_the_terminal() {
    let fixture = Fixture::start(Script::default());
    let nobody = fixture.folder().join("nobody.sock");
    let watch = || {
        let words = ["--socket", nobody.to_str().unwrap(), "approvals", "watch"];
        let mut seat = Seat::take(fixture.agentctl(&words));
        seat.wait_for("agentd is not running");
        seat
    };
    for keys in ["q", "\x03", "?\x03"] {
        let mut seat = watch();
        seat.press(keys);
        assert_eq!(seat.end(), Some(0), "{keys:?}");
    }
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let seat = watch();
        kill(Pid::from_raw(i32::try_from(seat.child.id()).unwrap()), signal).unwrap();
        assert_eq!(seat.end(), Some(0), "{signal}");
    }
}
