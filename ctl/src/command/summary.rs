//! `summary`: what one agent did: what it was allowed, what was blocked, by which rule and why.
//!
//! Counts records one by one as they come and keeps only sums, so its size does not grow with the records.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::SystemTime;

use agentguard_api::report::EventLine;
use agentguard_api::v1::{EventFilter, EventsRequest};
use agentguard_core::record::{Object, Record};
use agentguard_core::verdict::{Severity, Verdict};
use clap::Args;
use serde::Serialize;

use crate::daemon::Daemon;
use crate::describe::{self, Group};
use crate::exit::{Failure, Outcome};
use crate::moment;
use crate::screen::{Format, Screen, Tone, cell};

/// Newest records that are counted; more than any session of a person.
const RECORDS_MAX: u32 = 100_000;

/// Objects named per rule.
const OBJECTS_NAMED: usize = 3;

/// What was typed after `summary`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The agent
    #[arg(long, value_name = "NAME")]
    agent: String,
    /// Not before: a span back from now (10m, 2h) or a time (2026-03-01T12:00:00Z)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

impl Arguments {
    fn request(&self, now: SystemTime) -> Result<EventsRequest, Failure> {
        let since = self.since.as_deref().map(|text| moment::parse(text, now)).transpose();
        let since_ns = since.map_err(|error| Failure::Usage(format!("--since: {error}")))?.unwrap_or(0);
        let filter = EventFilter { agent: self.agent.clone(), since_ns, ..EventFilter::default() };
        Ok(EventsRequest { filter: Some(filter), follow: false, limit: RECORDS_MAX })
    }
}

/// Counts the agent's records.
pub(crate) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let request = arguments.request(SystemTime::now())?;
    let mut stream = daemon.stream(async |client| client.events(request).await)?;
    let mut summary = Summary { agent: arguments.agent.clone(), ..Summary::default() };
    while let Some(line) = stream.next()? {
        if let EventLine::Record(record) = line {
            summary.add(&record);
        }
    }
    if summary.records == 0 {
        return Err(Failure::Failed(format!("there are no records of an agent `{}`", summary.agent)));
    }
    match screen.format() {
        Format::Table => show(screen, &summary)?,
        Format::Json | Format::Ndjson => screen.document(&summary)?,
    }
    Ok(Outcome::Done)
}

/// The sums.
#[derive(Debug, Default, Serialize)]
struct Summary {
    agent: String,
    records: u64,
    /// Allowed and audited records by group and call.
    allowed: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// By rule, or by the reason where no rule decided.
    stopped: BTreeMap<String, Stopped>,
    /// Requests that waited for policy or a person, by rule. What became of them the approvals tell.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    waited: BTreeMap<String, u64>,
    /// What policy found worth a second look, although it did not decide.
    findings: BTreeMap<String, Found>,
    read_bytes: u64,
    written_bytes: u64,
    sent_bytes: u64,
    received_bytes: u64,
}

/// What one rule stopped.
#[derive(Debug, Default, Serialize)]
struct Stopped {
    blocked: u64,
    /// Would have been blocked in enforce mode.
    observed: u64,
    calls: BTreeSet<String>,
    /// The first few different ones.
    objects: Vec<String>,
    other_objects: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<Severity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// Of the last one, for `explain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    incident: Option<String>,
}

/// What one rule found.
#[derive(Debug, Serialize)]
struct Found {
    count: u64,
    severity: Severity,
    reason: String,
    /// The last one.
    object: String,
}

impl Summary {
    fn add(&mut self, record: &Record) {
        self.records += 1;
        for finding in &record.findings {
            let count = self.findings.get(&finding.id).map_or(0, |found| found.count) + 1;
            let object = format!("{}: {}", record.call, describe::object(record));
            let found = Found { count, severity: finding.severity, reason: finding.reason.clone(), object };
            self.findings.insert(finding.id.clone(), found);
        }
        match &record.object {
            Object::FileIo { read_bytes, written_bytes, .. } => {
                self.read_bytes = self.read_bytes.saturating_add(*read_bytes);
                self.written_bytes = self.written_bytes.saturating_add(*written_bytes);
            }
            Object::PeerIo { sent_bytes, received_bytes, .. } => {
                self.sent_bytes = self.sent_bytes.saturating_add(*sent_bytes);
                self.received_bytes = self.received_bytes.saturating_add(*received_bytes);
            }
            Object::File { .. }
            | Object::Address { .. }
            | Object::Resolved { .. }
            | Object::Class { .. }
            | Object::Exec { .. }
            | Object::Fork { .. }
            | Object::Exit { .. }
            | Object::Credentials { .. } => self.count(record),
        }
    }

