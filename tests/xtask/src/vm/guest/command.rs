//! Runs the command, on pipes or on a terminal of its own, within its time.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::Line;
use crate::vm::frame::{Exit, Frame, Start, TerminalSize};

/// One read of the command's output; well under the limit of a frame.
const PIECE_BYTES: usize = 32 * 1024;
/// Between SIGTERM and SIGKILL when the time is up.
const TERM_GRACE: Duration = Duration::from_secs(3);
/// A daemon that the command left behind may hold its output open for ever; this much silence is the end.
const SILENCE: Duration = Duration::from_millis(1000);
/// How often the command is looked at. Small against what a process costs under emulation.
const POLL: Duration = Duration::from_millis(10);
/// As a shell reports it.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// What the threads that read the command's output report.
enum Report {
    Activity,
    Closed,
}

/// Runs `start` to its end. Its failure to start is an exit status too, as in a shell.
pub(super) fn run(start: &Start, line: &Line, incoming: Receiver<Frame>) -> Result<Exit> {
    let Some((program, arguments)) = start.command.split_first() else {
        bail!("the host sent no command");
    };
    let (reports, activity) = mpsc::channel();
    let (child, streams) = match start.terminal {
        None => {
            let mut command = plain(program, start);
            command
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .process_group(0);
            match command.spawn() {
                Ok(mut child) => {
                    let out = child
                        .stdout
                        .take()
                        .map(|pipe| forward(OwnedFd::from(pipe), Frame::Stdout, line, &reports));
                    let err = child
                        .stderr
                        .take()
                        .map(|pipe| forward(OwnedFd::from(pipe), Frame::Stderr, line, &reports));
                    (child, [out, err].iter().flatten().count())
                }
                Err(error) => return not_started(program, &error, line),
            }
        }
        Some(size) => (on_terminal(start, size, line, incoming, &reports)?, 1),
    };
    let (status, timed_out) = wait(child, Duration::from_secs(start.timeout_s))?;
    drain(&activity, streams);
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    Ok(Exit { status: u8::try_from(code).unwrap_or(u8::MAX), timed_out })
}

/// A command as a shell on a host would start it, with nothing that systemd tells its services.
fn plain(program: &str, start: &Start) -> Command {
    let mut command = Command::new(program);
    for name in ["INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID"] {
        command.env_remove(name);
    }
    command.env("TERM", &start.term);
    command
}

fn not_started(program: &str, error: &std::io::Error, line: &Line) -> Result<Exit> {
    line.send(&Frame::Stderr(format!("{program}: {error}\n").into_bytes()))?;
    let status = if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
    Ok(Exit { status, timed_out: false })
}

fn on_terminal(
    start: &Start,
    size: TerminalSize,
    line: &Line,
    incoming: Receiver<Frame>,
    reports: &Sender<Report>,
) -> Result<Child> {
    let window = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&window), None).context("cannot open a terminal")?;
    // setsid(1) makes the terminal the controlling one, which needs unsafe code to do here.
    let child = plain("setsid", start)
        .args(["--ctty", "--wait"])
        .args(&start.command)
        .stdin(pty.slave.try_clone()?)
        .stdout(pty.slave.try_clone()?)
        .stderr(pty.slave.try_clone()?)
        .spawn()
        .context("cannot run setsid")?;
    forward(pty.master.try_clone()?, Frame::Stdout, line, reports);
    let (mut keys, slave) = (File::from(pty.master), pty.slave);
    std::thread::spawn(move || {
        for frame in incoming {
            match frame {
                Frame::Stdin(bytes) if keys.write_all(&bytes).is_err() => return,
                Frame::Resize(size) => resize(&slave, size),
                _ => {}
            }
        }
    });
    Ok(child)
}

/// stty, because the system call behind it has no safe wrapper here.
fn resize(terminal: &OwnedFd, size: TerminalSize) {
    let Ok(terminal) = terminal.try_clone() else { return };
    let (rows, columns) = (size.rows.to_string(), size.columns.to_string());
    // A wrong size is a nuisance, not an error.
    let _ = Command::new("stty").args(["rows", &rows, "cols", &columns]).stdin(terminal).status();
}

/// Sends all that comes out of `stream`, as it comes.
fn forward(stream: OwnedFd, frame: fn(Vec<u8>) -> Frame, line: &Line, reports: &Sender<Report>) {
    let (line, reports) = (line.clone(), reports.clone());
    let mut stream = File::from(stream);
    std::thread::spawn(move || {
        let mut buffer = vec![0; PIECE_BYTES];
        // A terminal whose last user is gone reads as an error: that is its end of file.
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            let piece = buffer.get(..length).unwrap_or_default().to_vec();
            if line.send(&frame(piece)).is_err() || reports.send(Report::Activity).is_err() {
                return;
            }
        }
        // Nobody listens any more when the command is long over.
        let _ = reports.send(Report::Closed);
    });
}

/// Waits for the end, or brings it about when the time is up.
fn wait(mut child: Child, timeout: Duration) -> Result<(ExitStatus, bool)> {
    let group = Pid::from_raw(i32::try_from(child.id()).map_err(|_| anyhow!("a process id out of range"))?);
    let begun = Instant::now();
    let mut asked = None;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, asked.is_some()));
        }
        match asked {
            None if begun.elapsed() > timeout => {
                // It may have ended this very moment.
                let _ = killpg(group, Signal::SIGTERM);
                asked = Some(Instant::now());
            }
            Some(at) if at.elapsed() > TERM_GRACE => {
                let _ = killpg(group, Signal::SIGKILL);
                let _ = child.kill();
            }
            _ => {}
        }
        std::thread::sleep(POLL);
    }
}

/// Lets the readers finish what the command wrote before it ended.
fn drain(activity: &Receiver<Report>, mut open: usize) {
    while open > 0 {
        match activity.recv_timeout(SILENCE) {
            Ok(Report::Activity) => {}
            Ok(Report::Closed) => open -= 1,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
    }
}
