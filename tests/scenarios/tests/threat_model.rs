//! The threat model says of every tried way around whether it is closed, and says the same as the scenarios.

use std::collections::BTreeMap;

use agentguard_scenarios::{Group, State, load_all};

const THREAT_MODEL: &str = include_str!("../../../docs/THREAT-MODEL.md");

/// Groups whose scenarios are ways around.
const GROUPS: [Group; 4] = [Group::Files, Group::Exec, Group::Identity, Group::Network];

/// Ids and states, from rows such as `| F1a | closed | … |`.
fn written() -> BTreeMap<String, State> {
    let tables = THREAT_MODEL.split_once("## Tried ways around").map_or("", |(_, tables)| tables);
    let mut found = BTreeMap::new();
    for row in tables.lines() {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('*')).collect();
        let (id, state) = match cells.as_slice() {
            [_, id, "closed", ..] => (id, State::Closed),
            [_, id, "open", ..] => (id, State::Open),
            _ => continue,
        };
        assert!(found.insert((*id).to_owned(), state).is_none(), "{id} is listed twice");
    }
    found
}

fn tried() -> BTreeMap<String, State> {
    let scenarios = load_all().unwrap_or_else(|error| panic!("{error}"));
    let ways = scenarios.into_iter().filter(|scenario| GROUPS.contains(&scenario.group));
    ways.map(|scenario| (scenario.id, scenario.state)).collect()
}

#[test]
fn every_way_around_is_listed_with_its_state() {
    let written = written();
    for (id, state) in tried() {
        assert_eq!(written.get(&id), Some(&state), "docs/THREAT-MODEL.md about {id}");
    }
}

#[test]
fn nothing_is_listed_that_no_scenario_tries() {
    let tried = tried();
    let unknown: Vec<_> = written().into_keys().filter(|id| !tried.contains_key(id)).collect();
    assert!(unknown.is_empty(), "docs/THREAT-MODEL.md lists {unknown:?}");
}

#[test]
fn the_counts_are_right() {
    let open = tried().into_values().filter(|state| *state == State::Open).count();
    let all = tried().len();
    let line = format!("{all} scenarios: {} closed, {open} open.", all - open);
    assert!(THREAT_MODEL.contains(&line), "docs/THREAT-MODEL.md does not say \"{line}\"");
}
