//! The export as one page that needs nothing else and can be printed. The template escapes everything.

use agentguard_audit::AuditRecord;
use agentguard_audit::controls::{Control, Coverage, Framework};
use askama::Template;

use super::super::{show, verify};
use super::evidence::{Evidence, Export};
use crate::exit::Failure;
use crate::moment;

/// Records that the page shows of a control, the newest: a page is read by people.
const RECORDS_SHOWN: usize = 25;
/// Findings that the page shows.
const FINDINGS_SHOWN: usize = 50;

#[derive(Template)]
#[template(path = "audit.html")]
struct Page<'e> {
    host: &'e str,
    period: String,
    made: String,
    intact: bool,
    answer: String,
    anchor: String,
    facts: Vec<(&'static str, String)>,
    findings: Vec<Row>,
    findings_left_out: usize,
    groups: Vec<Group<'e>>,
}

/// The controls of a framework.
struct Group<'e> {
    title: &'static str,
    name: &'static str,
    controls: Vec<Section<'e>>,
}

/// One control.
struct Section<'e> {
    control: &'e Control,
    coverage: &'static str,
    count: usize,
    newest: String,
    left_out: usize,
    records: Vec<Row>,
}

/// A record or a finding.
struct Row {
    seq: String,
    time: String,
    code: String,
    agent: String,
    actor: String,
    detail: String,
}

/// The whole page.
pub(super) fn page(export: &Export) -> Result<String, Failure> {
    let report = &export.report;
    let findings: Vec<Row> = report
        .findings
        .iter()
        .take(FINDINGS_SHOWN)
        .map(|finding| Row {
            seq: finding.records(),
            time: String::new(),
            code: finding.place(),
            agent: String::new(),
            actor: String::new(),
            detail: finding.what.clone(),
        })
        .collect();
    let found =
        report.findings.len().saturating_add(usize::try_from(report.findings_left_out).unwrap_or(usize::MAX));
    let page = Page {
        host: &export.host,
        period: export.period(),
        made: moment::short(export.made_ns),
        intact: report.is_clean(),
        answer: verify::answer(report),
        anchor: report.newest.as_ref().map(verify::anchor).unwrap_or_default(),
        facts: verify::facts(report),
        findings_left_out: found.saturating_sub(findings.len()),
        findings,
        groups: groups(export),
    };
    page.render().map_err(|error| Failure::Failed(format!("the export: {error}")))
}

fn groups(export: &Export) -> Vec<Group<'_>> {
    let of = |framework: Framework| Group {
        title: framework.title(),
        name: framework.name(),
        controls: export
            .controls
            .iter()
            .filter(|evidence| evidence.control.framework == framework)
            .map(|evidence| section(export, evidence))
            .collect(),
    };
    Framework::ALL.into_iter().map(of).filter(|group| !group.controls.is_empty()).collect()
}

fn section<'e>(export: &'e Export, evidence: &'e Evidence) -> Section<'e> {
    let count = evidence.records.len();
    Section {
        control: &evidence.control,
        coverage: match evidence.control.coverage {
            Coverage::Supports => "supports",
            Coverage::Partly => "partly",
            Coverage::None => "none",
        },
        count,
        newest: export
            .of(evidence)
            .next_back()
            .map(|record| moment::short(record.time_ns))
            .unwrap_or_default(),
        left_out: count.saturating_sub(RECORDS_SHOWN),
        records: export.of(evidence).rev().take(RECORDS_SHOWN).map(row).collect(),
    }
}

fn row(record: &AuditRecord) -> Row {
    Row {
        seq: record.seq.to_string(),
        time: moment::short(record.time_ns),
        code: record.code.clone(),
        agent: record.agent.clone().unwrap_or_else(|| "–".to_owned()),
        actor: record.actor.clone(),
        detail: show::detail(record),
    }
}
