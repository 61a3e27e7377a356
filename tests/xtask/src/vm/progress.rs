//! Says on stderr what a long step does: a spinner on a terminal, plain lines otherwise.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How much to say, decided once from the flags and the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Spinner,
    Plain,
    Quiet,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        if quiet {
            Self::Quiet
        } else if std::io::stderr().is_terminal() {
            Self::Spinner
        } else {
            Self::Plain
        }
    }

    /// Announces a step that takes a while; it ends when the returned value is dropped.
    pub(crate) fn step(self, what: impl Into<String>) -> Step {
        let what = what.into();
        match self {
            Self::Quiet => Step { spinner: None },
            Self::Plain => {
                eprintln!("vm: {what}");
                Step { spinner: None }
            }
            Self::Spinner => {
                let spinner = ProgressBar::new_spinner().with_message(what);
                if let Ok(style) = ProgressStyle::with_template("{spinner} vm: {msg} ({elapsed})") {
                    spinner.set_style(style);
                }
                spinner.enable_steady_tick(Duration::from_millis(120));
                Step { spinner: Some(spinner) }
            }
        }
    }

    /// One line that stays.
    pub(crate) fn note(self, what: &str) {
        if self != Self::Quiet {
            eprintln!("vm: {what}");
        }
    }
}

/// A step in progress. A spinner leaves no trace when it ends.
pub(crate) struct Step {
    spinner: Option<ProgressBar>,
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}
