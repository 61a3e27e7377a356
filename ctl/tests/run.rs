//! `run` end to end, against an agentd that says yes: what the command gets, and what comes back from it.

mod agentd;

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::process::{Command, Output, Stdio};

use agentd::{Fixture, Script};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn fixture(script: Script) -> Fixture {
    let fixture = Fixture::start(script);
    std::fs::write(fixture.folder().join("s.toml"), "").unwrap();
    fixture
}

fn run(fixture: &Fixture, options: &[&str], command: &[&str]) -> Command {
    let spec = fixture.folder().join("s.toml");
    let words = [&["run", "--spec", spec.to_str().unwrap()], options, &["--"], command].concat();
    fixture.agentctl(&words)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_status_of_the_command_is_the_status_of_run() {
    let fixture = fixture(Script::default());
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137), ("kill -TERM $$", 143)] {
        let status_of = run(&fixture, &[], &["sh", "-c", script]).status().unwrap();
        assert_eq!(status_of.code(), Some(status), "{script}");
    }
}

#[test]
fn a_command_that_is_not_there_is_127_and_one_that_cannot_run_is_126() {
    let fixture = fixture(Script::default());
    let missing = run(&fixture, &[], &["no-such-command-here"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("agentctl: no-such-command-here: not found\n"));
    assert_eq!(run(&fixture, &[], &["/etc/passwd"]).output().unwrap().status.code(), Some(126));
}

#[test]
fn the_command_has_not_started_when_it_is_enrolled() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("note");
    let fixture = fixture(Script { note: Some(note.clone()), ..Script::default() });
    assert!(run(&fixture, &[], &["true"]).status().unwrap().success());
    let executing = std::fs::read(note).unwrap();
    assert!(
        executing.starts_with(b"agentctl\0__exec-when-told\0"),
        "{}",
        String::from_utf8_lossy(&executing)
    );
}

#[test]
fn the_command_gets_the_terminal_and_its_own_arguments() {
    let fixture = fixture(Script::default());
    let mut child =
        run(&fixture, &[], &["cat", "--", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"through\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output).as_str()), (Some(0), "through\n"));
    let output = run(&fixture, &[], &["printf", "%s|", "--spec", "a b", ""]).output().unwrap();
    assert_eq!(text(&output), "--spec|a b||");
}

#[test]
fn no_descriptor_but_the_first_three_reaches_the_command() {
    let fixture = fixture(Script::default());
    let leaked = std::fs::File::open("/etc/passwd").unwrap();
    fcntl(&leaked, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let output = run(&fixture, &[], &["sh", "-c", "ls /proc/$$/fd"]).output().unwrap();
    let descriptors: Vec<i32> = text(&output).split_whitespace().map(|fd| fd.parse().unwrap()).collect();
    assert!(!descriptors.contains(&leaked.as_raw_fd()), "{descriptors:?}");
    assert_eq!(descriptors, [0, 1, 2]);
}

#[test]
fn secrets_of_the_environment_stay_behind_unless_asked_for() {
    let fixture = fixture(Script::default());
    let show = &["sh", "-c", "echo \"${SECRET_TOKEN-none} ${LD_PRELOAD-none}\""];
    let with_secret = |options: &[&str]| {
        let mut command = run(&fixture, options, show);
        text(&command.env("SECRET_TOKEN", "s3cret").output().unwrap())
    };
    assert_eq!(with_secret(&[]), "none none\n");
    assert_eq!(with_secret(&["--keep-env"]), "s3cret none\n");
    assert_eq!(with_secret(&["--env", "SECRET_TOKEN"]), "s3cret none\n");
}

#[test]
fn a_signal_to_agentctl_alone_reaches_the_command() {
    let fixture = fixture(Script::default());
    let script = "trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = run(&fixture, &[], &["sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "got it");
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn nothing_runs_when_agentd_is_not_there() {
    let fixture = fixture(Script::default());
    let proof = fixture.folder().join("proof");
    let mut command = run(&fixture, &[], &["touch", proof.to_str().unwrap()]);
    let output = command.env("AGENTGUARD_SOCKET", "/nonexistent/agentd.sock").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(!proof.exists());
}
