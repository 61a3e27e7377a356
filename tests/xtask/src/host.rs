//! The test on this host's own kernel: an agentd of its own, with the tracing back end, governs one command.
//!
//! Everything of it is in one temporary folder and one folder of pins, so it neither meets nor changes an agentd that
//! runs here. Afterwards nothing of it is left in the kernel.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::build::Build;

/// Loading and verifying the programs, on a slow machine.
const START_LIMIT: Duration = Duration::from_secs(60);
/// From the call to its record in the store.
const RECORD_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// What this host lacks for the test, if anything.
pub(crate) fn missing() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    ["bpf", "cgroup2"]
        .into_iter()
        .find(|wanted| !mounts.lines().any(|mount| mount.split(' ').nth(2) == Some(wanted)))
        .map(|lacking| format!("no file system of type {lacking} is mounted"))
}

/// What is granted goes through, what is denied fails before it happens, and both are recorded, as the exec is.
pub(crate) fn test(build: &Build) -> Result<()> {
    let granted = Peer::listen()?;
    let denied = Peer::listen()?;
    let agentd = Own::start(build)?;
    let spec = agentd.folder.path().join("spec.toml");
    std::fs::write(&spec, spec_text(granted.port))?;

    let connect = |port: u16| format!("(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>&1");
    let script =
        format!("{}; echo granted $?; {}; echo denied $?", connect(granted.port), connect(denied.port));
    let output = agentd.ctl(&["run", "--spec"]).arg(&spec).args(["--", "bash", "-c", &script]).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}{}", String::from_utf8_lossy(&output.stderr));
    ensure!(said.contains("granted 0"), "the granted connection failed");
    ensure!(said.contains("denied 1"), "the denied connection did not fail");
    ensure!(said.contains("not permitted"), "the denied connection failed for another reason");
    ensure!(granted.was_reached()?, "nobody reached the granted port");
    ensure!(!denied.was_reached()?, "somebody reached the denied port");

    let port = format!("\"port\":{}", denied.port);
    agentd.wait_for_record(&["--kind", "connect", "--verdict", "deny"], &port)?;
    agentd.wait_for_record(&["--kind", "exec"], "/dev/tcp/")?;
    agentd.stop()
}

fn spec_text(port: u16) -> String {
    format!(
        r#"[agent]
name = "host-test"
description = "Connects to one port."
role = "analysis"
tier = 1
mode = "enforce"

[files]
default = "allow"

[exec]
default = "allow"

[network]
default = "deny"
connect = [{{ to = "127.0.0.1", ports = [{port}], protocol = "tcp" }}]
sockets = ["tcp", "udp", "unix", "netlink-route"]

[unix]
default = "allow"

[process]
default = "allow"
"#
    )
}

/// Somebody who listens and can tell whether anybody came.
struct Peer {
    listener: TcpListener,
    port: u16,
}

impl Peer {
    fn listen() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    fn was_reached(&self) -> Result<bool> {
        match self.listener.accept() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// An agentd with everything of its own.
struct Own {
    folder: tempfile::TempDir,
    pins: PathBuf,
    agentd: PathBuf,
    agentctl: PathBuf,
    child: Child,
}

impl Own {
    fn start(build: &Build) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let pins = PathBuf::from(format!("/sys/fs/bpf/agentguard-test-{}", std::process::id()));
        let at = folder.path().display();
        let config = format!(
            "socket = '{at}/agentd.sock'\npolicy_dir = '{}'\nstate_dir = '{at}/state'\npin_dir = '{}'\n\
             run_dir = '{at}/run'\ndegraded = 'observe'\nbackend = 'tracing'\nlog_level = 'error'\n\
             [metrics]\nlisten = ''\n",
            build.workspace().join("policies").display(),
            pins.display(),
        );
        std::fs::write(folder.path().join("agentd.toml"), config)?;
        let agentd = build.program("agentd");
        let child = Command::new(&agentd)
            .arg("--config")
            .arg(folder.path().join("agentd.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start agentd")?;
        let mut own = Self { folder, pins, agentd, agentctl: build.program("agentctl"), child };
        own.wait_until_it_answers()?;
        Ok(own)
    }

    fn ctl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.agentctl);
        command.args(arguments).env("AGENTGUARD_SOCKET", self.folder.path().join("agentd.sock"));
        command.stdin(Stdio::null());
        command
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < START_LIMIT {
            if let Some(status) = self.child.try_wait()? {
                bail!("agentd ended: {status}");
            }
            if self.ctl(&["agents"]).output()?.status.success() {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        bail!("agentd does not answer after {} s", START_LIMIT.as_secs())
    }

    fn wait_for_record(&self, filter: &[&str], text: &str) -> Result<()> {
        let begin = Instant::now();
        loop {
            let output = self.ctl(&["events", "-o", "ndjson"]).args(filter).output()?;
            let records = String::from_utf8_lossy(&output.stdout);
            if records.contains(text) {
                return Ok(());
            }
            if begin.elapsed() > RECORD_LIMIT {
                bail!("no record of {} with {text}; there is:\n{records}", filter.join(" "));
            }
            std::thread::sleep(POLL);
        }
    }

    fn stop(mut self) -> Result<()> {
        self.end()?;
        ensure!(!self.pins.exists(), "{} is left after agentd --unload", self.pins.display());
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
            self.child.wait()?;
        }
        let config = self.folder.path().join("agentd.toml");
        let unload = Command::new(&self.agentd).arg("--config").arg(config).arg("--unload").status()?;
        ensure!(unload.success(), "agentd --unload failed");
        Ok(())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if self.pins.exists()
            && let Err(error) = self.end()
        {
            eprintln!("xtask: {error:#}");
        }
    }
}
