//! `agent history`: what became of an agent, oldest first.

use std::io;

use agentguard_api::v1::AgentRequest;
use agentguard_governance::register::Step;
use clap::Args;

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::moment;
use crate::screen::{Format, Screen, Tone, cell};
use crate::standing;

/// What was typed after `agent history`.
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
    let steps = ask(&arguments.name, daemon)?;
    match screen.format() {
        Format::Table => show(screen, &steps)?,
        Format::Json | Format::Ndjson => screen.documents(&steps)?,
    }
    Ok(Outcome::Done)
}

/// The steps, as agentd tells of them.
pub(super) fn ask(name: &str, daemon: &mut Daemon) -> Result<Vec<Step>, Failure> {
    let request = AgentRequest { name: name.to_owned(), because: String::new() };
    daemon.call(async |client| client.agent_history(request).await)
}

fn show(screen: &mut Screen<'_>, steps: &[Step]) -> io::Result<()> {
    let mut table = screen.new_table(&["time", "what", "state", "rev", "spec", "by", "why"]);
    for step in steps {
        table.add_row([
            cell(moment::of_sec(step.time_sec), Tone::Plain),
            cell(&step.code, Tone::Strong),
            cell(step.state.name(), standing::tone(step.state)),
            cell(step.revision.to_string(), Tone::Plain),
            cell(standing::short(&step.spec_sha256), Tone::Dim),
            cell(&step.by, Tone::Plain),
            cell(&step.reason, Tone::Plain),
        ]);
    }
    screen.table(&table)
}

#[cfg(test)]
mod tests {
    use agentguard_governance::state::State;

    use super::*;
    use crate::command::agent::samples::NOON_SEC;

    #[test]
    fn every_step_is_a_row() {
        let step = |code: &str, state, reason: &str| Step {
            time_sec: NOON_SEC,
            by: "uid 1000 (alice)".to_owned(),
            code: code.to_owned(),
            state,
            revision: 1,
            spec_sha256: "ab".repeat(32),
            reason: reason.to_owned(),
        };
        let steps = [
            step("AGENT_CREATED", State::Sandbox, ""),
            step("PROMOTION_SUCCESS", State::Valid, ""),
            step("AGENT_RESTRICTED", State::Restricted, "looks odd"),
        ];
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 140), &steps).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
