//! The ways around and their states as Markdown: what docs/THREAT-MODEL.md shows of the scenarios.

use std::fmt::Write as _;

use crate::scenario::{Group, Scenario, State};

/// Groups whose scenarios are ways around; the others show that work goes on.
const WAYS_AROUND: [(Group, &str); 5] = [
    (Group::Files, "Files"),
    (Group::Exec, "Exec"),
    (Group::Identity, "Identity"),
    (Group::Network, "Network"),
    (Group::Daemon, "agentd itself"),
];

/// One table for each group of ways around, each under a heading with its counts.
pub fn table(scenarios: &[Scenario]) -> String {
    let tables = WAYS_AROUND.map(|(group, heading)| {
        let of_group: Vec<_> = scenarios.iter().filter(|scenario| scenario.group == group).collect();
        let open = of_group.iter().filter(|scenario| scenario.state == State::Open).count();
        let mut text = format!("### {heading}: {} closed, {open} open\n\n", of_group.len() - open);
        text.push_str("| id | state | what is tried |\n|---|---|---|\n");
        for scenario in of_group {
            let title = cell(&scenario.title);
            // Writing to a String does not fail.
            let _ = match scenario.state {
                State::Closed => writeln!(text, "| {} | closed | {title} |", scenario.id),
                State::Open => {
                    writeln!(text, "| {} | **open** | {title} — {} |", scenario.id, cell(&scenario.why))
                }
            };
        }
        text
    });
    tables.join("\n")
}

fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|").replace('\n', " ")
}
