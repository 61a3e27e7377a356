//! `agents`: who is governed here, and who was.

use std::io;

use agentguard_api::report::{AgentState, AgentView};
use clap::Args;

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::moment;
use crate::screen::{Format, Screen, Tone, cell};

/// What was typed after `agents`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Also those that ended or were released
    #[arg(long)]
    all: bool,
}

/// Lists the agents.
pub(crate) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let mut agents = daemon.call(async |client| client.agents().await)?;
    agents.retain(|agent| arguments.all || agent.state == AgentState::Running);
    match screen.format() {
        Format::Table => show(screen, &agents)?,
        Format::Json | Format::Ndjson => screen.documents(&agents)?,
    }
    Ok(Outcome::Done)
}

pub(super) const fn state(state: AgentState) -> (&'static str, Tone) {
    match state {
        AgentState::Running => ("running", Tone::Good),
        AgentState::Finished => ("finished", Tone::Dim),
        AgentState::Released => ("released", Tone::Warn),
    }
}

fn show(screen: &mut Screen<'_>, agents: &[AgentView]) -> io::Result<()> {
    if agents.is_empty() {
        return screen.line("no agents; start one with: agentctl run -- COMMAND");
    }
    let mut table = screen.new_table(&[
        "agent",
        "state",
        "mode",
        "role",
        "tier",
        "uid",
        "processes",
        "rules",
        "records",
        "denied",
        "since",
        "target",
    ]);
    for agent in agents {
        let (words, tone) = state(agent.state);
        let plain = |words: String| cell(words, Tone::Plain);
        table.add_row([
            cell(&agent.name.0, Tone::Strong),
            cell(words, tone),
            cell(&agent.mode, if agent.mode == "enforce" { Tone::Plain } else { Tone::Warn }),
            cell(&agent.role, Tone::Plain),
            plain(agent.tier.to_string()),
            plain(agent.uid.to_string()),
            plain(agent.processes.to_string()),
            plain(agent.rules.to_string()),
            plain(agent.records.to_string()),
            cell(agent.denied.to_string(), if agent.denied > 0 { Tone::Bad } else { Tone::Plain }),
            plain(moment::short(agent.enrolled_ns)),
            cell(&agent.target, Tone::Dim),
        ]);
    }
    screen.table(&table)
}

#[cfg(test)]
pub(crate) mod tests {
    use agentguard_core::ids::{AgentKey, AgentName};

    use super::*;
    use crate::samples::NOON_NS;

    pub(crate) fn agent(name: &str) -> AgentView {
        AgentView {
            name: AgentName(name.to_owned()),
            state: AgentState::Running,
            mode: "enforce".to_owned(),
            role: "ideation".to_owned(),
            tier: 2,
            target: "run /agents.slice/agent-1.scope".to_owned(),
            key: AgentKey { slot: 0, serial: 1 },
            processes: 3,
            uid: 1000,
            spec_file: "/usr/share/agentguard/specs/coding-agent.toml".to_owned(),
            version: "0123456789ab".to_owned(),
            rules: 64,
            enrolled_ns: NOON_NS,
            ended_ns: 0,
            records: 1200,
            denied: 3,
        }
    }

    #[test]
    fn agents_are_a_table() {
        let ended = AgentView {
            state: AgentState::Finished,
            mode: "observe".to_owned(),
            processes: 0,
            ..agent("ops")
        };
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 150), &[agent("coder"), ended]).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn without_agents_it_says_how_to_start_one() {
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 80), &[]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "no agents; start one with: agentctl run -- COMMAND\n");
    }
}
