//! `policy explain`: what the rules say to one operation on one object. agentd answers for an agent; with `--spec`
//! and `--policy` the answer is worked out here, from the same rules by the same code.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use agentguard_api::report::{LayerView, PolicyExplanation};
use agentguard_api::v1::PolicyExplainRequest;
use agentguard_core::decide::{Evaluator, Request};
use agentguard_core::operation::Operation;
use agentguard_core::rule::{Rule, Ruleset};
use agentguard_core::spec::Mode;
use agentguard_core::verdict::{Layer, Verdict};
use agentguard_policy::PolicySet;
use clap::Args;

use crate::command::explain::{layer_name, layers, remedy};
use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::offline::Offline;
use crate::screen::{Format, Screen, Tone};
use crate::spec_text::{SpecText, Variable};

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
    /// Offline: set a variable of the spec
    #[arg(long = "set", value_name = "NAME=VALUE", requires = "spec")]
    variables: Vec<Variable>,
    /// read, write, create, delete, attr, link, exec, map_exec, connect, bind, command, connect_address, listen, a
    /// class (socket_raw, ptrace, ...) or a capability (cap_sys_admin, ...)
    operation: Operation,
    /// A path, address:port[/tcp|udp], name:port as if at an address that no rule names, @abstract or command line; nothing
    /// for a class or capability
    #[arg(default_value = "")]
    object: String,
}

impl Arguments {
    /// The operation's name; a capability by its own.
    fn operation_name(&self) -> String {
        match self.operation {
            Operation::Capability(number) => agentguard_core::capability::name(number),
            other => other.name().to_owned(),
        }
    }
}

/// Negative if the operation is denied.
pub(super) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let explanation = match (&arguments.spec, &arguments.policy) {
        (Some(spec), Some(policy)) => offline(arguments, spec, policy)?,
        _ => {
            let request = PolicyExplainRequest {
                agent: arguments.agent.clone().unwrap_or_default(),
                operation: arguments.operation_name(),
                object: arguments.object.clone(),
            };
            daemon.call(async |client| client.policy_explain(request).await)?
        }
    };
    match screen.format() {
        Format::Table => show(screen, &explanation)?,
        Format::Json | Format::Ndjson => screen.document(&explanation)?,
    }
    Ok(Outcome::of(!explanation.verdict.stops()))
}

fn offline(
    arguments: &Arguments,
    spec: &str,
    policy: &std::path::Path,
) -> Result<PolicyExplanation, Failure> {
    let request = Request::parse(arguments.operation, &arguments.object)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let policy = PolicySet::read(policy).map_err(|errors| Failure::Failed(errors.to_string()))?;
    let offline = Offline::new(&SpecText::find(spec)?, &arguments.variables)?;
    let (guardrails, grants) = (offline.guardrails(&policy)?, offline.grants());
    let both = evaluator(&offline, guardrails.into_iter().chain(grants.clone()).collect())?;
    let answer = both.explain(&request);
    // Without guardrails the default shows, also where a guardrail is stricter.
    let granted = evaluator(&offline, grants)?.explain(&request).result;
    let agent = &offline.spec.spec().agent;
    Ok(PolicyExplanation {
        agent: agent.name.clone(),
        operation: arguments.operation_name(),
        object: arguments.object.clone(),
        verdict: answer.result.verdict,
        enforced: answer.result.verdict.stops() && agent.mode == Mode::Enforce,
        layer: answer.result.layer,
        layers: vec![
            view(Layer::Guardrail, answer.guardrail, Verdict::Allow),
            view(Layer::Grant, answer.grant, granted.verdict),
        ],
        remedy: None,
    })
}

fn evaluator(offline: &Offline, rules: Vec<Rule>) -> Result<Evaluator, Failure> {
    let ruleset = Ruleset { rules, defaults: offline.spec.defaults() };
    Evaluator::new(Arc::new(ruleset)).map_err(|error| Failure::Failed(error.to_string()))
}

/// What a layer says; its default where no rule of it matches.
fn view(layer: Layer, rule: Option<&Rule>, default: Verdict) -> LayerView {
    match rule {
        Some(rule) => LayerView {
            layer,
            verdict: rule.verdict,
            rule: Some(rule.id.clone()),
            reason: Some(rule.reason.clone()).filter(|reason| !reason.is_empty()),
            severity: rule.severity,
            source: Some(rule.source.clone()),
        },
        None => LayerView { layer, verdict: default, rule: None, reason: None, severity: None, source: None },
    }
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
