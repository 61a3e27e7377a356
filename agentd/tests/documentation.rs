//! The reference of metrics names everything that Prometheus is given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use agentd::export::metrics::{EventCounters, Snapshot, page};
use agentd::kernel::ProgramStats;
use agentguard_api::report::{AgentState, AgentView, Canary, StoreStatus};
use agentguard_core::ids::{AgentKey, AgentName};
use agentguard_core::record::{Decision, Finding, Object, Process, Record};
use agentguard_core::verdict::{Layer, Reason, Severity, Verdict};

const REFERENCE: &str = include_str!("../../docs/reference/metrics.md");

fn record() -> Record {
    Record {
        seq: 1,
        time_ns: 1,
        incident: None,
        agent: AgentName("x".to_owned()),
        process: Process {
            pid: 1,
            tid: 1,
            start_ns: 1,
            parent_pid: 1,
            parent_start_ns: 1,
            uid: 0,
            gid: 0,
            comm: String::new(),
            exe: None,
        },
        call: "exit".to_owned(),
        operation: None,
        object: Object::Exit { code: 0, signal: 0 },
        decision: Decision {
            verdict: Verdict::Allow,
            enforced: false,
            reason: Reason::Default,
            layer: Layer::Default,
            rule: None,
            message: String::new(),
            severity: None,
            source: None,
            version: String::new(),
        },
        findings: vec![Finding {
            id: "x.y".to_owned(),
            severity: Severity::High,
            reason: "x".to_owned(),
            source: None,
        }],
    }
}

fn agent() -> AgentView {
    AgentView {
        name: AgentName("x".to_owned()),
        state: AgentState::Running,
        mode: "enforce".to_owned(),
        role: "ideation".to_owned(),
        tier: 1,
        target: "pid 1".to_owned(),
        key: AgentKey { slot: 1, serial: 1 },
        processes: 1,
        uid: 0,
        spec_file: "x".to_owned(),
        version: "x".to_owned(),
        rules: 1,
        enrolled_ns: 1,
        ended_ns: 0,
        records: 0,
        denied: 0,
    }
}

/// A page on which nothing is left out.
fn full_page() -> String {
    let counters = Arc::new(EventCounters::default());
    counters.count(&record());
    let snapshot = Snapshot {
        lost: BTreeMap::from([("ring".to_owned(), 1)]),
        programs: vec![ProgramStats { name: "on_file_open".to_owned(), runs: 1, ns: 1, recursion_misses: 1 }],
        agents: vec![agent()],
        policy: "x".to_owned(),
        backend: "lsm".to_owned(),
        canary: Some(Canary { ok: true, age_ms: 1, problem: None }),
        store: Some(StoreStatus { path: "x".to_owned(), records: 1, bytes: 1, oldest_ns: 1, set_aside: None }),
        followers: 1,
        ..Snapshot::default()
    };
    page(&counters, snapshot).expect("the page can be written")
}

/// Names with their labels, from lines such as `name{label="value"} 1`.
fn samples(page: &str) -> BTreeSet<(String, String)> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let mut found = BTreeSet::new();
    for line in lines {
        let series = line.rsplit_once(' ').map_or(line, |(series, _)| series);
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        for label in labels.trim_end_matches('}').split(',') {
            let label = label.split_once('=').map_or("", |(label, _)| label);
            found.insert((name.to_owned(), label.to_owned()));
        }
    }
    found
}

#[test]
fn every_metric_and_label_is_documented() {
    let found = samples(&full_page());
    assert!(found.len() > 15, "a full page has more: {found:?}");
    for (name, label) in found {
        let row = REFERENCE.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/reference/metrics.md has no row of `{name}`"));
        assert!(label.is_empty() || row.contains(&format!("`{label}`")), "`{name}`: label `{label}`");
    }
}

#[test]
fn nothing_is_documented_that_is_not_there() {
    let found: BTreeSet<String> = samples(&full_page()).into_iter().map(|(name, _)| name).collect();
    for row in REFERENCE.lines().filter(|line| line.starts_with("| `agentguard_")) {
        let name = row.trim_start_matches("| `").split('`').next().unwrap_or_default();
        assert!(found.contains(name), "`{name}` is documented and not on the page");
    }
}
