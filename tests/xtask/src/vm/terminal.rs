//! The caller's terminal in an interactive session: raw while it lasts, as before afterwards.

use std::io::{IsTerminal, stdin};
use std::process::Stdio;
use std::sync::Mutex;

use anyhow::{Context, Result};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use super::frame::TerminalSize;
use crate::tools::{run, tool};

/// What to put back; also reached from the watcher of signals, where no guard is dropped.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Restores the terminal when dropped.
pub(crate) struct RawTerminal;

impl RawTerminal {
    /// Passes every key on to the guest, Ctrl-C included.
    pub(crate) fn enter() -> Result<Self> {
        let before = tcgetattr(stdin()).context("stdin is no terminal")?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        if let Ok(mut slot) = BEFORE.lock() {
            *slot = Some(before);
        }
        tcsetattr(stdin(), SetArg::TCSADRAIN, &raw).context("cannot set the terminal")?;
        Ok(Self)
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back as it was, once.
pub(crate) fn restore() {
    let before = BEFORE.lock().ok().and_then(|mut slot| slot.take());
    if let Some(before) = before {
        // There is nobody left to tell.
        let _ = tcsetattr(stdin(), SetArg::TCSADRAIN, &before);
    }
}

/// Whether a person sits at stdin.
pub(crate) fn is_interactive() -> bool {
    stdin().is_terminal()
}

/// Rows and columns of the caller's terminal, or the classic ones.
pub(crate) fn size() -> TerminalSize {
    let classic = TerminalSize { rows: 24, columns: 80 };
    let Ok(text) = run(tool("stty").arg("size").stdin(Stdio::inherit())) else {
        return classic;
    };
    let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(rows), Some(columns)) if rows > 0 && columns > 0 => TerminalSize { rows, columns },
        _ => classic,
    }
}
