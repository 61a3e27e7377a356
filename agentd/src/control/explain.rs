//! Why: the story of one record, and what rules say to a request that nobody has made yet.

use agentguard_api::report::{Explanation, PolicyExplanation};
use agentguard_api::v1::PolicyExplainRequest;
use agentguard_core::decide::Request;
use agentguard_core::operation::Operation;
use agentguard_core::record::Record;
use agentguard_core::spec::Mode;
use tonic::Status;

use super::{Daemon, refusal, store_failed, story};
use crate::agents::directory::InForce;
use crate::record::{agents as stored, history};

/// The story of a record, by incident id or number.
pub(super) fn explain(daemon: &Daemon, id: &str) -> Result<Explanation, Status> {
    let connection = daemon.store.reader().map_err(store_failed)?;
    let missing = || {
        Status::not_found(format!(
            "there is no record `{id}`; it may be older than the retention, or not stored yet"
        ))
    };
    let record = history::by_id(&connection, id).map_err(store_failed)?.ok_or_else(missing)?;
    let lineage = history::lineage(&connection, &record.process, record.time_ns).map_err(store_failed)?;
    let rules = stored::rules(&connection, &record.decision.version).map_err(store_failed)?;
    tell(record, lineage, rules.as_ref())
}

fn tell(
    record: Record,
    lineage: Vec<agentguard_api::report::Ancestor>,
    rules: Option<&InForce>,
) -> Result<Explanation, Status> {
    let named = record.decision.rule.as_deref();
    let rule = rules
        .and_then(|rules| rules.rules.iter().find(|rule| Some(rule.id.as_str()) == named))
        .map(|rule| rule.as_ref().clone());
    let evaluator = rules.map(|rules| story::evaluator(rules.ruleset())).transpose().map_err(internal)?;
    let explanation = evaluator.as_ref().and_then(|evaluator| story::decide_again(evaluator, &record));
    let (layers, remedy) = match (&explanation, rules, story::request_of(&record)) {
        (Some(explanation), Some(rules), Some(request)) => {
            let default = story::default_of(&rules.defaults, request.operation());
            (story::layers(explanation, default), story::remedy(explanation, &request))
        }
        _ => (Vec::new(), story::remedy_of_reason(record.decision.reason)),
    };
    let story = story::sentences(&record, &lineage, rule.as_ref());
    Ok(Explanation { record, lineage, rule, layers, story, remedy })
}

/// What an agent's rules say to a request.
pub(super) fn policy_explain(
    daemon: &Daemon,
    asked: &PolicyExplainRequest,
) -> Result<PolicyExplanation, Status> {
    let invalid = |error: String| Status::invalid_argument(error);
    let operation: Operation = match asked.operation.as_str() {
        "capability" => Operation::Capability(0),
        name => name.parse().map_err(|error| invalid(format!("{error}")))?,
    };
    let request = Request::parse(operation, &asked.object).map_err(|error| invalid(error.to_string()))?;
    let agents = daemon.registry.running().map_err(refusal)?;
    let agent = agents.into_iter().find(|agent| agent.name.0 == asked.agent).ok_or_else(|| {
        Status::not_found(format!("there is no agent {}; `agentctl agents` lists them", asked.agent))
    })?;
    let connection = daemon.store.reader().map_err(store_failed)?;
    let rules = stored::rules(&connection, &agent.version).map_err(store_failed)?;
    let rules = rules
        .ok_or_else(|| Status::internal(format!("the rules of agent {} are not in the store", agent.name)))?;
    let evaluator = story::evaluator(rules.ruleset()).map_err(internal)?;
    let explanation = evaluator.explain(&request);
    let default = story::default_of(&rules.defaults, request.operation());
    let stops = explanation.result.verdict.stops();
    Ok(PolicyExplanation {
        agent: agent.name,
        operation: request.operation().name().to_owned(),
        object: asked.object.clone(),
        verdict: explanation.result.verdict,
        enforced: agent.mode == Mode::Enforce,
        layer: explanation.result.layer,
        layers: story::layers(&explanation, default),
        remedy: stops.then(|| story::remedy(&explanation, &request)),
    })
}

fn internal(error: agentguard_core::pattern::PatternError) -> Status {
    Status::internal(format!("the stored rules can not be read: {error}"))
}
