//! `policy diff`: what another policy would change in the rules. Against agentd for every agent that runs; between
//! two directories for one spec, offline.

use std::io;
use std::path::PathBuf;

use agentguard_api::report::{AgentDiff, PolicyDiff, RuleChange};
use agentguard_core::ids::AgentName;
use agentguard_core::rule::Rule;
use agentguard_policy::PolicySet;
use agentguard_policy::diff::{Guardrail, GuardrailChange, GuardrailDiff};
use clap::Args;

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::offline::Offline;
use crate::screen::{Format, Screen, Tone};
use crate::spec_text::{SpecText, Variable};

/// What was typed after `policy diff`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Directory of the other policy; with a second one, of the policy to compare from
    directory: PathBuf,
    /// Compare with this directory instead of the policy in force
    other: Option<PathBuf>,
    /// With two directories: the spec to make the rules for
    #[arg(long, value_name = "FILE|NAME", default_value = crate::command::run::DEFAULT_SPEC)]
    spec: String,
    /// With two directories: set a variable of the spec
    #[arg(long = "set", value_name = "NAME=VALUE")]
    variables: Vec<Variable>,
}

/// Negative if anything differs.
pub(super) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let diff = match &arguments.other {
        None => {
            let tree = super::tree(&arguments.directory)?;
            daemon.call(async |client| client.policy_diff(tree).await)?
        }
        Some(other) => {
            let read =
                |directory| PolicySet::read(directory).map_err(|errors| Failure::Failed(errors.to_string()));
            let (from, to) = (read(&arguments.directory)?, read(other)?);
            let offline = Offline::new(&SpecText::find(&arguments.spec)?, &arguments.variables)?;
            offline_diff(&offline, &from, &to)?
        }
    };
    match screen.format() {
        Format::Table => show(screen, &diff)?,
        Format::Json | Format::Ndjson => screen.document(&diff)?,
    }
    Ok(Outcome::of(diff.agents.iter().all(is_empty)))
}

fn is_empty(agent: &AgentDiff) -> bool {
    agent.added.is_empty() && agent.removed.is_empty() && agent.changed.is_empty()
}

fn offline_diff(offline: &Offline, from: &PolicySet, to: &PolicySet) -> Result<PolicyDiff, Failure> {
    let agent = offline.spec.spec().agent.name.clone();
    let (before, after) = (offline.guardrails(from)?, offline.guardrails(to)?);
    Ok(PolicyDiff {
        from: from.version().short().to_owned(),
        to: to.version().short().to_owned(),
        agents: vec![by_rule(agent, agentguard_policy::diff::guardrails(&before, &after))],
    })
}

/// The same in the words of agentd's own answer: rules instead of groups of rules. A rule before and a rule after
/// that are about the same object are one change.
fn by_rule(agent: AgentName, diff: GuardrailDiff) -> AgentDiff {
    let rules =
        |guardrails: Vec<Guardrail>| guardrails.into_iter().flat_map(|guardrail| guardrail.rules).collect();
    let (mut added, mut removed): (Vec<Rule>, Vec<Rule>) = (rules(diff.added), rules(diff.removed));
    let mut changed = Vec::new();
    for GuardrailChange { before, mut after, .. } in diff.changed {
        for from in before {
            match after.iter().position(|to| to.scope == from.scope) {
                Some(position) => changed.push(RuleChange { from, to: after.remove(position) }),
                None => removed.push(from),
            }
        }
        added.append(&mut after);
    }
    AgentDiff { agent, added, removed, changed }
}

fn show(screen: &mut Screen<'_>, diff: &PolicyDiff) -> io::Result<()> {
    screen.line(format!("policy {} -> {}", diff.from, diff.to))?;
    if diff.agents.is_empty() {
        return screen.line("no agent runs, so no rule would change");
    }
    for agent in &diff.agents {
        screen.line("")?;
        screen.line(screen.paint(Tone::Strong, &agent.agent.0))?;
        if is_empty(agent) {
            screen.line("  nothing differs")?;
        }
        for rule in &agent.removed {
            screen.line(screen.paint(Tone::Bad, &format!("  - {}", rule_words(rule))))?;
        }
        for rule in &agent.added {
            screen.line(screen.paint(Tone::Good, &format!("  + {}", rule_words(rule))))?;
        }
        for change in &agent.changed {
            screen.line(screen.paint(Tone::Bad, &format!("  - {}", rule_words(&change.from))))?;
            screen.line(screen.paint(Tone::Good, &format!("  + {}", rule_words(&change.to))))?;
        }
    }
    Ok(())
}

fn rule_words(rule: &Rule) -> String {
    let Rule { id, verdict, source, .. } = rule;
    format!(
        "{id} {verdict} {}  ({}:{})",
        crate::describe::scope(&rule.scope),
        source.file.display(),
        source.line
    )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use agentguard_core::operation::PathOp;
    use agentguard_core::rule::{Scope, Source};
    use agentguard_core::verdict::{Layer, Verdict};

    use super::*;

    fn rule(id: &str, pattern: &str, verdict: Verdict) -> Rule {
        Rule {
            id: id.to_owned(),
            layer: Layer::Guardrail,
            verdict,
            scope: Scope::Path {
                ops: vec![PathOp::Read, PathOp::Write],
                pattern: pattern.to_owned(),
                sha256: None,
            },
            severity: None,
            reason: String::new(),
            source: Source { file: PathBuf::from("filesystem/filesystem.rego"), line: 9 },
        }
    }

    #[test]
    fn each_agent_has_its_removed_added_and_changed_rules() {
        let changed = RuleChange {
            from: rule("filesystem.etc", "/etc/**", Verdict::Audit),
            to: rule("filesystem.etc", "/etc/**", Verdict::Deny),
        };
        let agent = AgentDiff {
            agent: AgentName("coder".to_owned()),
            added: vec![rule("filesystem.keys", "/keys/**", Verdict::Deny)],
            removed: vec![rule("filesystem.old", "/old", Verdict::Deny)],
            changed: vec![changed],
        };
        let same = AgentDiff {
            agent: AgentName("ops".to_owned()),
            added: Vec::new(),
            removed: Vec::new(),
            changed: Vec::new(),
        };
        let diff = PolicyDiff { from: "aaa".to_owned(), to: "bbb".to_owned(), agents: vec![agent, same] };
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 110), &diff).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
