//! `agent update`: another spec for a registered agent, which nobody has promoted yet.

use std::path::Path;

use agentguard_api::v1::AgentSpecRequest;
use agentguard_core::spec::Spec;
use clap::Args;

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen};
use crate::spec_text::{self, SpecText, Variable};

/// What was typed after `agent update`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The agent
    name: String,
    /// Spec: a file, or the name of one in /etc/agentguard/specs or /usr/share/agentguard/specs
    #[arg(long, value_name = "FILE|NAME")]
    spec: String,
    /// Value of a variable that a start does not have to give
    #[arg(long = "set", value_name = "NAME=VALUE")]
    variables: Vec<Variable>,
    /// How long it may stay in the sandbox; otherwise as the configuration of agentd says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    sandbox_days: Option<u32>,
}

pub(super) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let spec = SpecText::find(&arguments.spec)?;
    Spec::parse(&spec.text, Path::new(&spec.file)).map_err(|error| Failure::Failed(error.to_string()))?;
    let request = AgentSpecRequest {
        name: arguments.name.clone(),
        origin: format!("file {}", spec.file),
        spec_toml: spec.text,
        spec_file: spec.file,
        variables: spec_text::values(&arguments.variables)?,
        sandbox_days: arguments.sandbox_days.unwrap_or_default(),
    };
    let agent = daemon.call(async |client| client.agent_update(request).await)?;
    match screen.format() {
        Format::Table => screen.line(super::create::in_sandbox(&agent))?,
        Format::Json | Format::Ndjson => screen.document(&agent)?,
    }
    Ok(Outcome::Done)
}
