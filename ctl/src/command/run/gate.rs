//! The gate between `run` and its command: the child says that it is ready, and executes when it is told.
//!
//! The child is this same program, started again, because nothing safe can be done between fork and exec. It does
//! everything that rules could forbid (opening `/proc/self/fd`) before it says that it is ready: afterwards it is
//! governed. If the parent goes away, the pipe ends and the child leaves without executing anything.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Args;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};

use crate::exit::{Failure, Outcome};

/// The hidden command of the child.
pub(crate) const COMMAND: &str = "__exec-when-told";

/// What the parent passes to the child.
#[derive(Debug, Args)]
pub(crate) struct WhenTold {
    /// Descriptor to read the agent's name and its scratch directory from: then go
    #[arg(long)]
    go: RawFd,
    /// Descriptor to say on that everything is prepared
    #[arg(long)]
    ready: RawFd,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// The parent's ends, and the child's until it is started.
pub(super) struct Gate {
    go: File,
    ready: File,
    child_go: OwnedFd,
    child_ready: OwnedFd,
}

/// What the child is told when it may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// Name of the agent.
    pub(super) agent: String,
    /// The only place where it can write, in the sandbox.
    pub(super) scratch: Option<String>,
}

/// Variables that lead a command to its scratch directory: what every program asks, and what an agent can be told of.
const SCRATCH_VARIABLES: [&str; 2] = ["TMPDIR", "AGENTGUARD_SCRATCH"];

/// Stands between name and directory; neither can contain it.
const SEPARATOR: char = '\0';

impl Told {
    fn message(&self) -> String {
        let scratch = self.scratch.as_deref().map(|scratch| format!("{SEPARATOR}{scratch}"));
        format!("{}{}", self.agent, scratch.unwrap_or_default())
    }

    fn read(message: &str) -> Option<Self> {
        let (agent, scratch) = match message.split_once(SEPARATOR) {
            Some((agent, scratch)) => (agent, Some(scratch.to_owned())),
            None => (message, None),
        };
        (!agent.is_empty()).then(|| Self { agent: agent.to_owned(), scratch })
    }
}

/// The child is there and waits.
pub(super) struct Waiting {
    go: File,
}

impl Gate {
    pub(super) fn new() -> Result<Self, Failure> {
        let failed =
            |errno: nix::errno::Errno| Failure::Failed(format!("cannot make a pipe: {}", errno.desc()));
        let (child_go, go) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(failed)?;
        let (ready, child_ready) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(failed)?;
        for end in [&child_go, &child_ready] {
            fcntl(end.as_fd(), FcntlArg::F_SETFD(FdFlag::empty())).map_err(failed)?;
        }
        Ok(Self { go: File::from(go), ready: File::from(ready), child_go, child_ready })
    }

    pub(super) fn arguments(&self) -> [String; 3] {
        let descriptor = |name, end: &OwnedFd| format!("--{name}={}", end.as_raw_fd());
        [COMMAND.to_owned(), descriptor("go", &self.child_go), descriptor("ready", &self.child_ready)]
    }

    /// Waits until the child has prepared itself.
    pub(super) fn wait_until_ready(self) -> Result<Waiting, Failure> {
        let Self { go, mut ready, child_go, child_ready } = self;
        drop((child_go, child_ready));
        let mut byte = [0];
        match ready.read_exact(&mut byte) {
            Ok(()) => Ok(Waiting { go }),
            Err(_) => {
                Err(Failure::Failed("the process for the command ended before it was ready".to_owned()))
            }
        }
    }
}

impl Waiting {
    /// Tells the child to execute. If it is gone, its status says so.
    pub(super) fn go(mut self, told: &Told) {
        let _status_tells = self.go.write_all(told.message().as_bytes());
    }

    /// Lets the child leave without executing anything.
    pub(super) fn never(self) {
        drop(self);
    }
}

/// The child: prepares, says ready, waits, executes. Returns only if the command does not run.
pub(crate) fn exec_when_told(arguments: &WhenTold) -> Result<Outcome, Failure> {
    let unprepared = |error: io::Error| Failure::Failed(format!("cannot prepare for the command: {error}"));
    let mut go = File::open(format!("/proc/self/fd/{}", arguments.go)).map_err(unprepared)?;
    let mut ready = OpenOptions::new()
        .write(true)
        .open(format!("/proc/self/fd/{}", arguments.ready))
        .map_err(unprepared)?;
    close_inherited().map_err(unprepared)?;
    let [program, rest @ ..] = arguments.command.as_slice() else {
        return Err(Failure::Usage("no command".to_owned()));
    };
    let mut command = Command::new(program);
    command.args(rest);

    ready.write_all(b"r").map_err(unprepared)?;
    drop(ready);
    let mut message = String::new();
    go.read_to_string(&mut message).map_err(unprepared)?;
    let Some(told) = Told::read(&message) else { return Ok(Outcome::Negative) };
    lead_to(told.scratch.as_deref(), &mut command);
    Err(not_executed(&program.to_string_lossy(), &told.agent, &command.exec()))
}

/// The command with the way to its scratch directory, if it has one.
pub(super) fn lead_to(scratch: Option<&str>, command: &mut Command) {
    if let Some(scratch) = scratch {
        command.envs(SCRATCH_VARIABLES.map(|name| (name, scratch)));
    }
}

/// Closes every descriptor above stderr that the command would inherit. agentctl's own close themselves.
pub(super) fn close_inherited() -> io::Result<()> {
    let mut inherited = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Ok(number) = name.parse::<RawFd>() else { continue };
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{name}")).unwrap_or_default();
        if number > 2 && flags(&info).is_some_and(|flags| !flags.contains(OFlag::O_CLOEXEC)) {
            inherited.push(number);
        }
    }
    for descriptor in inherited {
        nix::unistd::close(descriptor)?;
    }
    Ok(())
}

/// The flags in what the kernel says of a descriptor.
fn flags(info: &str) -> Option<OFlag> {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    i32::from_str_radix(flags.trim(), 8).ok().map(OFlag::from_bits_retain)
}

pub(super) fn not_executed(program: &str, agent: &str, error: &io::Error) -> Failure {
    match error.raw_os_error() {
        Some(nix::libc::ENOENT) => Failure::NotFound(format!("{program}: not found")),
        Some(nix::libc::EPERM) => Failure::CannotExecute(format!(
            "{program}: not executed: {error}; if a rule denied it: agentctl events --agent {agent} --verdict deny"
        )),
        _ => Failure::CannotExecute(format!("{program}: not executed: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_closes_itself_is_told_from_what_is_inherited() {
        let closes = |info| flags(info).map(|flags| flags.contains(OFlag::O_CLOEXEC));
        assert_eq!(closes("pos:\t0\nflags:\t02100000\nmnt_id:\t9\n"), Some(true));
        assert_eq!(closes("pos:\t0\nflags:\t0100001\n"), Some(false));
        assert_eq!(closes(""), None);
    }

    #[test]
    fn the_child_reads_what_it_is_told() {
        for scratch in [None, Some("/run/agentguard/scratch/a b".to_owned())] {
            let told = Told { agent: "coder-2".to_owned(), scratch };
            assert_eq!(Told::read(&told.message()), Some(told));
        }
        assert_eq!(Told::read(""), None);
    }
}
