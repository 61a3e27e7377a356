//! `budget`: what agents cost. agentd cannot know by itself: whoever pays the model's bill adds to it here.

use std::io;

use agentguard_api::report::{AgentSpend, BudgetReport, Spent};
use agentguard_api::v1::{BudgetAddRequest, BudgetReportRequest};
use clap::{Args, Subcommand};

use super::governance::usd;
use crate::daemon::Daemon;
use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen, Tone, cell, printable};
use crate::standing::{self, dollars};

/// Letters of the bar that is a whole budget.
const BAR: u64 = 10;

/// The commands below `budget`.
#[derive(Debug, Subcommand)]
pub(crate) enum Typed {
    /// Add to what an agent spent this month
    Add(Add),
    /// What was spent in a month, the most expensive agent first
    Report(Report),
}

/// What was typed after `budget add`.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The agent
    agent: String,
    /// US dollars, with at most six decimals
    #[arg(value_name = "USD", value_parser = usd)]
    usd: String,
    /// What for
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// An entry of the same key is taken once: for whoever may send twice
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

/// What was typed after `budget report`.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Only this agent
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Another month than this one: 2026-11
    #[arg(long, value_name = "YYYY-MM", value_parser = month)]
    month: Option<String>,
}

/// Runs a command below `budget`.
pub(crate) fn run(typed: &Typed, daemon: &mut Daemon, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    match typed {
        Typed::Add(arguments) => {
            let spent = arguments.send(daemon)?;
            match screen.format() {
                Format::Table => added(screen, &spent)?,
                Format::Json | Format::Ndjson => screen.document(&spent)?,
            }
        }
        Typed::Report(Report { agent, month }) => {
            let request = BudgetReportRequest {
                agent: agent.clone().unwrap_or_default(),
                month: month.clone().unwrap_or_default(),
            };
            let report = daemon.call(async |client| client.budget_report(request).await)?;
            match screen.format() {
                Format::Table => show(screen, &report)?,
                Format::Json | Format::Ndjson => screen.document(&report)?,
            }
        }
    }
    Ok(Outcome::Done)
}

impl Add {
    fn send(&self, daemon: &mut Daemon) -> Result<Spent, Failure> {
        let request = BudgetAddRequest {
            agent: self.agent.clone(),
            usd: self.usd.clone(),
            note: self.note.clone().unwrap_or_default(),
            key: self.key.clone().unwrap_or_default(),
        };
        daemon.call(async |client| client.budget_add(request).await)
    }
}

/// `2026-11`.
fn month(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is no month; write one as 2026-11");
    let (year, month) = text.split_once('-').ok_or_else(wrong)?;
    let digits = |part: &str, count: usize| part.len() == count && part.bytes().all(|b| b.is_ascii_digit());
    let is_month = digits(month, 2) && month.parse::<u8>().is_ok_and(|month| (1..=12).contains(&month));
    if digits(year, 4) && is_month { Ok(text.to_owned()) } else { Err(wrong()) }
}

fn added(screen: &mut Screen<'_>, spent: &Spent) -> io::Result<()> {
    let total = &spent.total;
    let words = if spent.added { "added" } else { "nothing added, this key is there already" };
    screen.line(format!("{}: {words}; {} this month", total.agent, amount(total)))?;
    if let Some(alert) = spent.alert {
        let alert = screen
            .paint(standing::tone_of_percent(alert.into()), &format!("{alert} % of the budget is passed"));
        screen.line(alert)?;
    }
    Ok(())
}

/// `12.50 of 50 USD (25 %)`.
fn amount(spend: &AgentSpend) -> String {
    match (spend.monthly_budget_usd, spend.percent) {
        (Some(budget), Some(percent)) => {
            format!("{} of {} USD ({percent} %)", dollars(spend.spent_usd), dollars(budget))
        }
        (Some(budget), None) => format!("{} of {} USD", dollars(spend.spent_usd), dollars(budget)),
        (None, _) => format!("{} USD, without a budget", dollars(spend.spent_usd)),
    }
}

fn show(screen: &mut Screen<'_>, report: &BudgetReport) -> io::Result<()> {
    let BudgetReport { month, agents, spent_usd } = report;
    let count = describe::count(agents.len(), "agent");
    screen.line(format!("{}: {} USD by {count}", printable(month), dollars(*spent_usd)))?;
    if agents.is_empty() {
        return Ok(());
    }
    let mut table =
        screen.new_table(&["agent", "spent", "budget", "used", "percent", "alert", "entries", "state"]);
    for spend in agents {
        let tone = spend.percent.map_or(Tone::Plain, standing::tone_of_percent);
        let plain = |words: String| cell(words, Tone::Plain);
        let or_dash = |words: Option<String>| words.unwrap_or_else(|| "-".to_owned());
        table.add_row([
            cell(&spend.agent.0, Tone::Strong),
            plain(dollars(spend.spent_usd)),
            plain(or_dash(spend.monthly_budget_usd.map(dollars))),
            cell(or_dash(spend.percent.map(bar)), tone),
            cell(or_dash(spend.percent.map(|percent| format!("{percent} %"))), tone),
            cell(or_dash(spend.alert.map(|alert| format!("{alert} %"))), tone),
            plain(spend.entries.to_string()),
            match spend.state {
                Some(state) => cell(state.name(), standing::tone(state)),
                None => cell("-", Tone::Plain),
            },
        ]);
    }
    screen.table(&table)
}

/// A share of a budget to look at; more than all of it is all of it.
fn bar(percent: u64) -> String {
    let full = usize::try_from((percent * BAR / 100).min(BAR)).unwrap_or_default();
    let empty = usize::try_from(BAR).unwrap_or_default() - full;
    format!("{}{}", "█".repeat(full), "░".repeat(empty))
}

#[cfg(test)]
mod tests {
    use agentguard_core::ids::AgentName;
    use agentguard_governance::state::State;

    use super::*;

    fn spend(agent: &str, spent_usd: f64, budget: Option<f64>, alert: Option<u8>) -> AgentSpend {
        AgentSpend {
            agent: AgentName(agent.to_owned()),
            spent_usd,
            monthly_budget_usd: budget,
            percent: budget.map(|budget| standing::percent(spent_usd, budget)),
            alert,
            entries: 12,
            state: Some(State::Valid),
        }
    }

    #[test]
    fn every_agent_has_a_bar_for_what_it_used() {
        let gone = AgentSpend { state: None, ..spend("gone", 0.0125, None, None) };
        let over = AgentSpend { state: Some(State::Restricted), ..spend("ops", 61.0, Some(50.0), Some(100)) };
        let agents =
            vec![over, spend("coder", 41.5, Some(50.0), Some(80)), spend("new", 0.0, Some(10.0), None), gone];
        let report = BudgetReport { month: "2026-11".to_owned(), agents, spent_usd: 102.5125 };
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 120), &report).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn an_entry_says_the_total_and_the_alert_that_it_set_off() {
        let spent = Spent { total: spend("coder", 41.5, Some(50.0), Some(80)), added: true, alert: Some(80) };
        let mut out = Vec::new();
        added(&mut Screen::plain(&mut out, Format::Table, 120), &spent).unwrap();
        let words = "coder: added; 41.50 of 50 USD (83 %) this month\n80 % of the budget is passed\n";
        assert_eq!(String::from_utf8(out).unwrap(), words);
    }

    #[test]
    fn a_month_is_a_year_and_two_digits() {
        assert!(month("2026-11").is_ok());
        for wrong in ["2026-13", "2026-1", "26-11", "2026/11", "november", "2026-00"] {
            assert!(month(wrong).is_err(), "{wrong}");
        }
    }
}
