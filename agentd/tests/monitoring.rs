//! Alerts and dashboard are of metrics that there are, and each alert is explained in the runbook. What promtool says of them
//! is in the VM test of the installed package.

mod page;

use std::collections::BTreeSet;

use page::{full_page, samples};
use regex::Regex;
use serde::Deserialize;

const RULES: &str = include_str!("../../packaging/monitoring/agentguard.rules.yml");
const DASHBOARD: &str = include_str!("../../packaging/monitoring/agentguard-dashboard.json");
const RUNBOOK: &str = include_str!("../../docs/runbook.md");
const COMMANDS: &str = include_str!("../../docs/reference/cli.md");

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: String,
    expr: String,
    labels: Labels,
    annotations: Annotations,
}

#[derive(Deserialize)]
struct Labels {
    severity: String,
}

#[derive(Deserialize)]
struct Annotations {
    summary: String,
    description: String,
    runbook_url: String,
}

fn alerts() -> Vec<Rule> {
    let rules: Rules = yaml_serde::from_str(RULES).expect("rules");
    rules.groups.into_iter().flat_map(|group| group.rules).collect()
}

/// Queries of all panels.
fn queries() -> Vec<String> {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).expect("a dashboard");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().expect("a query").to_owned()).collect()
}

/// Metrics of agentd in a query, with the labels that it asks for.
fn asked(query: &str) -> Vec<(String, Vec<String>)> {
    let metric =
        Regex::new(r"\b((?:agentguard|agent|policy|promotion)_[a-z_]+)(?:\{([^}]*)\})?").expect("a pattern");
    let label = Regex::new(r#"([a-z_]+)(?:=~|!~|!=|=)""#).expect("a pattern");
    let labels = |text: &str| label.captures_iter(text).map(|of| of[1].to_owned()).collect();
    metric
        .captures_iter(query)
        .map(|of| (of[1].to_owned(), of.get(2).map_or(Vec::new(), |text| labels(text.as_str()))))
        .collect()
}

#[test]
fn alerts_and_panels_ask_for_metrics_and_labels_that_there_are() {
    let there = samples(&full_page());
    let queries: Vec<String> = alerts().into_iter().map(|alert| alert.expr).chain(queries()).collect();
    let all: Vec<_> = queries.iter().flat_map(|query| asked(query)).collect();
    assert!(all.len() > 50, "{} metrics in {} queries", all.len(), queries.len());
    for (name, labels) in all {
        let metric =
            ["_bucket", "_count", "_sum"].iter().find_map(|of| name.strip_suffix(of)).unwrap_or(&name);
        assert!(there.iter().any(|(known, _)| known == metric), "there is no metric `{name}`");
        for label in labels.into_iter().filter(|label| !["job", "instance", "le"].contains(&label.as_str())) {
            assert!(there.contains(&(metric.to_owned(), label.clone())), "`{name}` has no label `{label}`");
        }
    }
}

#[test]
fn each_alert_says_how_bad_it_is_what_it_means_and_where_that_is_explained() {
    let alerts = alerts();
    assert!(alerts.len() >= 15);
    for Rule { alert, labels, annotations, .. } in &alerts {
        assert!(["critical", "warning", "info"].contains(&labels.severity.as_str()), "{alert}");
        assert!(!annotations.summary.is_empty() && !annotations.description.is_empty(), "{alert}");
        assert_eq!(annotations.runbook_url, format!("runbook.md#{}", alert.to_lowercase()));
    }
    let names: BTreeSet<&str> = alerts.iter().map(|rule| rule.alert.as_str()).collect();
    assert_eq!(names.len(), alerts.len(), "no name twice");
    let (_, sections) = RUNBOOK.split_once("\n## Alerts\n").expect("a chapter");
    let sections = sections.split("\n## ").next().unwrap_or_default();
    let explained: BTreeSet<&str> = sections.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(explained, names, "alerts that the runbook explains, and those that there are");
}

#[test]
fn the_runbook_names_commands_that_there_are() {
    let command = Regex::new(r"agentctl ([a-z]+)(?: ([a-z]+))?").expect("a pattern");
    let is_there = |words: &str| COMMANDS.lines().any(|line| line == format!("## agentctl {words}"));
    let mut found = 0;
    for of in command.captures_iter(RUNBOOK) {
        let has_more = is_there(&of[1]) && !COMMANDS.contains(&format!("\n## agentctl {} ", &of[1]));
        let sub = of.get(2).map_or_else(|| of[1].to_owned(), |sub| format!("{} {}", &of[1], sub.as_str()));
        assert!(is_there(&sub) || has_more, "there is no `agentctl {sub}`");
        found += 1;
    }
    assert!(found > 20, "{found} commands");
}
