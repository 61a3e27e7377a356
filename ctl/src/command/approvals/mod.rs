//! `approvals`: requests that wait for a person, and the person's answer.

mod facts;
mod watch;

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agentguard_api::report::ApprovalView;
use agentguard_api::v1::{AnswerRequest, ApprovalsRequest, RevokeRequest};
use agentguard_core::approval::State;
use clap::{ArgGroup, Args, Subcommand};

use crate::daemon::Daemon;
use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::moment;
use crate::screen::{Format, Screen, Tone, cell, printable};

/// What was typed after `approvals`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Who waits; this is also what `approvals` alone does
    List {
        /// Also those that are settled, the newest first
        #[arg(long)]
        all: bool,
    },
    /// See who waits and answer, on the whole screen; needs a terminal
    ///
    /// Arrows or j and k select, a approves, d denies, ? shows all keys. An answer goes to the approval that is shown and
    /// to no other: if that is settled in the meantime, the answer is dropped.
    Watch,
    /// Everything about one of them
    Show {
        /// Its incident id
        id: String,
    },
    /// Let the request go on
    Approve(Approve),
    /// Let the request fail
    Deny {
        /// Its incident id
        id: String,
        /// Why; the agent reads it on its standard error
        #[arg(long, value_name = "TEXT", default_value = "")]
        because: String,
    },
    /// End an approval that is good for later requests, too; see agentctl agents show
    Revoke(Revoke),
}

#[derive(Debug, Args)]
struct Revoke {
    /// Its incident id
    id: String,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "")]
    because: String,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("how_far").args(["once", "for", "session"]))]
struct Approve {
    /// Its incident id
    id: String,
    /// For this request alone; the default
    #[arg(long)]
    once: bool,
    /// Also for later requests that are exactly the same, so long: 10m, 1h
    #[arg(long, value_name = "SPAN")]
    r#for: Option<String>,
    /// Also for later requests that are exactly the same, as long as the agent runs under the same rules
    #[arg(long)]
    session: bool,
    /// Why; CRITICAL requests need it
    #[arg(long, value_name = "TEXT", default_value = "")]
    because: String,
}

impl Approve {
    fn request(&self) -> Result<AnswerRequest, Failure> {
        let seconds = match &self.r#for {
            None => 0,
            Some(text) => seconds(text)?,
        };
        Ok(AnswerRequest {
            id: self.id.clone(),
            allow: true,
            because: self.because.clone(),
            seconds,
            session: self.session,
        })
    }
}

fn seconds(text: &str) -> Result<u32, Failure> {
    let span = humantime::parse_duration(text).ok().and_then(|span| u32::try_from(span.as_secs()).ok());
    span.filter(|seconds| *seconds > 0)
        .ok_or_else(|| Failure::Usage(format!("--for: '{text}' is no span of time; write 10m or 1h")))
}

/// Does what was asked.
pub(crate) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    match &arguments.what {
        None => list(false, daemon, screen),
        Some(What::List { all }) => list(*all, daemon, screen),
        Some(What::Watch) => watch::run(daemon, screen),
        Some(What::Show { id }) => {
            let request = ApprovalsRequest { id: id.clone(), all: false };
            let found = daemon.call(async |client| client.approvals(request).await)?;
            found.iter().try_for_each(|one| match screen.format() {
                Format::Table => show(screen, one),
                Format::Json | Format::Ndjson => screen.document(one),
            })?;
            Ok(Outcome::Done)
        }
        Some(What::Approve(approve)) => answer(approve.request()?, daemon, screen),
        Some(What::Deny { id, because }) => {
            let request =
                AnswerRequest { id: id.clone(), because: because.clone(), ..AnswerRequest::default() };
            answer(request, daemon, screen)
        }
        Some(What::Revoke(revoke)) => {
            let request = RevokeRequest { id: revoke.id.clone(), because: revoke.because.clone() };
            let revoked = daemon.call(async |client| client.revoke(request).await)?;
            outcome(&revoked, screen)
        }
    }
}

fn list(all: bool, daemon: &mut Daemon, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let request = ApprovalsRequest { id: String::new(), all };
    let found = daemon.call(async |client| client.approvals(request).await)?;
    match screen.format() {
        Format::Table => table(screen, &found, now_ns())?,
        Format::Json | Format::Ndjson => screen.documents(&found)?,
    }
    Ok(Outcome::Done)
}

fn answer(request: AnswerRequest, daemon: &mut Daemon, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let answered = daemon.call(async |client| client.answer(request).await)?;
    outcome(&answered, screen)
}

fn outcome(answered: &ApprovalView, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    match screen.format() {
        Format::Table => screen.line(facts::outcome(answered))?,
        Format::Json | Format::Ndjson => screen.document(answered)?,
    }
    Ok(Outcome::Done)
}

fn table(screen: &mut Screen<'_>, approvals: &[ApprovalView], now_ns: u64) -> io::Result<()> {
    if approvals.is_empty() {
        return screen.line("nobody waits for an approval");
    }
    let mut table = screen.new_table(&["id", "state", "left", "severity", "agent", "process", "asks", "why"]);
    for one in approvals {
        let (words, tone) = state(one.state);
        let left = match one.state {
            State::Pending => moment::span(Duration::from_nanos(one.deadline_ns.saturating_sub(now_ns))),
            _ => "-".to_owned(),
        };
        table.add_row([
            cell(&one.id.0, Tone::Strong),
            cell(words, tone),
            cell(left, Tone::Plain),
            cell(describe::severity(one.severity), Tone::Plain),
            cell(&one.record.agent.0, Tone::Plain),
            cell(describe::process(&one.record.process), Tone::Plain),
            cell(facts::in_short(&one.record), Tone::Plain),
            cell(printable(&one.reason), Tone::Dim),
        ]);
    }
    screen.table(&table)
}

fn show(screen: &mut Screen<'_>, one: &ApprovalView) -> io::Result<()> {
    let (words, tone) = state(one.state);
    let title = screen.paint(Tone::Strong, &format!("Approval {}", one.id));
    let words = screen.paint(tone, words);
    screen.line(format!("{title}  {words}  {}", describe::severity(one.severity)))?;
    for fact in facts::facts(one) {
        screen.line(format!("{:<width$}{}", fact.name, fact.words, width = facts::NAME_WIDTH))?;
    }
    Ok(())
}

const fn state(state: State) -> (&'static str, Tone) {
    match state {
        State::Pending => ("pending", Tone::Warn),
        State::Approved => ("approved", Tone::Good),
        State::Denied => ("denied", Tone::Bad),
        State::Expired => ("expired", Tone::Bad),
        State::Withdrawn => ("withdrawn", Tone::Dim),
        State::Revoked => ("revoked", Tone::Warn),
    }
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{NOON_NS, held_exec, held_open};

    #[test]
    fn who_waits_is_a_table() {
        let mut out = Vec::new();
        let screen = &mut Screen::plain(&mut out, Format::Table, 160);
        table(screen, &[held_exec(7), held_open(8)], NOON_NS).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn a_held_command_is_shown_with_who_asks() {
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 110), &held_exec(7)).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
