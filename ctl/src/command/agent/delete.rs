//! `agent delete`: agentd forgets an agent, after a person has said so twice.

use std::io::{self, IsTerminal, Write};

use agentguard_api::v1::AgentRequest;
use clap::Args;

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen, printable};

/// What was typed after `agent delete`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The agent
    name: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Why: for the audit log and for whoever wonders
    #[arg(long, value_name = "WHY", default_value = "", hide_default_value = true)]
    because: String,
}

pub(super) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    if !arguments.yes && !is_meant(&arguments.name)? {
        return Ok(Outcome::Negative);
    }
    let request = AgentRequest { name: arguments.name.clone(), because: arguments.because.clone() };
    let name = daemon.call(async |client| client.agent_delete(request).await)?;
    match screen.format() {
        Format::Table => screen
            .line(format!("{} is forgotten: its spec, its proof and its history", printable(&name.0)))?,
        Format::Json | Format::Ndjson => screen.document(&serde_json::json!({"name": name}))?,
    }
    Ok(Outcome::Done)
}

/// Asks on the terminal; without one somebody must have said so before.
fn is_meant(name: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage("there is no terminal to ask on: say --yes".to_owned()));
    }
    let mut stderr = io::stderr();
    write!(stderr, "forget {} with its spec, its proof and its history? [y/N] ", printable(name))?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(is_yes(&answer))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        assert!(is_yes("y\n") && is_yes("YES\n"));
        assert!(!is_yes("\n") && !is_yes("n") && !is_yes("yep"));
    }
}
