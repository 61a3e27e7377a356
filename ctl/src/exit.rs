//! How a command ends: its outcome, its failures, and the words about both that `--help` shows.
//!
//! The numbers themselves are given in one place, the match in `main.rs`.

use std::io;

use agentguard_api::ClientError;

use crate::screen::printable_line;

/// The exit codes as users read them, in `--help`, the man pages and the reference.
pub const EXIT_CODES: &str = "\
Exit status:
  0    done
  1    failed, or a negative answer (check found errors, tests failed, not fully enforceable)
  2    usage
  3    agentd is not reachable
  4    permission denied
  5    refused by agentd (bad spec, bad policy, ...)
  124  timeout
  `run` passes the status of the command on: 126 cannot execute, 127 not found, 128+N ended by signal N";

/// Base of the status of what a signal ended, as in shells.
pub(crate) const SIGNAL_BASE: i32 = 128;

/// A command that came to its end.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did what was asked.
    Done,
    /// It did what was asked, and the answer is no.
    Negative,
    /// The status of the program that `run` started.
    Status(u8),
}

impl Outcome {
    /// `Done` for a yes, `Negative` for a no.
    pub const fn of(yes: bool) -> Self {
        if yes { Self::Done } else { Self::Negative }
    }
}

/// A command that could not do what was asked. The message is one line, complete with its causes; what it quotes of files
/// and names moves no cursor.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Anything without a class of its own.
    #[error("{}", seen(.0))]
    Failed(String),
    /// The output could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    /// What was typed has no meaning.
    #[error("{}", seen(.0))]
    Usage(String),
    /// Nobody answers on the socket.
    #[error("{}", seen(.0))]
    Unreachable(String),
    /// The caller may not do this.
    #[error("{}", seen(.0))]
    Permission(String),
    /// agentd understood and said no.
    #[error("{}", seen(.0))]
    Refused(String),
    /// No answer in time.
    #[error("{}", seen(.0))]
    Timeout(String),
    /// The program of `run` is there but does not run.
    #[error("{}", seen(.0))]
    CannotExecute(String),
    /// The program of `run` is not there.
    #[error("{}", seen(.0))]
    NotFound(String),
}

impl Failure {
    /// A failure on a file, with its path.
    pub(crate) fn on(path: &std::path::Path, error: &dyn std::error::Error) -> Self {
        Self::Failed(format!("{}: {}", path.display(), chain(error)))
    }

    /// Whether the reader of the output went away, which is no failure: `agentctl events | head`.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let words = error.to_string();
        match error {
            ClientError::NotRunning { .. } | ClientError::Connect { .. } => Self::Unreachable(words),
            ClientError::Permission { .. } | ClientError::Denied(_) => Self::Permission(words),
            ClientError::Invalid(_) | ClientError::Unable(_) => Self::Refused(words),
            ClientError::Timeout(_) => Self::Timeout(words),
            ClientError::NotFound(_) | ClientError::Failed(_) | ClientError::Version(_) => {
                Self::Failed(words)
            }
        }
    }
}

/// Each line of a message without control characters.
fn seen(words: &str) -> String {
    words.lines().map(printable_line).collect::<Vec<_>>().join("\n")
}

/// An error and its causes on one line, leaving out causes that the line already says.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !line.contains(&words) {
            line = format!("{line}: {words}");
        }
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_what_it_quotes_and_does_not_obey_it() {
        let failure = Failure::Failed("server \"\u{1b}[2J\":\n\tsays too much\r".to_owned());
        assert_eq!(failure.to_string(), "server \"\\u{1b}[2J\":\n    says too much\\r");
    }
}
