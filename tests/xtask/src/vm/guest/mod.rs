//! The half of `xtask vm` that runs inside the VM: say hello, run one command, send what it says.
//!
//! It trusts the host and nothing else is on the line. It knows nothing of AgentGuard but the name of its unit.

mod command;
mod shares;

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::process::{Command, ExitCode};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, anyhow, bail};

use super::frame::{AgentdState, Decoder, Frame, Hello, Start};
use super::machine::PORT;

/// What of agentd's journal is shown when it failed.
const JOURNAL_LINES: &str = "--lines=60";
/// Frames from the host that the command has not taken yet: keys, mostly.
const INCOMING: usize = 64;

/// The line to the host, written by several threads, one whole frame at a time.
#[derive(Clone)]
struct Line(Arc<Mutex<File>>);

impl Line {
    fn send(&self, frame: &Frame) -> Result<()> {
        let port = self.0.lock().map_err(|_| anyhow!("a thread died while it was writing to the host"))?;
        frame.send(&*port).context("cannot write to the host")
    }
}

/// Runs the verb in the guest.
pub(crate) fn run() -> Result<ExitCode> {
    let port = open_port()?;
    let line = Line(Arc::new(Mutex::new(port.try_clone()?)));
    line.send(&Frame::Hello(hello()?))?;
    let incoming = listen(port);
    let start = match incoming.recv() {
        Ok(Frame::Start(start)) => start,
        Ok(other) => bail!("the host sent {other:?} instead of a command"),
        Err(_) => bail!("the host is gone"),
    };
    let trouble = run_command(&start, &line, incoming).err().map(|error| format!("{error:#}"));
    line.send(&Frame::Done(trouble))?;
    // The host ends the machine.
    Ok(ExitCode::SUCCESS)
}

fn run_command(start: &Start, line: &Line, incoming: Receiver<Frame>) -> Result<()> {
    let before = shares::unpack(&start.shares)?;
    let exit = command::run(start, line, incoming)?;
    line.send(&Frame::Exit(exit))?;
    shares::pack(&before, line)
}

/// Finds the port by its name: without udev there are no links in /dev/virtio-ports.
fn open_port() -> Result<File> {
    for entry in std::fs::read_dir("/sys/class/virtio-ports").context("there is no virtio-serial port")? {
        let entry = entry?;
        let name = std::fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if name.trim() == PORT {
            let device = std::path::Path::new("/dev").join(entry.file_name());
            return OpenOptions::new()
                .read(true)
                .write(true)
                .open(&device)
                .with_context(|| format!("cannot open {}", device.display()));
        }
    }
    bail!("there is no port named {PORT}")
}

fn hello() -> Result<Hello> {
    let agentd = agentd_state()?;
    let journal = match agentd {
        AgentdState::Active | AgentdState::NotInstalled => String::new(),
        AgentdState::Failed => output("journalctl", &["--no-pager", "--unit=agentd.service", JOURNAL_LINES])?,
    };
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    Ok(Hello {
        kernel: read("/proc/sys/kernel/osrelease"),
        lsm: read("/sys/kernel/security/lsm"),
        agentd,
        journal,
    })
}

/// systemd starts this program after agentd has said READY or has failed.
fn agentd_state() -> Result<AgentdState> {
    let properties = output("systemctl", &["show", "agentd.service", "--property=LoadState,ActiveState"])?;
    let has = |line: &str| properties.lines().any(|property| property == line);
    Ok(if has("LoadState=not-found") {
        AgentdState::NotInstalled
    } else if has("ActiveState=active") {
        AgentdState::Active
    } else {
        AgentdState::Failed
    })
}

fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output =
        Command::new(program).args(arguments).output().with_context(|| format!("cannot run {program}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn listen(mut port: File) -> Receiver<Frame> {
    let (sender, receiver) = mpsc::sync_channel(INCOMING);
    std::thread::spawn(move || {
        let mut decoder = Decoder::default();
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = port.read(&mut buffer) {
            decoder.push(buffer.get(..length).unwrap_or_default());
            loop {
                match decoder.next_frame() {
                    Ok(Some(frame)) => {
                        if sender.send(frame).is_err() {
                            return;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        eprintln!("agentguard-vm: {error}");
                        return;
                    }
                }
            }
        }
    });
    receiver
}