    fn count(&mut self, record: &Record) {
        match record.decision.verdict {
            Verdict::Allow | Verdict::Audit => {
                let calls = self.allowed.entry(Group::of(record).name()).or_default();
                *calls.entry(record.call.clone()).or_default() += 1;
            }
            Verdict::Evaluate | Verdict::Hold if record.decision.enforced => {
                *self.waited.entry(describe::rule(&record.decision)).or_default() += 1;
            }
            Verdict::Evaluate | Verdict::Hold | Verdict::Deny => self.stop(record),
        }
    }

    fn stop(&mut self, record: &Record) {
        let decision = &record.decision;
        // A default says more with the operation that it is for.
        let name = match (&decision.rule, &record.operation) {
            (None, Some(operation)) => format!("{} ({})", describe::rule(decision), operation.name()),
            _ => describe::rule(decision),
        };
        let entry = self.stopped.entry(name).or_default();
        entry.blocked += u64::from(decision.enforced);
        entry.observed += u64::from(!decision.enforced);
        entry.calls.insert(record.call.clone());
        let object = describe::object(record);
        if !entry.objects.contains(&object) {
            if entry.objects.len() < OBJECTS_NAMED {
                entry.objects.push(object);
            } else {
                entry.other_objects += 1;
            }
        }
        entry.message.clone_from(&decision.message);
        entry.severity = decision.severity;
        entry.source = decision.source.as_ref().map(super::explain::source_words);
        entry.incident = record.incident.as_ref().map(ToString::to_string);
    }

    fn totals(&self) -> (u64, u64, u64) {
        let allowed = self.allowed.values().flat_map(BTreeMap::values).sum();
        let (blocked, observed) = self
            .stopped
            .values()
            .fold((0, 0), |(blocked, observed), entry| (blocked + entry.blocked, observed + entry.observed));
        (allowed, blocked, observed)
    }
}

fn show(screen: &mut Screen<'_>, summary: &Summary) -> io::Result<()> {
    let (allowed, blocked, observed) = summary.totals();
    let title = screen.paint(Tone::Strong, &format!("Agent {}", summary.agent));
    let blocked =
        screen.paint(if blocked > 0 { Tone::Bad } else { Tone::Plain }, &format!("{blocked} blocked"));
    let observed = if observed > 0 { format!(", {observed} would have been blocked") } else { String::new() };
    screen.line(format!("{title}: {allowed} allowed, {blocked}{observed}"))?;

    section(screen, "Allowed")?;
    let mut table = screen.new_table(&[]);
    for (group, calls) in &summary.allowed {
        let total: u64 = calls.values().sum();
        let words: Vec<_> = calls.iter().map(|(call, count)| format!("{call} {count}")).collect();
        table.add_row([
            cell(format!("  {group}"), Tone::Plain),
            cell(total.to_string(), Tone::Good),
            cell(words.join(", "), Tone::Dim),
        ]);
    }
    screen.table(&table)?;
    let bytes = describe::bytes;
    screen.line(format!(
        "  bytes   {} read, {} written, {} sent, {} received",
        bytes(summary.read_bytes),
        bytes(summary.written_bytes),
        bytes(summary.sent_bytes),
        bytes(summary.received_bytes)
    ))?;

    show_waited(screen, &summary.waited)?;
    show_blocked(screen, &summary.stopped)?;
    show_findings(screen, &summary.findings)
}

fn show_waited(screen: &mut Screen<'_>, waited: &BTreeMap<String, u64>) -> io::Result<()> {
    if waited.is_empty() {
        return Ok(());
    }
    section(screen, "Waited for policy or a person; what became of them: agentctl approvals list --all")?;
    for (rule, count) in waited {
        let count = screen.paint(Tone::Warn, &format!("{count:>5}"));
        screen.line(format!("{count}  {}", screen.paint(Tone::Strong, rule)))?;
    }
    Ok(())
}

