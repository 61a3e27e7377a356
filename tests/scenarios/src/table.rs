//! The scenarios as a table in Markdown: what docs/THREAT-MODEL.md shows of them.

use std::fmt::Write as _;

use crate::scenario::{Group, Scenario, State};

/// A table of the closed and one of the open scenarios for each group.
pub fn table(scenarios: &[Scenario]) -> String {
    let mut text = String::new();
    for group in Group::ALL {
        let of_group: Vec<_> = scenarios.iter().filter(|scenario| scenario.group == group).collect();
        if of_group.is_empty() {
            continue;
        }
        let open = of_group.iter().filter(|scenario| scenario.state == State::Open).count();
        // Writing to a String does not fail.
        let _ = writeln!(text, "### {group}: {} closed, {open} open\n", of_group.len() - open);
        text.push_str("| scenario | what is shown | |\n|---|---|---|\n");
        for scenario in of_group {
            let state = match scenario.state {
                State::Closed => String::new(),
                State::Open => format!("**open.** {}", cell(&scenario.why)),
            };
            let _ = writeln!(text, "| {} | {} | {state} |", scenario.id, cell(&scenario.title));
        }
        text.push('\n');
    }
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_scenario_is_shown_with_its_reason() {
        let scenarios = crate::load_all().unwrap();
        let text = table(&scenarios);
        for scenario in scenarios.iter().filter(|scenario| scenario.state == State::Open) {
            assert!(text.contains(&format!("| {} |", scenario.id)));
            assert!(text.contains(&cell(&scenario.why)));
        }
    }
}
