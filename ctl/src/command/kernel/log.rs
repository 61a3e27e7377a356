//! `kernel log`: lines for a developer from the programs in the kernel, through aya-log. Works without agentd.
//!
//! The programs write only while somebody listens; what is printed changes nothing about what they decide.

use std::os::fd::AsFd as _;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use aya::maps::{Array, Map, MapData};
use aya_log::EbpfLogger;
use clap::{Args, ValueEnum};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use serde::Serialize;

use super::{Contents, pinned};
use crate::exit::{Failure, Outcome, chain};
use crate::screen::{Format, Screen};

/// The ring that aya-log looks for, and the map that says how much is wanted.
const RING: &str = "AYA_LOGS";
const VERBOSITY: &str = "log_verbosity";

/// How often the ring is emptied.
const EVERY: Duration = Duration::from_millis(100);

/// What was typed after `kernel log`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The most detailed lines that are wanted
    #[arg(long, value_name = "LEVEL", default_value = "debug")]
    level: Level,
    /// End after this many seconds; without, at Ctrl-C
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
}

/// As in `bpf-programs/include/log.h`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Level {
    /// What cannot go on
    Error = 1,
    /// Objects and DNS answers that could not be read
    Warn,
    /// Tasks that become governed
    Info,
    /// Every decision
    Debug,
}

#[derive(Debug, Serialize)]
struct Line {
    level: String,
    file: String,
    line: u32,
    message: String,
}

/// Prints until it is told to stop.
pub(crate) fn run(arguments: &Arguments, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let contents = pinned()?;
    let stop = stop_signals()?;
    let (logger, lines) = Passed::pair();
    let mut ring = EbpfLogger::init_from_id_with_logger(program_of(&contents)?, logger).map_err(|error| {
        Failure::Failed(format!("cannot read the log of the programs: {}", chain(&error)))
    })?;
    let _listening = Listening::start(&contents, arguments.level)?;
    let end = arguments.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    while !told_to_stop(&stop)? && end.is_none_or(|end| Instant::now() < end) {
        ring.flush();
        lines.try_iter().try_for_each(|line| print(screen, &line))?;
    }
    ring.flush();
    lines.try_iter().try_for_each(|line| print(screen, &line))?;
    Ok(Outcome::Done)
}

fn print(screen: &mut Screen<'_>, line: &Line) -> Result<(), Failure> {
    match screen.format() {
        Format::Table => {
            let Line { level, file, line, message } = line;
            screen.line(format!("{level:5} {file}:{line}: {message}"))?;
        }
        Format::Json | Format::Ndjson => screen.document(line)?,
    }
    Ok(())
}

/// A program of agentd that writes to the ring.
fn program_of(contents: &Contents) -> Result<u32, Failure> {
    let ring = contents.maps.iter().find(|map| map.name == RING).map(|map| map.id);
    let program = ring.and_then(|id| contents.programs.iter().find(|program| program.map_ids.contains(&id)));
    program.map(|program| program.id).ok_or_else(|| {
        Failure::Failed(
            "no program of agentd in the kernel writes a log; is agentd running? (agentctl kernel)"
                .to_owned(),
        )
    })
}

/// While this lives, programs write.
struct Listening(Array<MapData, u32>);

impl Listening {
    fn start(contents: &Contents, level: Level) -> Result<Self, Failure> {
        let pin = contents.maps.iter().find(|map| map.name == VERBOSITY).and_then(|map| map.pin.clone());
        let pin = pin.ok_or_else(|| Failure::Failed(format!("the map {VERBOSITY} is not pinned")))?;
        let map = MapData::from_pin(&pin).map_err(|error| Failure::on(&pin, &error))?;
        let map = Array::try_from(Map::Array(map)).map_err(|error| Failure::on(&pin, &error))?;
        let mut listening = Self(map);
        listening.0.set(0, level as u32, 0).map_err(|error| Failure::on(&pin, &error))?;
        Ok(listening)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // If this fails the programs go on writing into a ring that nobody reads, until the next listener ends.
        let _ = self.0.set(0, 0, 0);
    }
}

/// What aya-log calls for each line.
struct Passed(Sender<Line>);

impl Passed {
    fn pair() -> (Self, Receiver<Line>) {
        let (sender, lines) = mpsc::channel();
        (Self(sender), lines)
    }
}

impl log::Log for Passed {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = Line {
            level: record.level().as_str().to_lowercase(),
            file: record.file().unwrap_or_default().to_owned(),
            line: record.line().unwrap_or_default(),
            message: record.args().to_string(),
        };
        // The receiver lives as long as the ring is read.
        let _ = self.0.send(line);
    }

    fn flush(&self) {}
}

/// From here on Ctrl-C ends the listening and not the program, so that the programs fall silent again.
fn stop_signals() -> Result<SignalFd, Failure> {
    let failed =
        |errno: nix::errno::Errno| Failure::Failed(format!("cannot wait for signals: {}", errno.desc()));
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGPIPE] {
        signals.add(signal);
    }
    signals.thread_block().map_err(failed)?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).map_err(failed)
}

fn told_to_stop(signals: &SignalFd) -> Result<bool, Failure> {
    let mut waiting = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(EVERY).unwrap_or(PollTimeout::ZERO);
    match poll(&mut waiting, timeout) {
        Ok(ready) => Ok(ready > 0),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(errno) => Err(Failure::Failed(format!("cannot wait for signals: {}", errno.desc()))),
    }
}
