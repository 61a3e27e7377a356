//! `kernel log`: lines for a developer from the programs in the kernel, through aya-log. Works without agentd.
//!
//! The programs write only while somebody listens; what is printed changes nothing about what they decide. One listener
//! at a time: the ring has one reader.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::{Duration, Instant};

use aya::maps::{Array, Map, MapData};
use aya_log::EbpfLogger;
use clap::{Args, ValueEnum};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::{Contents, pinned};
use crate::exit::{Failure, Outcome, chain};
use crate::screen::{Format, Screen};

/// The ring that aya-log looks for, and the map that says until when how much is wanted.
const RING: &str = "AYA_LOGS";
const LISTENER: &str = "log_listener";

/// How often the ring is emptied.
const EVERY: Duration = Duration::from_millis(100);

/// For how long programs write after they were told to: what a listener that was killed leaves behind.
const LEASE: Duration = Duration::from_secs(2);

/// The lowest bits of the lease are the level.
const LEVEL_BITS: u64 = 7;

/// Lines that wait to be printed. A debug level can bring more than a terminal takes.
const WAITING: usize = 10_000;

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
    let mut listener = Listener::new(&contents)?;
    let (logger, mut lines) = passed_on();
    let mut ring = EbpfLogger::init_from_id_with_logger(program_of(&contents)?, logger).map_err(|error| {
        Failure::Failed(format!("cannot read the log of the programs: {}", chain(&error)))
    })?;
    // What a listener that was killed did not read.
    ring.flush();
    lines.forget();
    let end = arguments.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    while !told_to_stop(&stop)? && end.is_none_or(|end| Instant::now() < end) {
        listener.listen(arguments.level)?;
        ring.flush();
        lines.print(screen)?;
    }
    listener.silence()?;
    ring.flush();
    lines.print(screen)?;
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

/// Tells the programs to write.
struct Listener {
    pin: PathBuf,
    map: Array<MapData, u64>,
    /// Of the folder of pins, so that there is one listener.
    _lock: Flock<File>,
}

impl Listener {
    fn new(contents: &Contents) -> Result<Self, Failure> {
        let pin = contents.maps.iter().find(|map| map.name == LISTENER).and_then(|map| map.pin.clone());
        let pin = pin.ok_or_else(|| Failure::Failed(format!("the map {LISTENER} is not pinned")))?;
        let folder = pin.parent().unwrap_or(&pin);
        let file = File::open(folder).map_err(|error| Failure::on(folder, &error))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
            Errno::EWOULDBLOCK => Failure::Failed("another `agentctl kernel log` listens".to_owned()),
            errno => Failure::on(folder, &errno),
        })?;
        let map = MapData::from_pin(&pin).map_err(|error| Failure::on(&pin, &error))?;
        let map = Array::try_from(Map::Array(map)).map_err(|error| Failure::on(&pin, &error))?;
        Ok(Self { map, pin, _lock: lock })
    }

    /// For as long as the lease; to be called again before.
    fn listen(&mut self, level: Level) -> Result<(), Failure> {
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME)
            .map_err(|errno| Failure::Failed(format!("cannot read the clock: {}", errno.desc())))?;
        let until = u64::try_from((Duration::from(now) + LEASE).as_nanos()).unwrap_or(u64::MAX);
        self.set(until & !LEVEL_BITS | level as u64)
    }

    fn silence(&mut self) -> Result<(), Failure> {
        self.set(0)
    }

    fn set(&mut self, value: u64) -> Result<(), Failure> {
        self.map.set(0, value, 0).map_err(|error| Failure::on(&self.pin, &error))
    }
}

/// What aya-log calls for each line, and the lines.
fn passed_on() -> (Passed, Lines) {
    let (sender, receiver) = mpsc::sync_channel(WAITING);
    let left_out = Arc::new(AtomicU64::new(0));
    (Passed { sender, left_out: Arc::clone(&left_out) }, Lines { receiver, left_out })
}

struct Passed {
    sender: SyncSender<Line>,
    left_out: Arc<AtomicU64>,
}

struct Lines {
    receiver: Receiver<Line>,
    left_out: Arc<AtomicU64>,
}

impl Lines {
    /// All that wait.
    fn print(&mut self, screen: &mut Screen<'_>) -> Result<(), Failure> {
        self.receiver.try_iter().try_for_each(|line| print(screen, &line))?;
        match self.left_out.swap(0, Ordering::Relaxed) {
            0 => Ok(()),
            lines => {
                let message = format!("{lines} lines left out");
                print(screen, &Line { level: "warn".to_owned(), file: String::new(), line: 0, message })
            }
        }
    }

    fn forget(&mut self) {
        self.receiver.try_iter().for_each(drop);
        self.left_out.store(0, Ordering::Relaxed);
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
        if self.sender.try_send(line).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

/// From here on Ctrl-C ends the listening and not the program, so that the programs fall silent again.
fn stop_signals() -> Result<SignalFd, Failure> {
    let failed = |errno: Errno| Failure::Failed(format!("cannot wait for signals: {}", errno.desc()));
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
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(Failure::Failed(format!("cannot wait for signals: {}", errno.desc()))),
    }
}
