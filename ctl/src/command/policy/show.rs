//! `policy show`: the rules in force, of both layers, with where each is written.

use std::io;

use agentguard_api::report::Row;
use agentguard_api::v1::QueryRequest;
use clap::Args;

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen, Tone, cell};

/// Rules are at most these for one agent many times over.
const ROWS_MAX: u32 = 100_000;

/// What was typed after `policy show`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only the rules of this agent
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
}

pub(super) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let request = QueryRequest { sql: sql(arguments.agent.as_deref()), max_rows: ROWS_MAX, timeout_ms: 0 };
    let rules = daemon.stream(async |client| client.query(request).await)?.collect()?;
    match screen.format() {
        Format::Table => show(screen, &rules)?,
        Format::Json | Format::Ndjson => screen.documents(&rules)?,
    }
    Ok(Outcome::Done)
}

fn sql(agent: Option<&str>) -> String {
    // The query language has no parameters here: a quote in a name is doubled.
    let only = agent.map(|name| format!(" WHERE agent = '{}'", name.replace('\'', "''"))).unwrap_or_default();
    format!("SELECT * FROM rules{only}")
}

fn show(screen: &mut Screen<'_>, rules: &[Row]) -> io::Result<()> {
    let Some(first) = rules.first() else {
        return screen.line("no rules: no agent runs");
    };
    let columns: Vec<&str> = first.keys().map(String::as_str).collect();
    let mut table = screen.new_table(&columns);
    for rule in rules {
        table.add_row(columns.iter().map(|column| match rule.get(*column) {
            None | Some(serde_json::Value::Null) => cell("", Tone::Plain),
            Some(serde_json::Value::String(words)) => cell(words, Tone::Plain),
            Some(value) => cell(value.to_string(), Tone::Plain),
        }));
    }
    screen.table(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(sql(Some("a' OR 1 --")), "SELECT * FROM rules WHERE agent = 'a'' OR 1 --'");
        assert_eq!(sql(None), "SELECT * FROM rules");
    }
}
