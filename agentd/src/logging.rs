//! Where log lines go: to the journal with their fields where systemd reads it, else to stderr. Which of them are written
//! can be changed until the end of the process.

use std::io::IsTerminal;
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::config::LogLevel;

/// Longest filter: some dozens of modules.
const MAX_FILTER: usize = 1024;

/// Libraries whose lines say nothing about agents, where only a level is given.
const LIBRARIES: &str = "h2=warn,hyper=warn,tower=warn,zbus=warn";

/// What may stand alone. Not `off`: nobody would be told of anything any more.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Set once, as the subscriber is.
static RUNNING: OnceLock<Running> = OnceLock::new();

struct Running {
    at_start: String,
    /// As it was given, for a filter says it in another order.
    now: Mutex<String>,
    filter: reload::Handle<EnvFilter, Registry>,
}

/// Which lines are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Now.
    pub filter: String,
    /// And from the next start on, while configuration and environment stay as they are.
    pub at_start: String,
}

/// Why other lines are not written. One line.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// It means nothing.
    #[error(
        "`{filter}` is no log level: {why}; write error, warn, info, debug or trace, or modules as in \
         info,agentd::holds=debug"
    )]
    Filter {
        /// What was asked for.
        filter: String,
        /// What is wrong with it.
        why: String,
    },
    /// It is too long.
    #[error("a filter has at most {MAX_FILTER} characters")]
    Long,
    /// This process writes no lines, or cannot any more.
    #[error("the log level can not be changed: {0}")]
    Gone(String),
}

/// Sets it up, once. `RUST_LOG` overrides the level, for those who look for a fault.
pub fn start(level: LogLevel) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(format!("{level},{LIBRARIES}")));
    let at_start = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(given) if EnvFilter::try_from_default_env().is_ok() => given,
        _ => level.to_string(),
    };
    let (filter, handle) = reload::Layer::new(filter);
    let journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| tracing_journald::layer().ok());
    match journal {
        Some(journal) => {
            let journal = journal.with_field_prefix(None).with_syslog_identifier("agentd".to_owned());
            tracing_subscriber::registry().with(filter).with(journal).init();
        }
        None => {
            let stderr = tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(std::io::stderr().is_terminal())
                .with_target(false);
            tracing_subscriber::registry().with(filter).with(stderr).init();
        }
    }
    // It is the first time: the subscriber could not have been set twice.
    let _ = RUNNING.set(Running { now: Mutex::new(at_start.clone()), at_start, filter: handle });
}

/// Which lines are written.
pub fn written() -> Result<Written, LoggingError> {
    let running = running()?;
    let filter = running.now.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Written { filter, at_start: running.at_start.clone() })
}

/// Writes other lines from now on. That somebody changed it is written by the looser of both.
pub fn change(filter: &str, by: &str) -> Result<Written, LoggingError> {
    let next = parse(filter)?;
    let running = running()?;
    let mut now = running.now.lock().unwrap_or_else(PoisonError::into_inner);
    let say = || tracing::warn!(BY = by, before = *now, after = filter, "{by} changed the log level");
    let was_loud = tracing::enabled!(tracing::Level::WARN);
    if was_loud {
        say();
    }
    running.filter.reload(next).map_err(|error| LoggingError::Gone(error.to_string()))?;
    if !was_loud {
        say();
    }
    filter.clone_into(&mut now);
    drop(now);
    written()
}

fn running() -> Result<&'static Running, LoggingError> {
    RUNNING.get().ok_or_else(|| LoggingError::Gone("this process writes no log".to_owned()))
}

fn parse(filter: &str) -> Result<EnvFilter, LoggingError> {
    if filter.len() > MAX_FILTER {
        return Err(LoggingError::Long);
    }
    let whole = match LEVELS.contains(&filter) {
        true => format!("{filter},{LIBRARIES}"),
        false => filter.to_owned(),
    };
    let wrong = |why: String| LoggingError::Filter { filter: filter.escape_debug().to_string(), why };
    // A word alone would be a module that does not exist.
    if !whole.contains(['=', ',']) {
        return Err(wrong("no such level".to_owned()));
    }
    EnvFilter::try_new(&whole).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_alone_keeps_libraries_quiet() {
        let filter = parse("debug").unwrap().to_string();
        assert!(filter.contains("debug") && filter.contains("h2=warn"), "{filter}");
        assert!(!parse("info,agentd::holds=trace").unwrap().to_string().contains("h2"));
    }

    #[test]
    fn what_is_no_level_is_said_in_one_line() {
        for filter in ["loud", "agentd=loud", "", "off", "[", "a\nb"] {
            let error = parse(filter).unwrap_err().to_string();
            assert!(error.contains("write error, warn, info, debug or trace"), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
        assert!(matches!(parse(&"x=info,".repeat(1000)), Err(LoggingError::Long)));
    }
}
