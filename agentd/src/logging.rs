//! Where log lines go: to the journal with their fields where systemd reads it, else to stderr.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogLevel;

/// Sets it up, once. `RUST_LOG` overrides the level, for those who look for a fault.
pub fn start(level: LogLevel) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("{level},h2=warn,hyper=warn,tower=warn,zbus=warn")));
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
}
