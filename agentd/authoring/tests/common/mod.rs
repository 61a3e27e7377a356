//! What several tests need: records, and what a made spec says to a request.
#![allow(dead_code, reason = "each test uses a part")]

use std::path::Path;
use std::sync::Arc;

use agentguard_authoring::Draft;
use agentguard_core::decide::{Evaluator, Request};
use agentguard_core::ids::AgentName;
use agentguard_core::operation::{AddressOp, Operation, PathOp};
use agentguard_core::record::{Decision, Object, Process, Record};
use agentguard_core::rule::Ruleset;
use agentguard_core::spec::{Spec, Variables};
use agentguard_core::verdict::{Layer, Reason, Verdict};

pub(crate) const HOME: &str = "/home/ada";
pub(crate) const WORKSPACE: &str = "/home/ada/project";

/// A request that went through because observe mode lets everything through.
pub(crate) fn record(operation: Operation, object: Object) -> Record {
    Record {
        seq: 1,
        time_ns: 1,
        incident: None,
        agent: AgentName("learner".to_owned()),
        process: Process {
            pid: 7,
            tid: 7,
            start_ns: 1,
            parent_pid: 1,
            parent_start_ns: 1,
            uid: 1000,
            gid: 1000,
            comm: "x".to_owned(),
            exe: None,
        },
        call: "open".to_owned(),
        operation: Some(operation),
        object,
        decision: Decision {
            verdict: Verdict::Deny,
            enforced: false,
            reason: Reason::Default,
            layer: Layer::Default,
            rule: None,
            message: String::new(),
            severity: None,
            source: None,
            version: "0123456789ab".to_owned(),
        },
        findings: Vec::new(),
    }
}

pub(crate) fn file(op: PathOp, path: &str) -> Record {
    let object = Object::File {
        path: path.to_owned(),
        other: None,
        inode: 1,
        device: "8:1".to_owned(),
        mode: 0o644,
        flags: 0,
    };
    record(Operation::Path(op), object)
}

pub(crate) fn peer(op: AddressOp, address: &str, port: u16, protocol: &str, name: Option<&str>) -> Record {
    let object = Object::Address {
        address: address.parse().unwrap(),
        port,
        protocol: protocol.to_owned(),
        name: name.map(str::to_owned),
        size: 0,
    };
    record(Operation::Address(op), object)
}

/// The same request, denied by policy.
pub(crate) fn denied_by_policy(mut record: Record, rule: &str) -> Record {
    record.decision.layer = Layer::Guardrail;
    record.decision.reason = Reason::Rule;
    record.decision.enforced = true;
    record.decision.rule = Some(rule.to_owned());
    record
}

/// The spec of a draft, ready to be asked. Every variable that it leaves open gets a value.
pub(crate) fn evaluator(draft: &Draft) -> Evaluator {
    let spec = Spec::parse(&draft.text, Path::new("draft.toml"))
        .unwrap_or_else(|error| panic!("{error}\n{}", draft.text));
    let mut variables = Variables::of_user(HOME, "ada", 1000);
    for (name, default) in &spec.variables {
        match name.as_str() {
            "workspace" => variables.set(name, WORKSPACE).unwrap(),
            _ if default.value.is_empty() => variables.set(name, &format!("/srv/{name}")).unwrap(),
            _ => {}
        }
    }
    let resolved = spec.resolve(&variables).unwrap_or_else(|error| panic!("{error}"));
    let ruleset = Ruleset { rules: resolved.rules(), defaults: resolved.defaults() };
    agentguard_core::lower(&ruleset).unwrap_or_else(|error| panic!("{error}\n{}", draft.text));
    Evaluator::new(Arc::new(ruleset)).unwrap()
}

pub(crate) fn verdict(evaluator: &Evaluator, op: Operation, object: &str) -> Verdict {
    evaluator.explain(&Request::parse(op, object).unwrap()).result.verdict
}

pub(crate) fn path_verdict(evaluator: &Evaluator, op: PathOp, path: &str) -> Verdict {
    verdict(evaluator, Operation::Path(op), path)
}

/// What every draft promises, whatever it is made of.
pub(crate) fn assert_is_for_the_sandbox(draft: &Draft) -> Spec {
    let spec = Spec::parse(&draft.text, Path::new("draft.toml"))
        .unwrap_or_else(|error| panic!("{error}\n{}", draft.text));
    assert_eq!(spec.agent.mode.name(), "enforce");
    assert!(spec.agent.version.is_some() && !spec.agent.capabilities.is_empty());
    assert!(!spec.containment.external_calls && !spec.containment.persistent_writes);
    let table: toml::Table = draft.text.parse().unwrap();
    for key in ["external_calls", "persistent_writes"] {
        assert_eq!(table["containment"][key].as_bool(), Some(false), "{}", draft.text);
    }
    let reasoning = spec.anatomy.reasoning.as_ref().expect("reasoning");
    assert!(reasoning.temperature.is_some() && spec.anatomy.memory.is_some());
    assert!(!spec.anatomy.inputs.is_empty() && !spec.anatomy.actions.is_empty());
    assert!(spec.economics.monthly_budget_usd.is_some());
    spec
}

/// The text and the notes, as a snapshot shows them.
pub(crate) fn shown(draft: &Draft) -> String {
    let notes: Vec<String> = draft.notes.iter().map(|note| format!("{note}\n")).collect();
    format!("{}\n---- notes\n{}", draft.text, notes.concat())
}
