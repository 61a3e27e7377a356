//! What another policy would change: in the rules of agents, and for requests that were recorded.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use agentguard_api::report::{AgentDiff, PolicyChange, PolicyDiff, PolicyLine, ReplayLine, RuleChange};
use agentguard_api::v1::{PolicyReplayRequest, PolicyTreeRequest};
use agentguard_core::decide::Evaluator;
use agentguard_core::ids::AgentName;
use agentguard_core::record::Record;
use agentguard_core::rule::{Rule, Ruleset};
use agentguard_core::verdict::{Layer, Verdict};
use agentguard_policy::diff::{self, GuardrailChange};
use agentguard_policy::{PolicyFiles, PolicySet};
use rusqlite::Connection;
use tonic::{Response, Status};

use super::outlet::{self, Documents, Outlet};
use super::{Control, Daemon, events, refusal, store_failed, story};
use crate::agents::registry::Progress;
use crate::record::filter::Filter;
use crate::record::{agents as stored, history};

/// Records unless the user says otherwise, and at most.
const DEFAULT_RECORDS: u32 = 10_000;
const MAX_RECORDS: u32 = 1_000_000;

/// Rulesets that are remembered during one replay.
const MAX_RULESETS: usize = 64;

/// How a policy that travelled by content is called in messages.
const ROOT: &str = "";

/// Guardrails that another policy would add, take away or change.
pub(super) fn diff(daemon: &Daemon, tree: PolicyTreeRequest) -> Result<PolicyDiff, Status> {
    let other = load(tree)?;
    let connection = daemon.store.reader().map_err(store_failed)?;
    let mut agents = Vec::new();
    for agent in daemon.registry.running().map_err(refusal)? {
        let Some(rules) = stored::rules(&connection, &agent.version).map_err(store_failed)? else { continue };
        let mut before = rules.ruleset().rules;
        before.retain(|rule| rule.layer == Layer::Guardrail);
        let after = other.guardrails(&rules.input).map_err(wrong)?;
        agents.push(agent_diff(agent.name, &before, &after));
    }
    let from = daemon.registry.policy().get().version().short().to_owned();
    Ok(PolicyDiff { from, to: other.version().short().to_owned(), agents })
}

fn agent_diff(agent: AgentName, before: &[Rule], after: &[Rule]) -> AgentDiff {
    let difference = diff::guardrails(before, after);
    let rules =
        |guardrails: Vec<diff::Guardrail>| guardrails.into_iter().flat_map(|guardrail| guardrail.rules);
    let mut added: Vec<Rule> = rules(difference.added).collect();
    let mut removed: Vec<Rule> = rules(difference.removed).collect();
    let mut changed = Vec::new();
    for GuardrailChange { before, mut after, .. } in difference.changed {
        for from in before {
            // The same object with another verdict is one change, anything else comes and goes.
            match after.iter().position(|to| to.scope == from.scope) {
                Some(position) => changed.push(RuleChange { from, to: after.remove(position) }),
                None => removed.push(from),
            }
        }
        added.extend(after);
    }
    AgentDiff { agent, added, removed, changed }
}

/// Another policy for everybody: how far that is, and at the end what changed.
pub(super) fn change<W, F>(work: W) -> Response<Documents>
where
    W: FnOnce(Progress) -> F + Send + 'static,
    F: Future<Output = Result<PolicyChange, Status>> + Send,
{
    let (outlet, documents) = outlet::stream();
    let lines = outlet.clone();
    // Who does not watch changes nothing, and a line that does not fit is one of many.
    let progress: Progress =
        Arc::new(move |done, total| lines.try_put(&PolicyLine::Progress { done, total }));
    tokio::spawn(async move {
        match work(progress).await {
            Ok(change) => drop(outlet.put(&PolicyLine::Change(change)).await),
            Err(status) => outlet.fail(status).await,
        }
    });
    documents
}

/// Recorded requests under another policy: those that would be decided otherwise, then a summary.
pub(super) async fn replay(
    control: &Control,
    request: PolicyReplayRequest,
) -> Result<Response<Documents>, Status> {
    let filter = events::filter(request.filter)?;
    let limit = if request.limit == 0 { DEFAULT_RECORDS } else { request.limit.min(MAX_RECORDS) };
    let tree = request.policy.unwrap_or_default();
    let (outlet, documents) = outlet::stream();
    let control = control.clone();
    tokio::spawn(async move {
        let lines = outlet.clone();
        let run = move |daemon: &Daemon| {
            let policy = load(tree)?;
            let connection = daemon.store.reader().map_err(store_failed)?;
            Replay::new(&connection, policy).run(&filter, limit, &lines)
        };
        if let Err(status) = control.scan(run).await {
            outlet.fail(status).await;
        }
    });
    Ok(documents)
}