fn show_blocked(screen: &mut Screen<'_>, stopped: &BTreeMap<String, Stopped>) -> io::Result<()> {
    if stopped.is_empty() {
        screen.line("")?;
        return screen.line("Nothing was blocked.");
    }
    section(screen, "Blocked")?;
    // The worst first: by severity, then by count.
    let mut stopped: Vec<_> = stopped.iter().collect();
    stopped.sort_by_key(|(_, stopped)| {
        std::cmp::Reverse((stopped.severity, stopped.blocked + stopped.observed))
    });
    stopped.into_iter().try_for_each(|(rule, stopped)| show_stopped(screen, rule, stopped))
}

fn show_findings(screen: &mut Screen<'_>, findings: &BTreeMap<String, Found>) -> io::Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    section(screen, "Worth a look")?;
    for (rule, found) in findings {
        let count = screen.paint(Tone::Warn, &format!("{:>5}", found.count));
        let severity = describe::severity(found.severity);
        screen.line(format!("{count}  {}  {severity}", screen.paint(Tone::Strong, rule)))?;
        screen.line(format!("       why    {}", crate::screen::printable(&found.reason)))?;
        screen.line(format!("       what   {}", found.object))?;
    }
    Ok(())
}

fn section(screen: &mut Screen<'_>, name: &str) -> io::Result<()> {
    screen.line("")?;
    screen.line(screen.paint(Tone::Strong, name))
}

fn show_stopped(screen: &mut Screen<'_>, rule: &str, stopped: &Stopped) -> io::Result<()> {
    let count = if stopped.blocked > 0 {
        screen.paint(Tone::Bad, &format!("{:>5}", stopped.blocked))
    } else {
        screen.paint(Tone::Warn, &format!("{:>5}", format!("({})", stopped.observed)))
    };
    let severity =
        stopped.severity.map(|severity| format!("  {}", describe::severity(severity))).unwrap_or_default();
    screen.line(format!("{count}  {}{severity}", screen.paint(Tone::Strong, rule)))?;
    if !stopped.message.is_empty() {
        screen.line(format!("       why    {}", crate::screen::printable(&stopped.message)))?;
    }
    let calls: Vec<_> = stopped.calls.iter().map(String::as_str).collect();
    let more = match stopped.other_objects {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    screen.line(format!("       what   {}: {}{more}", calls.join(", "), stopped.objects.join(", ")))?;
    if let Some(source) = &stopped.source {
        screen.line(format!("       where  {source}"))?;
    }
    if let Some(incident) = &stopped.incident {
        screen.line(screen.paint(Tone::Dim, &format!("       agentctl explain {incident}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use agentguard_core::record::Finding;

    use super::*;
    use crate::samples;

    fn summary(records: &[Record]) -> Summary {
        let mut summary = Summary { agent: "coder".to_owned(), ..Summary::default() };
        records.iter().for_each(|record| summary.add(record));
        summary
    }

    fn text(summary: &Summary) -> String {
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 110), summary).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn says_what_was_allowed_and_what_was_blocked_and_why() {
        let mut push = samples::exec(3);
        push.findings.push(Finding {
            id: "process.force_push".to_owned(),
            severity: Severity::High,
            reason: "history that others have is rewritten".to_owned(),
            source: None,
        });
        let records = [
            samples::allowed_open(1),
            samples::allowed_open(2),
            push,
            samples::file_io(4),
            samples::denied_open(5),
            samples::denied_open(6),
            samples::denied_connect(7),
        ];
        insta::assert_snapshot!(text(&summary(&records)));
    }

    #[test]
    fn a_session_without_denials_says_so() {
        assert!(text(&summary(&[samples::allowed_open(1)])).ends_with("Nothing was blocked.\n"));
    }

    #[test]
    fn observed_denials_are_not_called_blocked() {
        let mut record = samples::denied_open(1);
        record.decision.enforced = false;
        let summary = summary(&[record]);
        assert_eq!(summary.totals(), (0, 0, 1));
        assert!(text(&summary).contains("0 blocked, 1 would have been blocked"));
    }

    #[test]
    fn names_only_the_first_objects_of_a_rule() {
        let records: Vec<_> = (0..5)
            .map(|number| {
                let mut record = samples::denied_open(number);
                if let Object::File { path, .. } = &mut record.object {
                    *path = format!("/key/{number}");
                }
                record
            })
            .collect();
        assert!(text(&summary(&records)).contains("open: /key/0, /key/1, /key/2, and 2 more"));
    }
}
