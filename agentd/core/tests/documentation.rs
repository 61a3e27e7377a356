//! The reference of records names every key that a record can have.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use agentguard_core::ids::{AgentName, IncidentId};
use agentguard_core::operation::{AddressOp, Operation};
use agentguard_core::record::{Decision, Finding, Object, Process, Record};
use agentguard_core::rule::Source;
use agentguard_core::spec::{Spec, Variables};
use agentguard_core::verdict::{Layer, Reason, Severity, Verdict};
use serde_json::Value;

const REFERENCE: &str = include_str!("../../../docs/reference/events.md");

fn source() -> Source {
    Source { file: PathBuf::from("/x.rego"), line: 1 }
}

/// One of each kind, with everything that can be left out.
fn objects() -> Vec<Object> {
    let address = std::net::Ipv4Addr::LOCALHOST.into();
    let text = || "x".to_owned();
    vec![
        Object::File { path: text(), other: Some(text()), inode: 1, device: text(), mode: 1, flags: 1 },
        Object::FileIo { path: text(), read_bytes: 1, written_bytes: 1 },
        Object::Address { address, port: 1, protocol: text(), name: Some(text()), size: 1 },
        Object::PeerIo {
            address,
            port: 1,
            protocol: text(),
            name: Some(text()),
            sent_bytes: 1,
            received_bytes: 1,
        },
        Object::Resolved { name: text(), address, ttl_sec: 1 },
        Object::Class { detail: text() },
        Object::Exec {
            path: text(),
            cwd: text(),
            argv: vec![text()],
            truncated: true,
            inode: 1,
            device: text(),
        },
        Object::Fork { child_pid: 1, child_start_ns: 1 },
        Object::Exit { code: 1, signal: 1 },
        Object::Credentials { detail: text() },
    ]
}

fn record(object: Object) -> Record {
    Record {
        seq: 1,
        time_ns: 1,
        incident: Some(IncidentId("inc-0".to_owned())),
        agent: AgentName("x".to_owned()),
        process: Process {
            pid: 1,
            tid: 1,
            start_ns: 1,
            parent_pid: 1,
            parent_start_ns: 1,
            uid: 1,
            gid: 1,
            comm: "x".to_owned(),
            exe: Some("/x".to_owned()),
        },
        call: "open".to_owned(),
        operation: Some(Operation::Address(AddressOp::Connect)),
        object,
        decision: Decision {
            verdict: Verdict::Deny,
            enforced: true,
            reason: Reason::Rule,
            layer: Layer::Guardrail,
            rule: Some("x.y".to_owned()),
            message: "x".to_owned(),
            severity: Some(Severity::High),
            source: Some(source()),
            version: "x".to_owned(),
        },
        findings: vec![Finding {
            id: "x.y".to_owned(),
            severity: Severity::High,
            reason: "x".to_owned(),
            source: Some(source()),
        }],
    }
}

fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                found.insert(key.clone());
                keys(member, found);
            }
        }
        Value::Array(members) => members.iter().for_each(|member| keys(member, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn assert_named(words: impl IntoIterator<Item = String>) {
    let missing: Vec<_> =
        words.into_iter().filter(|word| !REFERENCE.contains(&format!("`{word}`"))).collect();
    assert!(missing.is_empty(), "docs/reference/events.md does not name {missing:?}");
}

#[test]
fn every_key_of_a_record_is_documented() {
    let mut found = BTreeSet::new();
    for object in objects() {
        let value = serde_json::to_value(record(object)).expect("a record is JSON");
        keys(&value, &mut found);
    }
    assert_named(found);
}

#[test]
fn every_kind_of_object_has_a_row() {
    for object in objects() {
        let value = serde_json::to_value(object).expect("an object is JSON");
        let kind = value.get("kind").and_then(Value::as_str).expect("every object has a kind");
        assert!(REFERENCE.contains(&format!("\n| `{kind}` | ")), "no row of `{kind}`");
    }
}

#[test]
fn every_operation_verdict_and_reason_is_documented() {
    let reasons = [
        Reason::Rule,
        Reason::Default,
        Reason::Unresolved,
        Reason::TooLong,
        Reason::NoMemory,
        Reason::NoRules,
        Reason::Identity,
        Reason::Elsewhere,
        Reason::ResolvedName,
        Reason::Protected,
        Reason::Answered,
        Reason::CannotHold,
    ];
    let reasons = reasons.map(|reason| serde_json::to_value(reason).expect("a reason is JSON"));
    assert_named(reasons.iter().filter_map(Value::as_str).map(str::to_owned));
    assert_named(Verdict::ALL.map(|verdict| verdict.name().to_owned()));
    let operations = Operation::all().filter(|op| *op != Operation::Address(AddressOp::Connect));
    assert_named(operations.map(|op| op.name().to_owned()));
}

#[test]
fn the_example_is_a_record() {
    let begin = REFERENCE.find("```json\n").expect("there is an example") + "```json\n".len();
    let rest = REFERENCE.get(begin..).expect("text follows");
    let end = rest.find("```").expect("the example ends");
    let example: Record =
        serde_json::from_str(rest.get(..end).expect("inside")).expect("the example is a record");
    assert_eq!(example.agent.0, "coding-agent-2");
    assert!(Path::new(&example.decision.source.expect("a source").file).is_absolute());
}

#[test]
fn the_example_of_a_spec_is_one() {
    let reference = include_str!("../../../docs/reference/spec.md");
    let example = reference.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let spec = Spec::parse(example.expect("there is an example"), Path::new("spec.md"));
    let mut variables = Variables::of_user("/home/ada", "ada", 1000);
    variables.set("workspace", "/home/ada/work").expect("the spec's own variable");
    let resolved = spec.expect("the example is a spec").resolve(&variables).expect("it resolves");
    assert!(resolved.rules().len() > 20, "the example uses every list");
}
