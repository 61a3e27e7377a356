//! The threat model says of every tried way around whether it is closed, and says the same as the scenarios.
//!
//! After a change of the scenarios, `REWRITE=1 cargo test -p agentguard-scenarios --test threat_model` writes the
//! tables again; the words around them are written by hand.

use std::path::Path;

use agentguard_scenarios::{Group, State, load_all, table};

const THREAT_MODEL: &str = "../../docs/THREAT-MODEL.md";
/// The part that holds the tables.
const HEADING: &str = "## Tried ways around\n";
/// Groups whose scenarios are ways around.
const GROUPS: [Group; 5] = [Group::Files, Group::Exec, Group::Identity, Group::Network, Group::Daemon];

fn counts() -> String {
    let scenarios = load_all().unwrap_or_else(|error| panic!("{error}"));
    let ways: Vec<_> = scenarios.into_iter().filter(|scenario| GROUPS.contains(&scenario.group)).collect();
    let open = ways.iter().filter(|scenario| scenario.state == State::Open).count();
    format!("{} scenarios: {} closed, {open} open.", ways.len(), ways.len() - open)
}

/// The document with the tables and counts as they are now.
fn rewritten(document: &str) -> String {
    let scenarios = load_all().unwrap_or_else(|error| panic!("{error}"));
    let (before, part) = document.split_once(HEADING).expect("the heading");
    let (words, tables) = part.split_once("\n### ").expect("the first table");
    let after = tables.find("\n## ").and_then(|at| tables.get(at..)).unwrap_or("");
    let (_, words) = words.split_once(" open.").expect("the counts");
    format!("{before}{HEADING}\n{}{words}\n{}{after}", counts(), table(&scenarios))
}

#[test]
fn every_way_around_is_listed_with_its_state() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(THREAT_MODEL);
    let document = std::fs::read_to_string(&path).expect("docs/THREAT-MODEL.md");
    let wanted = rewritten(&document);
    if std::env::var_os("REWRITE").is_some() {
        std::fs::write(&path, &wanted).expect("docs/THREAT-MODEL.md is written");
        return;
    }
    let difference = document.lines().zip(wanted.lines()).find(|(is, wanted)| is != wanted);
    assert!(
        document == wanted,
        "docs/THREAT-MODEL.md is not up to date, see the head of this test: {difference:?}"
    );
}