struct Replay<'a> {
    connection: &'a Connection,
    policy: PolicySet,
    /// Version of rules to the same grants under the other policy's guardrails.
    rulesets: HashMap<String, Option<Arc<Evaluator>>>,
    summary: Summary,
}

#[derive(Default)]
struct Summary {
    replayed: u64,
    changed: u64,
    newly_denied: u64,
    newly_allowed: u64,
    skipped: u64,
}

impl<'a> Replay<'a> {
    fn new(connection: &'a Connection, policy: PolicySet) -> Self {
        Self { connection, policy, rulesets: HashMap::new(), summary: Summary::default() }
    }

    fn run(mut self, filter: &Filter, limit: u32, outlet: &Outlet) -> Result<(), Status> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        for number in history::newest(self.connection, filter, limit).map_err(store_failed)? {
            let Some(record) = history::by_number(self.connection, number).map_err(store_failed)? else {
                continue;
            };
            if record.operation.is_none() {
                continue;
            }
            if let Some(line) = self.decide(record)?
                && outlet.put_blocking(&line).is_err()
            {
                return Ok(());
            }
        }
        // If the client has left, nobody misses it.
        let _ = outlet.put_blocking(&self.end());
        Ok(())
    }

    fn decide(&mut self, record: Record) -> Result<Option<ReplayLine>, Status> {
        let evaluator = self.evaluator(&record.decision.version)?;
        let Some(explanation) =
            evaluator.as_deref().and_then(|evaluator| story::decide_again(evaluator, &record))
        else {
            self.summary.skipped += 1;
            return Ok(None);
        };
        self.summary.replayed += 1;
        let (before, after) = (record.decision.verdict, explanation.result.verdict);
        if before == after {
            return Ok(None);
        }
        self.summary.changed += 1;
        self.summary.newly_denied += u64::from(after == Verdict::Deny);
        self.summary.newly_allowed += u64::from(before == Verdict::Deny);
        let rule = match explanation.result.layer {
            Layer::Guardrail => explanation.guardrail,
            Layer::Grant => explanation.grant,
            Layer::Default => None,
        };
        Ok(Some(ReplayLine::Changed {
            verdict: after,
            layer: explanation.result.layer,
            rule: rule.map(|rule| rule.id.clone()),
            source: rule.map(|rule| rule.source.clone()),
            record: Box::new(record),
        }))
    }

    fn evaluator(&mut self, version: &str) -> Result<Option<Arc<Evaluator>>, Status> {
        if let Some(known) = self.rulesets.get(version) {
            return Ok(known.clone());
        }
        let made = match stored::rules(self.connection, version).map_err(store_failed)? {
            None => None,
            Some(rules) => {
                let mut all = self.policy.guardrails(&rules.input).map_err(wrong)?;
                all.extend(rules.ruleset().rules.into_iter().filter(|rule| rule.layer == Layer::Grant));
                let ruleset = Ruleset { rules: all, defaults: rules.defaults };
                Some(Arc::new(
                    story::evaluator(ruleset).map_err(|error| Status::invalid_argument(error.to_string()))?,
                ))
            }
        };
        if self.rulesets.len() >= MAX_RULESETS {
            self.rulesets.clear();
        }
        self.rulesets.insert(version.to_owned(), made.clone());
        Ok(made)
    }

    fn end(&self) -> ReplayLine {
        ReplayLine::Summary {
            version: self.policy.version().short().to_owned(),
            replayed: self.summary.replayed,
            changed: self.summary.changed,
            newly_denied: self.summary.newly_denied,
            newly_allowed: self.summary.newly_allowed,
            skipped: self.summary.skipped,
        }
    }
}

fn load(tree: PolicyTreeRequest) -> Result<PolicySet, Status> {
    let files = tree.files.into_iter().map(|file| (file.path, file.content));
    PolicySet::load(PolicyFiles::from_contents(Path::new(ROOT), files).map_err(wrong)?).map_err(wrong)
}

fn wrong(errors: agentguard_policy::PolicyErrors) -> Status {
    Status::invalid_argument(errors.to_string())
}
