//! A page of metrics on which nothing is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use agentd::export::metrics::{
    EventCounters, GovernanceCounters, HoldOutcome, HoldStage, Question, Snapshot, page,
};
use agentd::kernel::{ProgramStats, Table};
use agentd::notify::Outcomes;
use agentd::pipeline::Queue;
use agentguard_api::report::{AgentState, AgentView, Canary, StoreStatus};
use agentguard_core::ids::{AgentKey, AgentName};
use agentguard_core::record::{Decision, Finding, Object, Process, Record};
use agentguard_core::verdict::{Layer, Reason, Severity, Verdict};
use agentguard_governance::admission::Code;

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
        registered: None,
        governance: "UNREGISTERED".to_owned(),
    }
}

/// A page on which nothing is left out.
pub(crate) fn full_page() -> String {
    let counters = Arc::new(EventCounters::default());
    counters.count(&record());
    let governance = GovernanceCounters::default();
    for code in Code::ALL {
        governance.started(code);
    }
    governance.invalidated();
    governance.policy_reloaded(true);
    governance.policy_reloaded(false);
    governance.promotion_attempt();
    governance.promotion_denied("promotion.actor_role");
    governance.budget_alert(80);
    let snapshot = Snapshot {
        registered: BTreeMap::from([("SANDBOX", 1)]),
        spent_usd: vec![("x".to_owned(), 1.0)],
        lost: BTreeMap::from([("ring".to_owned(), 1)]),
        programs: vec![ProgramStats { name: "on_file_open".to_owned(), runs: 1, ns: 1, recursion_misses: 1 }],
        agents: vec![agent()],
        policy: "x".to_owned(),
        backend: "lsm".to_owned(),
        canary: Some(Canary { ok: true, age_ms: 1, problem: None }),
        store: Some(StoreStatus {
            path: "x".to_owned(),
            records: 1,
            bytes: 1,
            oldest_ns: 1,
            set_aside: None,
        }),
        followers: 1,
        notifications: vec![Outcomes {
            target: "1-x".to_owned(),
            waiting: 1,
            delivered: 1,
            failed: 1,
            dropped: 1,
        }],
        queues: vec![Queue { stage: "record", batches: 1, capacity: 48 }],
        tables: vec![Table { name: "holds", entries: 1, capacity: 4096 }],
        ..Snapshot::default()
    };
    let moment = Duration::from_millis(1);
    counters.hold_stage(HoldStage::Policy, moment);
    HoldOutcome::ALL.iter().for_each(|outcome| counters.held(*outcome, moment));
    counters.decision(Question::Hold, moment);
    counters.recorded(moment);
    page(&counters, &governance, snapshot).expect("the page can be written")
}

/// Names with their labels, from lines such as `name{label="value"} 1`.
pub(crate) fn samples(page: &str) -> BTreeSet<(String, String)> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let mut found = BTreeSet::new();
    for line in lines {
        let series = line.rsplit_once(' ').map_or(line, |(series, _)| series);
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let name = ["_bucket", "_sum", "_count"].iter().find_map(|of| name.strip_suffix(of)).unwrap_or(name);
        for label in labels.trim_end_matches('}').split(',') {
            let label = label.split_once('=').map_or("", |(label, _)| label);
            let label = if label == "le" { "" } else { label }; // every histogram has it
            found.insert((name.to_owned(), label.to_owned()));
        }
    }
    found
}
