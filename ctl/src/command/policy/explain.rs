//! `policy explain`: what the rules say to one operation on one object. agentd answers for an agent; with `--spec`
//! and `--policy` the answer is worked out here, by the same code.

use std::io;
use std::path::PathBuf;

use agentguard_api::report::PolicyExplanation;
use agentguard_api::v1::PolicyExplainRequest;
use clap::Args;

use crate::command::explain::{layer_name, layers, remedy};
use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen, Tone};

/// What was typed after `policy explain`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The agent whose rules to ask
    #[arg(long, value_name = "NAME", required_unless_present = "spec", conflicts_with = "spec")]
    agent: Option<String>,
    /// Offline: the rules of this spec
    #[arg(long, value_name = "FILE|NAME", requires = "policy")]
    spec: Option<String>,
    /// Offline: under this policy
    #[arg(long, value_name = "DIR", requires = "spec")]
    policy: Option<PathBuf>,
    /// read, write, create, delete, attr, link, exec, map_exec, connect, bind, command, connect_address, listen,
    /// a class (socket_raw, ptrace, ...) or a capability (cap_sys_admin, ...)
    operation: String,
    /// A path, address:port[/tcp|udp], name:port, @abstract or command line; empty for a class or capability
    #[arg(default_value = "")]
    object: String,
}

/// Negative if the operation is denied.
pub(super) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let request = PolicyExplainRequest {
        agent: arguments.agent.clone().unwrap_or_default(),
        operation: arguments.operation.clone(),
        object: arguments.object.clone(),
    };
    let explanation = daemon.call(async |client| client.policy_explain(request).await)?;
    match screen.format() {
        Format::Table => show(screen, &explanation)?,
        Format::Json | Format::Ndjson => screen.document(&explanation)?,
    }
    Ok(Outcome::of(!explanation.verdict.stops()))
}

fn show(screen: &mut Screen<'_>, explanation: &PolicyExplanation) -> io::Result<()> {
    let PolicyExplanation { agent, operation, object, verdict, layer, .. } = explanation;
    let verdict = screen.paint(Tone::of(*verdict), verdict.name());
    let enforced = if explanation.verdict.stops() && !explanation.enforced { " (not enforced)" } else { "" };
    let asked = format!("{agent}: {operation} {object}");
    screen.line(format!("{}: {verdict}{enforced}, by {}", asked.trim_end(), layer_name(*layer)))?;
    layers(screen, &explanation.layers)?;
    explanation.remedy.as_ref().map_or(Ok(()), |words| remedy(screen, words))
}
