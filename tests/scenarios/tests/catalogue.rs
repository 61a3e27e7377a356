//! The catalogue of scenarios as a whole: it parses, and no way around is without one.

use std::collections::BTreeSet;
use std::path::Path;

use agentguard_core::spec::{Spec, Variables};
use agentguard_scenarios::{Group, Scenario, State, load_all};

/// Every row of the list of ways around an agent sandbox that a scenario must try.
const ROWS: &[&str] = &[
    "F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10", "F11", "F12", "E1", "E2", "E3", "E4", "E5",
    "E6", "E7", "E8", "E9", "C1", "C2", "C3", "C4", "C5", "C6", "N1", "N2", "N3", "N4", "N5", "N6", "N7",
    "N8", "N9", "N10", "N11", "G1", "G2", "G3", "G8", "G9",
];

fn scenarios() -> Vec<Scenario> {
    load_all().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_scenario_parses_and_ids_are_unique() {
    let scenarios = scenarios();
    let ids: BTreeSet<_> = scenarios.iter().map(|scenario| scenario.id.to_lowercase()).collect();
    assert_eq!(ids.len(), scenarios.len());
}

#[test]
fn every_row_has_a_scenario() {
    let rows: BTreeSet<_> = scenarios().into_iter().map(|scenario| scenario.row).collect();
    let missing: Vec<_> = ROWS.iter().filter(|row| !rows.contains(**row)).collect();
    assert!(missing.is_empty(), "rows without a scenario: {missing:?}");
}

#[test]
fn every_scenario_of_a_way_around_names_its_row() {
    let groups = [Group::Files, Group::Exec, Group::Identity, Group::Network, Group::Daemon];
    for scenario in scenarios().iter().filter(|scenario| groups.contains(&scenario.group)) {
        assert!(ROWS.contains(&scenario.row.as_str()), "{} is of no known row", scenario.id);
    }
}

#[test]
fn every_row_has_a_closed_scenario() {
    let closed: BTreeSet<_> = scenarios()
        .into_iter()
        .filter(|scenario| scenario.state == State::Closed)
        .map(|scenario| scenario.row)
        .collect();
    // E7 has one part that is closed; a row where everything is open would have to be argued for here.
    let open: Vec<_> = ROWS.iter().filter(|row| !closed.contains(**row)).collect();
    assert!(open.is_empty(), "rows that are open as a whole: {open:?}");
}

#[test]
fn scenarios_are_sorted_as_people_count() {
    let ids: Vec<_> = scenarios().into_iter().map(|scenario| scenario.id).collect();
    let position = |id: &str| ids.iter().position(|known| known == id);
    assert!(position("F2a") < position("F10a"));
    assert!(position("F12a") < position("E1a"));
}

#[test]
fn every_spec_is_accepted_and_resolves() {
    for scenario in scenarios() {
        let text = scenario.spec_text().unwrap_or_else(|why| panic!("{}: {why}", scenario.id));
        let spec = Spec::parse(&text, Path::new("spec.toml"))
            .unwrap_or_else(|error| panic!("{}: {error}\n{text}", scenario.id));
        let mut variables = Variables::default();
        for (name, value) in [
            ("workspace", "/var/tmp/x/ws"),
            ("protected", "/var/tmp/x/protected"),
            ("dir", "/var/tmp/x"),
            ("trigger", "/usr/libexec/agentguard/agentguard-trigger"),
        ] {
            variables.set(name, value).unwrap_or_else(|error| panic!("{}: {error}", scenario.id));
        }
        spec.resolve(&variables).unwrap_or_else(|error| panic!("{}: {error}", scenario.id));
    }
}
