//! A program of the operator's that reads the body from its standard input.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Child;

use super::Failure;

/// Nothing of agentd's environment is for others; without this one shell scripts find nothing.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) struct Command {
    program: PathBuf,
    arguments: Vec<String>,
    limit: Duration,
}

impl Command {
    pub(super) fn new(program: PathBuf, arguments: Vec<String>, limit: Duration) -> Self {
        Self { program, arguments, limit }
    }

    /// Runs it once. What it writes to standard error goes where agentd's does: to the journal.
    pub(super) async fn run(&self, body: &[u8]) -> Result<(), Failure> {
        let program = self.program.display();
        let failed = |error: std::io::Error| Failure::Passing(format!("{program}: {error}"), None);
        let mut child = tokio::process::Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .env("PATH", PATH)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        match tokio::time::timeout(self.limit, feed(&mut child, body)).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(Failure::Passing(format!("{program}: {status}"), None)),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => {
                end(&mut child).await;
                let limit = self.limit.as_secs();
                Err(Failure::Passing(format!("{program} took longer than {limit} s and was killed"), None))
            }
        }
    }
}

async fn feed(child: &mut Child, body: &[u8]) -> std::io::Result<ExitStatus> {
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(body).await {
            // It may end well without having read everything.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
    }
    child.wait().await
}

/// Kills it and what it started. Until it has been waited for, its number is its own.
async fn end(child: &mut Child) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // It fails only if the whole group has just ended.
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = child.wait().await;
}
