//! `governance check`: what policy would say to a promotion of an agent for a place, without promoting it.

use agentguard_api::v1::GovernanceCheckRequest;
use agentguard_governance::budget::Spend;
use clap::{Args, Subcommand};

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen, Tone};
use crate::{describe, standing};

/// The commands below `governance`.
#[derive(Debug, Subcommand)]
pub(crate) enum Typed {
    /// What stands against a promotion, for a tier, an environment and a budget; status 1 if anything does
    ///
    /// For pipelines: nothing is changed by it.
    Check(Check),
}

/// What was typed after `governance check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The registered agent
    #[arg(long, value_name = "NAME")]
    agent: String,
    /// As if it were of this tier; otherwise that of its spec
    #[arg(long, value_name = "1-4", value_parser = clap::value_parser!(u32).range(1..=4))]
    tier: Option<u32>,
    /// Where it is to run, as policy knows it: production
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// What it may cost there in a month at most, US dollars
    #[arg(long, value_name = "USD", value_parser = usd)]
    budget_limit: Option<String>,
}

/// An amount in the words in which it travels.
pub(super) fn usd(text: &str) -> Result<String, String> {
    match Spend::parse(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("write dollars such as 12.50, with at most six decimals".to_owned()),
    }
}

/// Runs a command below `governance`.
pub(crate) fn run(typed: &Typed, daemon: &mut Daemon, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    match typed {
        Typed::Check(arguments) => check(arguments, daemon, screen),
    }
}

/// Only what policy says counts here: an agent in the sandbox may not start yet, and that is not what is asked.
fn check(arguments: &Check, daemon: &mut Daemon, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let request = GovernanceCheckRequest {
        agent: arguments.agent.clone(),
        tier: arguments.tier.unwrap_or_default(),
        environment: arguments.environment.clone().unwrap_or_default(),
        budget_limit_usd: arguments.budget_limit.clone().unwrap_or_default(),
    };
    let validation = daemon.call(async |client| client.governance_check(request).await)?;
    match screen.format() {
        Format::Table if validation.refusals.is_empty() => {
            let ok = screen.paint(Tone::Good, "ok");
            screen.line(format!("{}: {ok}, policy has nothing against it", arguments.agent))?;
        }
        Format::Table => {
            let refused = screen.paint(Tone::Bad, "refused");
            let count = describe::count(validation.refusals.len(), "rule");
            screen.line(format!("{}: {refused} by {count}", arguments.agent))?;
            standing::refusals(screen, &validation.refusals)?;
        }
        Format::Json | Format::Ndjson => screen.document(&validation)?,
    }
    Ok(Outcome::of(validation.refusals.is_empty()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        check: Check,
    }

    #[test]
    fn takes_an_agent_and_a_place() {
        let typed =
            |words: &[&str]| Line::try_parse_from([&["check"], words].concat()).map(|line| line.check);
        let check = typed(&["--agent", "a", "--tier", "3", "--budget-limit", "12.50"]).unwrap();
        assert_eq!((check.tier, check.budget_limit.as_deref()), (Some(3), Some("12.50")));
        assert!(typed(&[]).is_err() && typed(&["--agent", "a", "--tier", "5"]).is_err());
        assert!(typed(&["--agent", "a", "--budget-limit", "$5"]).is_err());
    }
}
