//! `agents`: who is governed here, and who was.

use std::io;

use agentguard_api::report::{AgentState, AgentView, ApprovalView, GrantView};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::daemon::Daemon;
use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::moment;
use crate::screen::{Format, Screen, Tone, cell, printable};
use crate::standing;

/// What was typed after `agents`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// Also those that ended or were released
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// One agent, and the answers to held requests that stand for it
    Show {
        /// Its name
        name: String,
    },
}

/// An agent with what stands for it: what `-o json` prints.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    agent: AgentView,
    grants: Vec<GrantView>,
}

/// Lists the agents, or shows one.
pub(crate) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    match &arguments.what {
        None => list(arguments, daemon, screen),
        Some(What::Show { name }) => {
            let agents = daemon.call(async |client| client.agents().await)?;
            let newest = agents.into_iter().filter(|agent| agent.name.0 == *name);
            let unknown = || Failure::Usage(format!("there is no agent `{name}`; see agentctl agents --all"));
            let agent = newest.max_by_key(|agent| agent.enrolled_ns).ok_or_else(unknown)?;
            let grants = match agent.state {
                AgentState::Running => daemon.call(async |client| client.grants(name).await)?,
                AgentState::Finished | AgentState::Released | AgentState::Stopped => Vec::new(),
            };
            let shown = Shown { agent, grants };
            match screen.format() {
                Format::Table => one(screen, &shown)?,
                Format::Json | Format::Ndjson => screen.document(&shown)?,
            }
            Ok(Outcome::Done)
        }
    }
}

fn list(arguments: &Arguments, daemon: &mut Daemon, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let mut agents = daemon.call(async |client| client.agents().await)?;
    agents.retain(|agent| arguments.all || agent.state == AgentState::Running);
    match screen.format() {
        Format::Table => show(screen, &agents)?,
        Format::Json | Format::Ndjson => screen.documents(&agents)?,
    }
    Ok(Outcome::Done)
}

fn one(screen: &mut Screen<'_>, shown: &Shown) -> io::Result<()> {
    let Shown { agent, grants } = shown;
    let (words, tone) = state(agent.state);
    let title = screen.paint(Tone::Strong, &format!("Agent {}", agent.name));
    let words = screen.paint(tone, words);
    screen.line(format!("{title}  {words}"))?;
    for (name, value) in [
        ("governance", governance(agent)),
        ("mode", agent.mode.clone()),
        ("role", format!("{}, tier {}", agent.role, agent.tier)),
        ("target", printable(&agent.target)),
        ("uid", agent.uid.to_string()),
        ("spec", printable(&agent.spec_file)),
        ("rules", format!("{} ({})", agent.rules, agent.version)),
        ("processes", agent.processes.to_string()),
        ("records", format!("{}, {} denied", agent.records, agent.denied)),
        ("since", moment::precise(agent.enrolled_ns)),
    ] {
        screen.line(format!("{name:<11} {value}"))?;
    }
    if grants.is_empty() {
        return screen.line("no answer to a held request stands");
    }
    let mut table = screen.new_table(&["answer", "until", "approval", "call", "object", "by", "why"]);
    for grant in grants {
        let (words, tone) = if grant.allow { ("allow", Tone::Good) } else { ("deny", Tone::Bad) };
        let until = grant.expires_ns.map_or_else(|| "its rules change".to_owned(), moment::short);
        let mut row = vec![cell(words, tone), cell(until, Tone::Plain)];
        let rest = grant.approval.as_ref().map_or_else(of_policy, of_approval);
        row.extend(rest.into_iter().map(|words| cell(words, Tone::Plain)));
        table.add_row(row);
    }
    screen.table(&table)
}

/// Where it stands, and as a run of which registered agent.
fn governance(agent: &AgentView) -> String {
    match &agent.registered {
        Some(registered) => format!("{}, a run of {registered}", printable(&agent.governance)),
        None => printable(&agent.governance),
    }
}

/// Policy's answers have no approval.
fn of_policy() -> [String; 5] {
    ["-", "-", "-", "policy", ""].map(str::to_owned)
}

fn of_approval(approval: &ApprovalView) -> [String; 5] {
    let last = approval.votes.last();
    [
        approval.id.0.clone(),
        approval.record.call.clone(),
        describe::object(&approval.record),
        last.map(|vote| printable(&vote.by)).unwrap_or_default(),
        last.map(|vote| printable(&vote.because)).unwrap_or_default(),
    ]
}

pub(super) const fn state(state: AgentState) -> (&'static str, Tone) {
    match state {
        AgentState::Running => ("running", Tone::Good),
        AgentState::Finished => ("finished", Tone::Dim),
        AgentState::Released => ("released", Tone::Warn),
        AgentState::Stopped => ("stopped", Tone::Bad),
    }
}

fn show(screen: &mut Screen<'_>, agents: &[AgentView]) -> io::Result<()> {
    if agents.is_empty() {
        return screen.line("no agents; start one with: agentctl run -- COMMAND");
    }
    let mut table = screen.new_table(&[
        "agent",
        "state",
        "governance",
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
            cell(&agent.governance, standing::tone_of_name(&agent.governance)),
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
    use agentguard_api::report::UNREGISTERED;
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
            registered: Some(AgentName("coder".to_owned())),
            governance: "GOVERNED_VALID".to_owned(),
        }
    }

    #[test]
    fn agents_are_a_table() {
        let ended = AgentView {
            state: AgentState::Finished,
            mode: "observe".to_owned(),
            registered: None,
            governance: UNREGISTERED.to_owned(),
            processes: 0,
            ..agent("ops")
        };
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 170), &[agent("coder"), ended]).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn without_agents_it_says_how_to_start_one() {
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 80), &[]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "no agents; start one with: agentctl run -- COMMAND\n");
    }
}
