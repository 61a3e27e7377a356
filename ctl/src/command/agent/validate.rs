//! `agent validate`: what would be said to a promotion by the caller, and to a start.

use agentguard_api::v1::AgentRequest;
use clap::Args;

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen};
use crate::standing;

/// What was typed after `agent validate`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The agent
    name: String,
}

pub(super) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let name = &arguments.name;
    let request = AgentRequest { name: name.clone(), because: String::new() };
    let validation = daemon.call(async |client| client.agent_validate(request).await)?;
    match screen.format() {
        Format::Table => standing::validation(screen, name, &validation)?,
        Format::Json | Format::Ndjson => screen.document(&validation)?,
    }
    Ok(Outcome::of(validation.ok))
}
