//! A private folder for what is not finished, beside where that will be. It goes with its owner, and when a signal ends the
//! process: what is in it may be secret, and half of it is of no use.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{process, thread};

use nix::sys::signal::{SigSet, Signal};
use tempfile::TempDir;

use crate::exit::{Failure, SIGNAL_BASE};

/// By which somebody wants this process to end.
const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// How often a folder into which the main thread still writes is removed, and how long that waits.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// Removes its folder when it is dropped.
pub(crate) struct Staging {
    path: PathBuf,
    /// Whoever holds it removes the folder.
    folder: Arc<Mutex<Option<TempDir>>>,
}

impl Staging {
    /// Makes one. Must come before other threads: those that are there would take the signals, and end the process.
    pub(crate) fn beside(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::Failed(format!("cannot wait for signals: {error}"));
        let signals: SigSet = ENDING.into_iter().filter(|signal| !is_ignored(*signal)).collect();
        signals.thread_block().map_err(|errno| failed(errno.into()))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let private = Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix(".agentguard-").permissions(private).tempdir_in(parent);
        let folder = folder.map_err(|error| Failure::on(parent, &error))?;
        let staging = Self { path: folder.path().to_owned(), folder: Arc::new(Mutex::new(Some(folder))) };
        let folder = Arc::clone(&staging.folder);
        let waiter = move || {
            if let Ok(signal) = signals.wait() {
                end(&folder, signal);
            }
        };
        thread::Builder::new().spawn(waiter).map_err(failed)?;
        Ok(staging)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        drop(self.folder.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// `nohup`, and shells for what runs in the background, have signals ignored: they go on ending nothing.
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    ignored & (1 << (signal as i32 - 1)) != 0
}

/// Ends the process as the signal would have. The lock is held to the end, so that the main thread, which fails when its
/// files go, gets no further than to let go of the folder itself.
fn end(folder: &Mutex<Option<TempDir>>, signal: Signal) {
    let folder = folder.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = folder.as_ref().map(TempDir::path) {
        for _ in 0..TRIES {
            let _ = fs::remove_dir_all(folder);
            if !folder.exists() {
                break;
            }
            thread::sleep(PAUSE);
        }
    }
    process::exit(SIGNAL_BASE + signal as i32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_private_and_goes_with_its_owner() {
        let place = tempfile::tempdir().unwrap();
        let staging = Staging::beside(&place.path().join("a")).unwrap();
        assert_eq!(staging.path().parent(), Some(place.path()));
        assert_eq!(fs::metadata(staging.path()).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(staging.path().join("half"), "x").unwrap();
        drop(staging);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
