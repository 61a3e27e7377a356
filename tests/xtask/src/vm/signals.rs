//! Ctrl-C and its kin: end QEMU, remove the run's directory, put the terminal back, and only then go.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use super::frame::Frame;
use super::terminal;

/// What a signal has to clean up, filled in as it comes into being.
#[derive(Default)]
pub(crate) struct Running {
    pub(crate) qemu: Option<u32>,
    pub(crate) run_directory: Option<PathBuf>,
    /// Where changes of the terminal's size go, in an interactive session.
    pub(crate) line: Option<UnixStream>,
}

/// Takes over the signals of this process. Call it before any thread is started: threads inherit the mask,
/// children do not (the standard library resets it).
pub(crate) fn watch() -> Result<Arc<Mutex<Running>>> {
    // cargo that is killed would leave this process, and so QEMU, behind.
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM).context("cannot tie this process to its parent")?;
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGWINCH] {
        signals.add(signal);
    }
    signals.thread_block().context("cannot block signals")?;
    let running = Arc::new(Mutex::new(Running::default()));
    let shared = Arc::clone(&running);
    std::thread::spawn(move || {
        loop {
            match signals.wait() {
                Ok(Signal::SIGWINCH) => resize(&shared),
                Ok(signal) => leave(&shared, signal),
                Err(_) => return,
            }
        }
    });
    Ok(running)
}

fn resize(running: &Mutex<Running>) {
    let line = running.lock().ok().and_then(|running| running.line.as_ref()?.try_clone().ok());
    if let Some(line) = line {
        // A lost resize is not worth ending a session; a line that is gone is noticed by its reader.
        let _ = Frame::Resize(terminal::size()).send(&line);
    }
}

fn leave(running: &Mutex<Running>, signal: Signal) -> ! {
    if let Ok(running) = running.lock() {
        if let Some(pid) = running.qemu.and_then(|pid| i32::try_from(pid).ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        if let Some(directory) = &running.run_directory {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
    terminal::restore();
    let _ = std::io::stdout().flush();
    // As a shell reports a process that a signal ended.
    std::process::exit(128 + signal as i32);
}
