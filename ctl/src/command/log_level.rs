//! `log-level`: which log lines agentd writes, without a restart. Records and the audit log have all of it anyway.

use std::io;

use agentguard_api::report::LogLevel;
use clap::Args;

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen, printable};

/// What was typed after `log-level`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// error, warn, info, debug or trace; or levels of modules, such as info,agentd::holds=debug
    #[arg(value_name = "LEVEL", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    level: Option<String>,
}

/// Says it, or changes it first.
pub(crate) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let filter = arguments.level.as_deref().unwrap_or_default();
    let written = daemon.call(async |client| client.log_level(filter).await)?;
    match screen.format() {
        Format::Table => show(screen, &written)?,
        Format::Json | Format::Ndjson => screen.document(&written)?,
    }
    Ok(Outcome::Done)
}

fn show(screen: &mut Screen<'_>, written: &LogLevel) -> io::Result<()> {
    let LogLevel { filter, at_start } = written;
    if filter == at_start {
        screen.line(format!("{}, as configured", printable(filter)))
    } else {
        screen.line(format!(
            "{} until agentd restarts, then again {}",
            printable(filter),
            printable(at_start)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(filter: &str) -> String {
        let mut out = Vec::new();
        let written = LogLevel { filter: filter.to_owned(), at_start: "info".to_owned() };
        show(&mut Screen::plain(&mut out, Format::Table, 80), &written).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn says_how_long_a_level_lasts() {
        assert_eq!(text("info"), "info, as configured\n");
        assert_eq!(text("debug"), "debug until agentd restarts, then again info\n");
    }
}
