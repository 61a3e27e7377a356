//! `query`: read-only SQL over what agentd has recorded. What SQL may do is agentd's to limit.

use std::io;
use std::time::Duration;

use agentguard_api::report::Row;
use agentguard_api::v1::QueryRequest;
use clap::Args;
use serde_json::Value;

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen, Tone, cell};

/// What was typed after `query`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// One SELECT over events, decisions, processes, agents and rules
    sql: String,
    /// Most rows to return, at most 100000
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_rows: u32,
    /// Longest time that agentd may spend on it, at most 60 s
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    timeout: Duration,
}

/// Seconds, also with a fraction, above 0 and up to a minute.
fn seconds(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(60);
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|time| *time >= Duration::from_millis(1) && *time <= LONGEST)
        .ok_or_else(|| "write a number of seconds from 0.001 to 60".to_owned())
}

impl Arguments {
    fn request(&self) -> QueryRequest {
        let timeout_ms = u32::try_from(self.timeout.as_millis()).unwrap_or(u32::MAX);
        QueryRequest { sql: self.sql.clone(), max_rows: self.max_rows, timeout_ms }
    }
}

/// Runs the query.
pub(crate) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let mut rows = daemon.stream(async |client| client.query(arguments.request()).await)?;
    match screen.format() {
        Format::Ndjson => {
            while let Some(row) = rows.next()? {
                screen.document(&row)?;
            }
        }
        Format::Json => screen.documents(&rows.collect()?)?,
        Format::Table => show(screen, &rows.collect()?)?,
    }
    Ok(Outcome::Done)
}

fn show(screen: &mut Screen<'_>, rows: &[Row]) -> io::Result<()> {
    let Some(first) = rows.first() else {
        return screen.line("no rows");
    };
    let columns: Vec<&str> = first.keys().map(String::as_str).collect();
    let mut table = screen.new_table(&columns);
    for row in rows {
        table.add_row(columns.iter().map(|column| match row.get(*column) {
            None | Some(Value::Null) => cell("-", Tone::Dim),
            Some(Value::String(words)) => cell(words, Tone::Plain),
            Some(value) => cell(value.to_string(), Tone::Plain),
        }));
    }
    screen.table(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rows: &Value) -> String {
        let rows: Vec<Row> = serde_json::from_value(rows.clone()).unwrap();
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 80), &rows).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_come_in_the_order_of_the_query() {
        let rows = serde_json::json!([{"verdict": "deny", "count": 3, "rule": null}, {"verdict": "allow", "count": 40}]);
        assert_eq!(text(&rows), "VERDICT  COUNT  RULE\ndeny     3      -\nallow    40     -\n");
    }

    #[test]
    fn says_when_there_is_nothing() {
        assert_eq!(text(&serde_json::json!([])), "no rows\n");
    }

    #[test]
    fn a_timeout_is_in_seconds_up_to_a_minute() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("60"), Ok(Duration::from_secs(60)));
        for bad in ["0", "61", "-1", "nan", "5s", ""] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
