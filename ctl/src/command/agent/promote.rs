//! `agent promote`: asks policy about each agent, and shows everything that stands against one.

use std::io;

use agentguard_api::report::Promotion;
use agentguard_api::v1::AgentRequest;
use clap::Args;

use crate::daemon::Daemon;
use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::moment;
use crate::screen::{Format, Screen, Tone, printable};
use crate::standing;

/// What was typed after `agent promote`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The agents
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// One agent after the other: what policy says to one does not keep another from being asked about.
pub(super) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let mut promotions = Vec::new();
    let mut failures = Vec::new();
    let mut gone = None;
    for name in &arguments.names {
        let request = AgentRequest { name: name.clone(), because: String::new() };
        match daemon.call(async |client| client.agent_promote(request).await) {
            Ok(promotion) => {
                if screen.format() == Format::Table {
                    show(screen, &promotion)?;
                }
                promotions.push(promotion);
            }
            // Nobody there for this one is nobody there for the next.
            Err(failure @ (Failure::Unreachable(_) | Failure::Timeout(_))) => {
                gone = Some(failure);
                break;
            }
            Err(failure) => failures.push((name, failure)),
        }
    }
    if screen.format() != Format::Table {
        screen.documents(&promotions)?;
    }
    match (arguments.names.as_slice(), failures.pop()) {
        ([_], Some((_, failure))) => return Err(failure),
        (_, Some(last)) => failures.push(last),
        (_, None) => {}
    }
    screen.flush()?;
    for (name, failure) in &failures {
        eprintln!("agentctl: {}: {failure}", printable(name));
    }
    if let Some(failure) = gone {
        return Err(failure);
    }
    let all = failures.is_empty() && promotions.iter().all(|promotion| promotion.refusals.is_empty());
    Ok(Outcome::of(all))
}

fn show(screen: &mut Screen<'_>, promotion: &Promotion) -> io::Result<()> {
    let agent = &promotion.agent;
    let state = agent.standing.state;
    let state = screen.paint(standing::tone(state), state.name());
    if promotion.refusals.is_empty() {
        let until = moment::short(agent.expires_ns);
        return screen.line(format!("{}: {state}, revision {}, until {until}", agent.name, agent.revision));
    }
    let refused = screen.paint(Tone::Bad, "refused");
    let count = describe::count(promotion.refusals.len(), "rule");
    screen.line(format!("{}: {refused} by {count}; it stays {state}", agent.name))?;
    standing::refusals(screen, &promotion.refusals)
}

#[cfg(test)]
mod tests {
    use agentguard_governance::state::State;

    use super::*;
    use crate::command::agent::samples::registered;
    use crate::standing::tests::refusal;

    #[test]
    fn a_promotion_is_one_line_and_a_refusal_has_every_rule() {
        let yes = Promotion {
            code: "PROMOTION_SUCCESS".to_owned(),
            refusals: Vec::new(),
            agent: registered("coder", State::Valid),
        };
        let no = Promotion {
            code: "PROMOTION_DENIED".to_owned(),
            refusals: vec![refusal("promotion.tests", "no tests"), refusal("promotion.owner", "no owner")],
            agent: registered("draft", State::Sandbox),
        };
        let mut out = Vec::new();
        let mut screen = Screen::plain(&mut out, Format::Table, 120);
        show(&mut screen, &yes).unwrap();
        show(&mut screen, &no).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
