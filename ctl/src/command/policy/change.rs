//! Another policy coming into force, by `reload` or `rollback`: how far it is, and what it made of registered agents.
//!
//! With a thousand agents only those that stand elsewhere than before are a row; all others are counted.

use std::io;

use agentguard_api::report::{PolicyChange, PolicyLine, Revalidated};
use agentguard_governance::state::State;

use crate::daemon::Stream;
use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::progress::Progress;
use crate::screen::{Format, Screen, Tone, cell, printable};
use crate::standing;

/// Reads to the end, and prints what changed.
pub(super) fn follow(mut lines: Stream<'_, PolicyLine>, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let progress = Progress::of("agents asked about again");
    while let Some(line) = lines.next()? {
        match line {
            PolicyLine::Progress { done, total } => progress.at(done.into(), total.into()),
            PolicyLine::Change(change) => {
                drop(progress);
                print(screen, &change)?;
                return Ok(Outcome::Done);
            }
        }
    }
    Err(Failure::Failed(
        "agentd ended without saying which policy is in force; see agentctl status".to_owned(),
    ))
}

fn print(screen: &mut Screen<'_>, change: &PolicyChange) -> io::Result<()> {
    for warning in &change.warnings {
        eprintln!("agentctl: {}", printable(warning));
    }
    match screen.format() {
        Format::Table => show(screen, change),
        Format::Json | Format::Ndjson => screen.document(change),
    }
}

fn show(screen: &mut Screen<'_>, change: &PolicyChange) -> io::Result<()> {
    screen.line(words(change))?;
    let all = &change.revalidated;
    if all.is_empty() {
        return Ok(());
    }
    let moved: Vec<_> = all.iter().filter(|agent| agent.before != agent.after).collect();
    if !moved.is_empty() {
        let mut table = screen.new_table(&["agent", "before", "after", "why"]);
        for agent in &moved {
            table.add_row([
                cell(&agent.agent.0, Tone::Strong),
                cell(agent.before.name(), standing::tone(agent.before)),
                cell(agent.after.name(), standing::tone(agent.after)),
                cell(why(agent), Tone::Plain),
            ]);
        }
        screen.table(&table)?;
    }
    let count = |state| all.iter().filter(|agent| agent.after == state).count();
    let asked = describe::count(all.len(), "agent");
    screen.line(format!(
        "{asked} asked about again in {} ms: {} valid, {} restricted, {} invalidated; {} changed",
        change.took_ms,
        count(State::Valid),
        count(State::Restricted),
        count(State::Invalidated),
        moved.len()
    ))
}

/// Every rule that stands against it: the user has to know all of them to change anything.
fn why(agent: &Revalidated) -> String {
    let rules: Vec<_> =
        agent.refusals.iter().map(|refusal| format!("{}: {}", refusal.id, refusal.reason)).collect();
    rules.join("; ")
}

fn words(change: &PolicyChange) -> String {
    if change.changed {
        let PolicyChange { previous, version, agents, .. } = change;
        let agents = describe::count(*agents, "agent");
        format!("policy {version} is in force instead of {previous}; rules of {agents} replaced")
    } else {
        format!("policy {} stays in force; nothing differs", change.version)
    }
}

#[cfg(test)]
mod tests {
    use agentguard_core::ids::AgentName;

    use super::*;
    use crate::standing::tests::refusal;

    fn change(revalidated: Vec<Revalidated>) -> PolicyChange {
        PolicyChange {
            previous: "aaa".to_owned(),
            version: "bbb".to_owned(),
            changed: true,
            agents: 2,
            revalidated,
            took_ms: 840,
            warnings: Vec::new(),
        }
    }

    fn agent(name: &str, after: State) -> Revalidated {
        let refusals = match after {
            State::Valid | State::Sandbox => Vec::new(),
            State::Restricted | State::Invalidated => {
                vec![refusal("promotion.temperature", "0.9 is above 0.7")]
            }
        };
        Revalidated { agent: AgentName(name.to_owned()), before: State::Valid, after, refusals }
    }

    #[test]
    fn says_what_is_in_force_now() {
        let change = change(Vec::new());
        assert_eq!(words(&change), "policy bbb is in force instead of aaa; rules of 2 agents replaced");
        let same = PolicyChange { changed: false, ..change };
        assert_eq!(words(&same), "policy bbb stays in force; nothing differs");
    }

    #[test]
    fn of_a_thousand_agents_only_those_that_stand_elsewhere_are_shown() {
        let mut agents: Vec<_> = (0..998).map(|number| agent(&format!("a-{number}"), State::Valid)).collect();
        agents.push(agent("coder", State::Restricted));
        agents.push(agent("ops", State::Invalidated));
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 110), &change(agents)).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
