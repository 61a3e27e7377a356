//! `audit show`: records of the log, by what they are about.

use std::time::SystemTime;

use agentguard_audit::read::{Filter, Records};
use agentguard_audit::{AuditRecord, Kind, codes};
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::Log;
use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::filter;
use crate::moment;
use crate::screen::{Format, Screen, Tone, cell, cut, printable};

/// Characters of a detail in the table; the whole is in the other forms.
const DETAIL_WIDTH: usize = 160;

/// What was typed after `audit show`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: Log,
    /// Only of these kinds
    #[arg(long = "kind", value_name = "KIND", value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::name)))]
    kinds: Vec<String>,
    /// Only with these codes, such as ADMISSION_ALLOW
    #[arg(long = "code", value_name = "CODE", hide_possible_values = true, value_parser = PossibleValuesParser::new(codes::ALL.iter().map(|code| code.name)))]
    codes: Vec<String>,
    /// Only about this agent
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Only by this actor, such as 'uid 0 (root)'
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Not before: a span back from now (10m, 2h) or a time (2026-03-01T12:00:00Z)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Not after
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

impl Arguments {
    fn filter(&self) -> Result<Filter, Failure> {
        let (since_ns, until_ns) =
            filter::times(self.since.as_deref(), self.until.as_deref(), SystemTime::now())?;
        let is_typed = |kind: &Kind| self.kinds.iter().any(|typed| typed == kind.name());
        Ok(Filter {
            kinds: Kind::ALL.into_iter().filter(is_typed).collect(),
            codes: self.codes.clone(),
            agent: self.agent.clone(),
            actor: self.actor.clone(),
            since_ns,
            until_ns,
        })
    }
}

/// Negative if a line could not be read.
pub(super) fn run(arguments: &Arguments, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let limit = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    let (records, unreadable) = Records::newest(&arguments.log.dir, &arguments.filter()?, limit)?;
    match screen.format() {
        Format::Table => table(screen, &records)?,
        Format::Json | Format::Ndjson => screen.documents(&records)?,
    }
    if let Some(first) = unreadable.first() {
        eprintln!(
            "agentctl: {} cannot be read, the first is {}; see agentctl audit verify",
            describe::count(unreadable.len(), "line"),
            printable(&first.to_string())
        );
    }
    Ok(Outcome::of(unreadable.is_empty()))
}

fn table(screen: &mut Screen<'_>, records: &[AuditRecord]) -> std::io::Result<()> {
    if records.is_empty() {
        return screen.line("no such records");
    }
    let mut table = screen.new_table(&["record", "time", "code", "agent", "by", "detail"]);
    for record in records {
        table.add_row([
            cell(record.seq.to_string(), Tone::Dim),
            cell(moment::short(record.time_ns), Tone::Plain),
            cell(&record.code, tone(record)),
            cell(record.agent.as_deref().unwrap_or("-"), Tone::Strong),
            cell(&record.actor, Tone::Plain),
            cell(detail(record), Tone::Dim),
        ]);
    }
    screen.table(&table)
}

fn tone(record: &AuditRecord) -> Tone {
    let is = |words: &[&str]| words.iter().any(|word| record.code.contains(word));
    if is(&["DENY", "DENIED", "BROKEN", "LOST", "FAILED", "EXHAUSTED", "INVALIDATED"]) {
        Tone::Bad
    } else if is(&["REVOKED", "HOLD", "ALERT", "EXPIRED", "REPAIRED", "RESTRICTED"]) {
        Tone::Warn
    } else {
        Tone::Plain
    }
}

/// `name=value` of each field, on one line.
pub(super) fn detail(record: &AuditRecord) -> String {
    let words = match &record.detail {
        serde_json::Value::Object(fields) => {
            let words = fields.iter().map(|(name, value)| match value {
                serde_json::Value::String(text) => format!("{name}={text}"),
                value => format!("{name}={value}"),
            });
            words.collect::<Vec<_>>().join(" ")
        }
        value => value.to_string(),
    };
    cut(&words, DETAIL_WIDTH)
}
