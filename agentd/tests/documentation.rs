//! The reference of metrics names everything that Prometheus is given.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agentd::config::Config;
use agentd::export::metrics::{EventCounters, GovernanceCounters, HoldStage, Snapshot, page};
use agentd::kernel::ProgramStats;
use agentd::notify::Outcomes;
use agentguard_api::report::{AgentState, AgentView, Canary, StoreStatus};
use agentguard_bpf::types::limits;
use agentguard_core::ids::{AgentKey, AgentName};
use agentguard_core::record::{Decision, Finding, Object, Process, Record};
use agentguard_core::verdict::{Layer, Reason, Severity, Verdict};
use agentguard_governance::admission::Code;

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
        registered: None,
        governance: "UNREGISTERED".to_owned(),
    }
}

/// A page on which nothing is left out.
fn full_page() -> String {
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
        notifications: vec![Outcomes { target: "1-x".to_owned(), delivered: 1, failed: 1, dropped: 1 }],
        ..Snapshot::default()
    };
    counters.hold_stage(HoldStage::Policy, Duration::from_millis(1));
    page(&counters, &governance, snapshot).expect("the page can be written")
}

/// Names with their labels, from lines such as `name{label="value"} 1`.
fn samples(page: &str) -> BTreeSet<(String, String)> {
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

#[test]
fn the_keys_of_the_configuration_are_those_that_are_documented() {
    let reference = include_str!("../../docs/reference/config.md");
    let keys: Vec<&str> = reference
        .lines()
        .filter_map(|row| row.strip_prefix("| `"))
        .take_while(|row| !row.starts_with('/'))
        .filter_map(|row| row.split('`').next())
        .collect();
    assert!(keys.len() >= 9, "found {keys:?}");
    let values = reference.lines().filter_map(|row| row.strip_prefix("| `")).filter_map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        cells.get(1).map(|value| value.trim_matches('`').to_owned())
    });
    let quoted = |value: &str| match value.starts_with('/') {
        true => format!("\"{value}\""),
        false => value.to_owned(),
    };
    let lines = keys.iter().zip(values).map(|(key, value)| format!("{key} = {}\n", quoted(&value)));
    let config = Config::parse(Path::new("config.md"), &lines.collect::<String>());
    assert_eq!(config.expect("every key is one, with its default"), Config::default());
}

#[test]
fn the_keys_of_a_notification_are_those_that_are_documented() {
    let reference = include_str!("../../docs/reference/config.md");
    let (_, section) = reference.split_once("\n## Notifications\n").expect("a section");
    let (_, example) = section.split_once("```toml\n").expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    let parse = |text: &str| Config::parse(Path::new("config.md"), text).map(|config| config.notify);
    assert_eq!(parse(example).expect("the example can be used").len(), 2);
    let rows: Vec<(&str, &str)> = section
        .lines()
        .filter_map(|row| row.strip_prefix("| `")?.split(" | ").next().zip(row.split(" | ").nth(1)))
        .map(|(key, value)| (key.trim_end_matches('`'), value.trim_matches('`')))
        .collect();
    let defaults: String = rows
        .iter()
        .filter(|(_, value)| !value.is_empty() && !value.starts_with('|'))
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    let least = "[[notify]]\nwebhook = 'https://x'\n";
    let all = parse(&format!("{least}{defaults}")).expect("every key is one, with its default");
    assert_eq!(all, parse(least).expect("a URL is enough"));
    // An unknown key is answered with all that there are.
    let error = parse(&format!("{least}unknown = 1\n")).expect_err("an unknown key").to_string();
    let known: BTreeSet<&str> = error.split('`').skip(3).step_by(2).collect();
    assert_eq!(known, rows.iter().map(|(key, _)| *key).collect());
}

#[test]
fn the_limits_of_the_kernel_are_those_that_are_documented() {
    let specification = include_str!("../../docs/SPECIFICATION.md");
    for (limit, number) in [
        ("agents at once", limits::MAX_AGENTS.0 - 1),
        ("path", limits::MAX_PATH.0),
        ("arguments read", limits::MAX_ARGV.0 >> 10),
        ("DNS name", limits::MAX_NAME.0),
        ("port ranges under one prefix", limits::MAX_RANGES.0),
        ("address prefixes, all rulesets", limits::MAX_PREFIXES.0),
        ("addresses learned from DNS", limits::MAX_RESOLVED.0),
        ("granted names on one address", limits::NAMES_PER_ADDRESS.0),
        ("open files whose bytes are summed", limits::MAX_OPEN_FILES.0),
        ("peers whose bytes are summed", limits::MAX_PEERS.0),
        ("executables by hash", limits::MAX_EXEC_FILES.0),
        ("arena", limits::RULE_WORDS.0 >> 18),
        ("ring buffer", limits::EVENT_RING_BYTES.0 >> 20),
    ] {
        let row = specification.lines().find(|row| row.starts_with(&format!("| {limit} |")));
        let row = row.unwrap_or_else(|| panic!("docs/SPECIFICATION.md has no row of `{limit}`"));
        let value = row.split('|').nth(2).unwrap_or_default().replace(',', "");
        let first = value.split_whitespace().next().unwrap_or_default();
        assert_eq!(first, number.to_string(), "{limit}");
    }
}
