//! `events`: what was recorded, and what is recorded now.

mod live;

use std::io;
use std::time::SystemTime;

use agentguard_api::report::EventLine;
use agentguard_api::v1::EventsRequest;
use agentguard_core::record::Record;
use clap::Args;

use crate::daemon::{Daemon, Stream};
use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::filter::Filters;
use crate::moment;
use crate::screen::{Format, Screen, Tone, cell, printable};

/// What was typed after `events`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    filters: Filters,
    /// Go on with what is recorded from now on
    #[arg(long, short)]
    follow: bool,
    /// With --follow: a table of counts and the last denials, updated in place
    #[arg(long, requires = "follow")]
    live: bool,
    /// Newest so many; 100 by default, with --follow none from before
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
}

impl Arguments {
    fn request(&self, now: SystemTime) -> Result<EventsRequest, Failure> {
        let limit = self.limit.unwrap_or(0);
        Ok(EventsRequest { filter: Some(self.filters.meaning(now)?), follow: self.follow, limit })
    }
}

/// Prints records.
pub(crate) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let request = arguments.request(SystemTime::now())?;
    let stream = daemon.stream(async |client| client.events(request).await)?;
    match (arguments.follow, screen.format()) {
        (true, Format::Table) if arguments.live && screen.is_terminal() => live::run(stream, screen)?,
        (true, format) => follow(stream, format, screen)?,
        (false, format) => print(stream, format, screen)?,
    }
    Ok(Outcome::Done)
}

/// The record of a line; a gap is said on stderr, and the store has what it left out.
fn record(line: EventLine) -> Option<Record> {
    match line {
        EventLine::Record(record) => Some(*record),
        EventLine::Skipped { skipped } => {
            eprintln!(
                "agentctl: {skipped} records left out here, this reader was too slow; the store has them"
            );
            None
        }
    }
}

fn print(mut stream: Stream<'_, EventLine>, format: Format, screen: &mut Screen<'_>) -> Result<(), Failure> {
    if format == Format::Ndjson {
        while let Some(line) = stream.next()? {
            record(line).map_or(Ok(()), |record| screen.document(&record))?;
        }
        return Ok(());
    }
    let records: Vec<Record> = stream.collect()?.into_iter().filter_map(record).collect();
    match format {
        Format::Table => Ok(table(screen, &records)?),
        Format::Json | Format::Ndjson => Ok(screen.documents(&records)?),
    }
}

/// A stream has no end, so `json` is one document a line here too.
fn follow(mut stream: Stream<'_, EventLine>, format: Format, screen: &mut Screen<'_>) -> Result<(), Failure> {
    if format == Format::Table {
        screen.line(screen.paint(Tone::Dim, &heading()))?;
        screen.flush()?;
    }
    while let Some(line) = stream.wait()? {
        let Some(record) = record(line) else { continue };
        match format {
            Format::Table => screen.line(row(screen, &record))?,
            Format::Json | Format::Ndjson => screen.line_document(&record)?,
        }
        screen.flush()?;
    }
    Ok(())
}

fn table(screen: &mut Screen<'_>, records: &[Record]) -> io::Result<()> {
    if records.is_empty() {
        return screen.line("no records");
    }
    let mut table =
        screen.new_table(&["time", "agent", "process", "call", "verdict", "object", "rule", "incident"]);
    for record in records {
        table.add_row([
            cell(moment::short(record.time_ns), Tone::Dim),
            cell(&record.agent.0, Tone::Plain),
            cell(describe::process(&record.process), Tone::Plain),
            cell(&record.call, Tone::Plain),
            cell(describe::verdict(&record.decision), describe::tone(&record.decision)),
            cell(describe::object(record), Tone::Plain),
            cell(describe::rule_of(record), Tone::Dim),
            cell(record.incident.as_ref().map_or("", |incident| &incident.0), Tone::Dim),
        ]);
    }
    screen.table(&table)
}

fn heading() -> String {
    format!(
        "{:<12}  {:<16} {:<22} {:<10} {:<7} {}",
        "TIME", "AGENT", "PROCESS", "CALL", "VERDICT", "OBJECT  RULE"
    )
}

/// One line of what is recorded now; the columns cannot know what comes, so they have fixed widths.
fn row(screen: &Screen<'_>, record: &Record) -> String {
    let verdict = format!("{:<7}", describe::verdict(&record.decision));
    let rule = match &record.incident {
        Some(incident) => format!("{} {incident}", describe::rule_of(record)),
        None => describe::rule_of(record),
    };
    format!(
        "{}  {:<16} {:<22} {:<10} {} {}  {}",
        screen.paint(Tone::Dim, &moment::of_day(record.time_ns)),
        printable(&record.agent.0),
        describe::process(&record.process),
        record.call,
        screen.paint(describe::tone(&record.decision), &verdict),
        describe::object(record),
        screen.paint(Tone::Dim, &rule),
    )
    .trim_end()
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn records() -> Vec<Record> {
        vec![samples::allowed_open(1), samples::exec(2), samples::denied_open(3), samples::denied_connect(4)]
    }

    #[test]
    fn records_are_a_table() {
        let mut out = Vec::new();
        table(&mut Screen::plain(&mut out, Format::Table, 160), &records()).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn records_that_come_have_fixed_columns() {
        let mut out = Vec::new();
        let screen = Screen::plain(&mut out, Format::Table, 160);
        let lines: Vec<_> =
            [heading()].into_iter().chain(records().iter().map(|record| row(&screen, record))).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn an_empty_answer_says_so() {
        let mut out = Vec::new();
        table(&mut Screen::plain(&mut out, Format::Table, 80), &[]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "no records\n");
    }
}
