//! Processes with a time limit, in a process group of their own so that nothing of them stays behind.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

/// Exit status of the trigger program, and of a setup, that finds the host lacking something.
pub(crate) const STATUS_MISSING: i32 = 15;
/// How often something that will come is looked for.
const PAUSE: Duration = Duration::from_millis(20);
/// At most so much of an output is kept.
const OUTPUT_BYTES: u64 = 64 * 1024;
/// At most so much of it is told when something failed.
const TOLD_BYTES: usize = 600;

/// How long something may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit(Duration);

impl Limit {
    pub(crate) const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub(crate) fn deadline(self) -> Deadline {
        Deadline { end: Instant::now() + self.0, limit: self }
    }
}

/// When it is too late.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    end: Instant,
    limit: Limit,
}

impl Deadline {
    /// Waits a moment, or says that it is too late.
    pub(crate) fn pause(self) -> Result<(), String> {
        if Instant::now() >= self.end {
            return Err(format!("not within {} s", self.limit.0.as_secs()));
        }
        std::thread::sleep(PAUSE);
        Ok(())
    }
}

/// A process to start.
pub(crate) struct Task {
    command: Command,
    name: String,
}

impl Task {
    pub(crate) fn new(words: Vec<OsString>, directory: &Path) -> Self {
        let mut words = words.into_iter();
        let program = words.next().unwrap_or_default();
        let name = PathBuf::from(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut command = Command::new(program);
        command.args(words).current_dir(directory).env_clear().process_group(0).stdin(Stdio::null());
        Self { command, name }
    }

    pub(crate) fn with_environment(mut self, variables: &BTreeMap<&'static str, OsString>) -> Self {
        self.command.envs(variables);
        self
    }

    pub(crate) fn start(mut self) -> Result<Running, String> {
        // Files, not pipes: a process that stays behind must not keep us from reading on.
        let open = || nameless_file().map_err(|error| format!("{}: {error}", self.name));
        let (output, errors) = (open()?, open()?);
        let clone = |file: &File| file.try_clone().map_err(|error| format!("{}: {error}", self.name));
        self.command.stdout(clone(&output)?).stderr(clone(&errors)?);
        let child = self.command.spawn().map_err(|error| format!("{}: {error}", self.name))?;
        Ok(Running { child, output, errors, is_over: false })
    }

    pub(crate) fn run(self, limit: Limit) -> Result<Ended, String> {
        self.start()?.wait(limit)
    }
}

/// A file without a name, which also an ordinary user's program can be given.
fn nameless_file() -> nix::Result<File> {
    nix::sys::memfd::memfd_create("output", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).map(File::from)
}

/// A process that runs. When it ends, or when this is dropped, the rest of its group is killed.
pub(crate) struct Running {
    child: Child,
    output: File,
    errors: File,
    is_over: bool,
}

impl Running {
    /// What came of it, if it is over.
    pub(crate) fn poll(&mut self) -> Result<Option<Ended>, String> {
        if !self.has_ended()? {
            return Ok(None);
        }
        self.kill_group();
        let status = self.child.wait().map_err(|error| error.to_string())?;
        self.is_over = true;
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1);
        Ok(Some(Ended { code, stdout: text(&mut self.output), stderr: text(&mut self.errors) }))
    }

    pub(crate) fn wait(mut self, limit: Limit) -> Result<Ended, String> {
        let deadline = limit.deadline();
        loop {
            if let Some(ended) = self.poll()? {
                return Ok(ended);
            }
            if let Err(late) = deadline.pause() {
                let said = format!("{}{}", text(&mut self.output), text(&mut self.errors));
                return Err(format!("{late}; it said: {}", shorten(&said)));
            }
        }
    }
}

impl Running {
    /// Whether it is over, without taking its status: until then its number, which names the group, is nobody else's.
    fn has_ended(&self) -> Result<bool, String> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let status = waitid(Id::Pid(self.group()), flags).map_err(|error| error.to_string())?;
        Ok(status != WaitStatus::StillAlive)
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn kill_group(&self) {
        // A group without processes is what is wanted.
        let _ = killpg(self.group(), Signal::SIGKILL);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over {
            self.kill_group();
            let _ = self.child.wait();
        }
    }
}

/// What came of a process.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// Exit status, 128+N for signal N.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Status 0, or what it said instead.
    pub(crate) fn success(self) -> Result<(), String> {
        if self.code == 0 { Ok(()) } else { Err(self.describe()) }
    }

    pub(crate) fn describe(&self) -> String {
        format!("status {}: {}", self.code, shorten(&self.both()))
    }

    pub(crate) fn both(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    pub(crate) fn last_line(&self) -> String {
        let said = self.both();
        let lines: Vec<_> = said.lines().rev().take(2).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(", ")
    }
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(OUTPUT_BYTES).read_to_end(&mut bytes));
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("(its output cannot be read: {error})"),
    }
}

/// The end of a text on one line.
fn shorten(text: &str) -> String {
    let line = text.trim().replace('\n', " | ");
    let start = line.len().saturating_sub(TOLD_BYTES);
    let start = (start..=line.len()).find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    line.get(start..).unwrap_or("").to_owned()
}
