//! `release`: frees an agent's processes. They go on ungoverned.

use clap::Args;

use crate::daemon::Daemon;
use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen};

/// What was typed after `release`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The agent
    name: String,
}

/// Releases the agent.
pub(crate) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let released = daemon.call(async |client| client.release(&arguments.name).await)?;
    match screen.format() {
        Format::Table => {
            let processes = describe::count(released.processes, "process");
            screen.line(format!("{} released: {processes} no longer governed", released.name))?;
        }
        Format::Json | Format::Ndjson => screen.document(&released)?,
    }
    Ok(Outcome::Done)
}
