//! The export as rows: one for each control and record, and one for a control without records.

use agentguard_audit::AuditRecord;

use super::evidence::{Evidence, Export};
use crate::exit::Failure;
use crate::moment;

const HEADER: [&str; 15] = [
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
];

/// Characters that make a spreadsheet read a field as a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// The whole table.
pub(super) fn csv(export: &Export) -> Result<String, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let wrong = |error: csv::Error| Failure::Failed(format!("the export: {error}"));
    writer.write_record(HEADER).map_err(wrong)?;
    for evidence in &export.controls {
        if evidence.records.is_empty() {
            writer.write_record(row(export, evidence, None)).map_err(wrong)?;
        }
        for record in export.of(evidence) {
            writer.write_record(row(export, evidence, Some(record))).map_err(wrong)?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| Failure::Failed(format!("the export: {error}")))?;
    String::from_utf8(bytes).map_err(|error| Failure::Failed(format!("the export: {error}")))
}

fn row(export: &Export, evidence: &Evidence, record: Option<&AuditRecord>) -> [String; HEADER.len()] {
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
