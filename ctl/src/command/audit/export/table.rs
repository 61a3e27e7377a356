//! The export as rows: one for each control and record, and one for a control without records.

use std::collections::HashMap;

use agentguard_audit::AuditRecord;
use agentguard_audit::verify::Finding;

use super::super::verify;
use super::evidence::{Evidence, Export};
use crate::exit::Failure;
use crate::moment;

const HEADER: [&str; 17] = [
    "host",
    "framework",
    "control",
    "title",
    "coverage",
    "how",
    "settings",
    "record",
    "time",
    "kind",
    "code",
    "agent",
    "actor",
    "detail",
    "hash",
    "log",
    "finding",
];

/// Characters that make a spreadsheet read a field as a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// The whole table.
pub(super) fn csv(export: &Export) -> Result<String, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let wrong = |error: csv::Error| Failure::Failed(format!("the export: {error}"));
    let log = Log { answer: verify::answer(&export.report), found: found(export) };
    writer.write_record(HEADER).map_err(wrong)?;
    for evidence in &export.controls {
        if evidence.records.is_empty() {
            writer.write_record(row(export, &log, evidence, None)).map_err(wrong)?;
        }
        for record in export.of(evidence) {
            writer.write_record(row(export, &log, evidence, Some(record))).map_err(wrong)?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| Failure::Failed(format!("the export: {error}")))?;
    String::from_utf8(bytes).map_err(|error| Failure::Failed(format!("the export: {error}")))
}

/// What verifying said: a row is read without the others.
struct Log {
    answer: String,
    /// By number of the record.
    found: HashMap<u64, String>,
}

/// The kinds of what was found at each record.
fn found(export: &Export) -> HashMap<u64, String> {
    let mut found: HashMap<u64, String> = HashMap::new();
    for finding in &export.report.findings {
        let Some(first) = finding.seq else { continue };
        let records = first..=finding.through.unwrap_or(first);
        for record in export.records.iter().filter(|record| records.contains(&record.seq)) {
            let (kinds, kind) = (found.entry(record.seq).or_default(), kind(finding));
            // A record that is there twice is one number.
            if !kinds.split("; ").any(|said| said == kind) {
                kinds.push_str(if kinds.is_empty() { "" } else { "; " });
                kinds.push_str(&kind);
            }
        }
    }
    found
}

/// As in the JSON of `verify`.
fn kind(finding: &Finding) -> String {
    serde_json::to_value(finding.problem)
        .ok()
        .and_then(|kind| kind.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn row(
    export: &Export,
    log: &Log,
    evidence: &Evidence,
    record: Option<&AuditRecord>,
) -> [String; HEADER.len()] {
    let control = &evidence.control;
    let of = |field: fn(&AuditRecord) -> String| record.map(field).unwrap_or_default();
    [
        inert(&export.host),
        control.framework.title().to_owned(),
        control.id.clone(),
        control.title.clone(),
        control.coverage.name().to_owned(),
        control.how.clone(),
        control.settings.join("; "),
        of(|record| record.seq.to_string()),
        of(|record| moment::precise(record.time_ns)),
        of(|record| record.kind.name().to_owned()),
        of(|record| inert(&record.code)),
        of(|record| inert(record.agent.as_deref().unwrap_or_default())),
        of(|record| inert(&record.actor)),
        of(|record| record.detail.to_string()),
        of(|record| record.hash.clone()),
        log.answer.clone(),
        record.and_then(|record| log.found.get(&record.seq)).cloned().unwrap_or_default(),
    ]
}

/// Agents name themselves; a name must not be a formula where an auditor opens it.
fn inert(text: &str) -> String {
    if text.starts_with(FORMULA) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_formula() {
        assert_eq!(inert("=HYPERLINK(1)"), "'=HYPERLINK(1)");
        assert_eq!(inert("agent-7"), "agent-7");
    }
}
