//! `agent restrict`, `lift` and `revoke`: a person's word on an agent, and where it stands then.

use agentguard_api::report::RegisteredAgent;
use agentguard_api::v1::AgentRequest;
use clap::Args;

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen, printable};
use crate::standing;

/// What was typed after `agent restrict` and `agent revoke`.
#[derive(Debug, Args)]
pub(crate) struct Because {
    /// The agent
    name: String,
    /// Why: for the audit log and for whoever wonders
    #[arg(long, value_name = "WHY", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    because: String,
}

/// What was typed after `agent lift`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The agent
    name: String,
    /// Why: for the audit log and for whoever wonders
    #[arg(long, value_name = "WHY", default_value = "", hide_default_value = true)]
    because: String,
}

impl Because {
    fn request(&self) -> AgentRequest {
        AgentRequest { name: self.name.clone(), because: self.because.clone() }
    }
}

pub(super) fn restrict(
    arguments: &Because,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let request = arguments.request();
    let agent = daemon.call(async |client| client.agent_restrict(request).await)?;
    print(screen, &agent, "its rules are tightened from now on")
}

pub(super) fn lift(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let request = AgentRequest { name: arguments.name.clone(), because: arguments.because.clone() };
    let agent = daemon.call(async |client| client.agent_lift(request).await)?;
    let by: Vec<&str> = agent.standing.restricted_by.iter().map(|cause| cause.name()).collect();
    let then = match by.as_slice() {
        [] => "it has the rules of its spec again".to_owned(),
        by => format!("it stays restricted by {}", by.join(" and ")),
    };
    print(screen, &agent, &then)
}

pub(super) fn revoke(
    arguments: &Because,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let request = arguments.request();
    let agent = daemon.call(async |client| client.agent_revoke(request).await)?;
    print(screen, &agent, "it does not start until it is promoted again")
}

fn print(screen: &mut Screen<'_>, agent: &RegisteredAgent, then: &str) -> Result<Outcome, Failure> {
    match screen.format() {
        Format::Table => {
            let state = agent.standing.state;
            let state = screen.paint(standing::tone(state), state.name());
            screen.line(format!("{}: {state}; {}", printable(&agent.name.0), then))?;
        }
        Format::Json | Format::Ndjson => screen.document(agent)?,
    }
    Ok(Outcome::Done)
}
