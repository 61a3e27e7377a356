//! `policy show`: the rules in force for the agents that run, of both layers, with where each is written.

use std::io;

use agentguard_api::report::Row;
use agentguard_api::v1::QueryRequest;
use agentguard_core::rule::Scope;
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::daemon::Daemon;
use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen, Tone, cell};

/// What agentd returns at most: a few large agents.
const ROWS_MAX: u32 = 100_000;

/// What was typed after `policy show`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only the rules of this agent
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
}

/// One rule of one agent, as the store has it.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    agent: String,
    id: String,
    layer: String,
    verdict: String,
    #[serde(deserialize_with = "json_in_text")]
    scope: Scope,
    severity: Option<String>,
    reason: String,
    file: String,
    line: u32,
}

/// The store keeps structured columns as JSON text.
fn json_in_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Scope, D::Error> {
    let text = String::deserialize(deserializer)?;
    serde_json::from_str(&text).map_err(serde::de::Error::custom)
}

pub(super) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let request = QueryRequest { sql: sql(arguments.agent.as_deref()), max_rows: ROWS_MAX, timeout_ms: 0 };
    let rows: Vec<Row> = daemon.stream(async |client| client.query(request).await)?.collect()?;
    let lines: Result<Vec<Line>, _> =
        rows.into_iter().map(|row| serde_json::from_value(serde_json::Value::Object(row))).collect();
    let lines =
        lines.map_err(|error| Failure::Failed(format!("agentd's rules are not understood: {error}")))?;
    match screen.format() {
        Format::Table => show(screen, &lines)?,
        Format::Json | Format::Ndjson => screen.documents(&lines)?,
    }
    Ok(Outcome::Done)
}

fn sql(agent: Option<&str>) -> String {
    // The API has no parameters: a quote in a name is doubled.
    let only = agent.map(|name| format!(" AND a.name = '{}'", name.replace('\'', "''"))).unwrap_or_default();
    format!(
        "SELECT a.name AS agent, r.id, r.layer, r.verdict, r.scope, r.severity, r.reason, r.file, r.line \
         FROM rules r JOIN agents a ON a.version = r.version \
         WHERE a.state = 'running'{only} ORDER BY a.name, r.position"
    )
}

fn show(screen: &mut Screen<'_>, lines: &[Line]) -> io::Result<()> {
    if lines.is_empty() {
        return screen.line("no rules: no such agent runs");
    }
    let mut table = screen.new_table(&["agent", "layer", "verdict", "rule", "severity", "where", "on"]);
    for line in lines {
        let tone = match line.verdict.as_str() {
            "deny" => Tone::Bad,
            "allow" => Tone::Good,
            _ => Tone::Warn,
        };
        table.add_row([
            cell(&line.agent, Tone::Plain),
            cell(&line.layer, Tone::Plain),
            cell(&line.verdict, tone),
            cell(&line.id, Tone::Strong),
            cell(line.severity.as_deref().unwrap_or(""), Tone::Plain),
            cell(format!("{}:{}", line.file, line.line), Tone::Dim),
            cell(describe::scope(&line.scope), Tone::Plain),
        ]);
    }
    screen.table(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert!(sql(Some("a' OR 1 --")).contains("AND a.name = 'a'' OR 1 --' ORDER BY"));
        assert!(!sql(None).contains("AND"));
    }

    #[test]
    fn rules_are_a_table_with_their_place() {
        let row = serde_json::json!({
            "agent": "coder", "id": "filesystem.ssh_keys", "layer": "guardrail", "verdict": "deny",
            "scope": r#"{"kind":"path","ops":["read","write"],"pattern":"/home/*/.ssh/**"}"#,
            "severity": "CRITICAL", "reason": "r", "file": "policies/filesystem/filesystem.rego", "line": 12
        });
        let lines: Vec<Line> = vec![serde_json::from_value(row).unwrap()];
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 150), &lines).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
