//! `agent list`: every registered agent, and where it stands.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use agentguard_api::report::RegisteredAgent;

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::moment;
use crate::screen::{Format, Screen, Tone, cell, printable};
use crate::standing;

pub(super) fn run(daemon: &mut Daemon, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let agents = daemon.call(async |client| client.agent_list().await)?;
    match screen.format() {
        Format::Table => show(screen, &agents, SystemTime::now())?,
        Format::Json | Format::Ndjson => screen.documents(&agents)?,
    }
    Ok(Outcome::Done)
}

fn show(screen: &mut Screen<'_>, agents: &[RegisteredAgent], now: SystemTime) -> io::Result<()> {
    if agents.is_empty() {
        return screen.line("no agents; register one with: agentctl agent create NAME --from template");
    }
    let mut table = screen.new_table(&[
        "agent", "state", "role", "tier", "rev", "version", "expires", "budget", "running", "owner",
    ]);
    for agent in agents {
        let state = agent.standing.state;
        let plain = |words: String| cell(words, Tone::Plain);
        let (spent, tone) = standing::budget(agent);
        table.add_row([
            cell(&agent.name.0, Tone::Strong),
            cell(state.name(), standing::tone(state)),
            cell(&agent.role, Tone::Plain),
            plain(agent.tier.to_string()),
            plain(agent.revision.to_string()),
            cell(agent.version.as_deref().unwrap_or("-"), Tone::Plain),
            cell(moment::short(agent.expires_ns), expiry_tone(agent, now)),
            cell(spent, tone),
            plain(agent.running.len().to_string()),
            cell(agent.owner.as_deref().unwrap_or("-"), Tone::Dim),
        ]);
    }
    screen.table(&table)?;
    for agent in agents {
        if let Some(problem) = &agent.problem {
            let problem = screen.paint(Tone::Bad, &printable(problem));
            screen.line(format!("{}: does not start: {problem}", agent.name))?;
        }
    }
    Ok(())
}

/// What is over does not start.
pub(super) fn expiry_tone(agent: &RegisteredAgent, now: SystemTime) -> Tone {
    let now_ns = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    if u128::from(agent.expires_ns) <= now_ns { Tone::Bad } else { Tone::Plain }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use agentguard_governance::state::State;

    use super::*;
    use crate::command::agent::samples::{NOON_SEC, registered};

    fn text(agents: &[RegisteredAgent]) -> String {
        let now = UNIX_EPOCH + Duration::from_secs(NOON_SEC);
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 150), agents, now).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn registered_agents_are_a_table() {
        let sandboxed = RegisteredAgent {
            version: None,
            owner: None,
            monthly_budget_usd: None,
            spent_usd: 0.0,
            running: Vec::new(),
            ..registered("draft", State::Sandbox)
        };
        let broken = RegisteredAgent {
            problem: Some("spec.toml:3: unknown key `raed`".to_owned()),
            ..registered("old", State::Invalidated)
        };
        let restricted = RegisteredAgent { spent_usd: 49.0, ..registered("ops", State::Restricted) };
        insta::assert_snapshot!(text(&[registered("coder", State::Valid), sandboxed, broken, restricted]));
    }

    #[test]
    fn without_agents_it_says_how_to_make_one() {
        assert_eq!(text(&[]), "no agents; register one with: agentctl agent create NAME --from template\n");
    }

    #[test]
    fn an_agent_that_is_over_stands_out() {
        let agent = registered("coder", State::Valid);
        let end = UNIX_EPOCH + Duration::from_nanos(agent.expires_ns);
        assert_eq!(expiry_tone(&agent, end), Tone::Bad);
        assert_eq!(expiry_tone(&agent, end - Duration::from_secs(1)), Tone::Plain);
    }
}
