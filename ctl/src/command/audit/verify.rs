//! `audit verify`: every record, every segment, the head, every signature.

use std::io::IsTerminal;
use std::path::Path;

use agentguard_audit::verify::{Anchor, Checks, Progress, Report, verify};
use agentguard_audit::{Receipt, Verifier};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::Log;
use super::trust::Trust;
use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::moment;
use crate::screen::{Format, Screen, Tone, cell};

/// Column of the words beside the names of facts.
const NAME_WIDTH: usize = 12;

/// What was typed after `audit verify`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: Log,
    #[command(flatten)]
    trust: Trust,
    /// A record that an earlier verify printed last: it must still be there
    #[arg(long, value_name = "SEQ:HASH")]
    anchor: Option<Anchor>,
}

/// Negative if anything is found.
pub(super) fn run(arguments: &Arguments, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let verifier = arguments.trust.verifier()?;
    let verifier = verifier.as_ref().map(|verifier| verifier as &dyn Verifier);
    let checks = Checks { verifier, anchor: arguments.anchor.as_ref(), permissions: arguments.log.reader() };
    let report = check(&arguments.log.dir, checks)?;
    match screen.format() {
        Format::Table => table(screen, &arguments.log.dir, &report)?,
        Format::Json | Format::Ndjson => screen.document(&document(&report))?,
    }
    Ok(Outcome::of(report.is_clean()))
}

/// Verifies, with a bar on a terminal.
pub(super) fn check(dir: &Path, checks: Checks<'_>) -> Result<Report, Failure> {
    let terminal = std::io::stderr().is_terminal();
    let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    if let Ok(style) = ProgressStyle::with_template("verifying {wide_bar} {bytes}/{total_bytes} {eta}") {
        bar.set_style(style);
    }
    let report = verify(dir, checks, &mut |Progress { done, total }| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    Ok(report?)
}

/// The report, with the answer and the anchor in front.
pub(super) fn document(report: &Report) -> serde_json::Value {
    let mut document = json!({ "ok": report.is_clean(), "anchor": report.newest.as_ref().map(anchor) });
    if let (Some(document), Ok(serde_json::Value::Object(report))) =
        (document.as_object_mut(), serde_json::to_value(report))
    {
        document.extend(report);
    }
    document
}

/// As `--anchor` takes it.
pub(super) fn anchor(newest: &Receipt) -> String {
    format!("{}:{}", newest.seq, newest.hash)
}

/// The facts about a log, as names and words.
pub(super) fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let (first, last) =
        (report.first_seq.unwrap_or(0), report.newest.as_ref().map_or(0, |newest| newest.seq));
    let counts = (describe_count(report.records, "record"), describe_count(report.segments, "segment"));
    let mut facts = vec![("records", format!("{} in {}, from {first} to {last}", counts.0, counts.1))];
    if let (Some(first), Some(last)) = (report.first_time_ns, report.last_time_ns) {
        facts.push(("time", format!("{} to {}", moment::short(first), moment::short(last))));
    }
    let signatures = if report.signatures_checked {
        let checkpoints = describe_count(report.checkpoints, "good checkpoint");
        let after = match report.uncovered {
            0 => "all records are covered".to_owned(),
            after => format!("covered up to record {}, {after} after it are not", report.covered_seq),
        };
        format!("{checkpoints}; {after}")
    } else {
        "not checked".to_owned()
    };
    facts.push(("signatures", signatures));
    if report.unattested > 0 {
        let records = describe_count(report.unattested, "record");
        facts.push((
            "unattested",
            format!("{records} attested only by the next start: agentd had not ended in order"),
        ));
    }
    if report.lost > 0 {
        facts.push((
            "lost",
            format!("{} could not be written at the time", describe_count(report.lost, "record")),
        ));
    }
    facts
}

/// The answer in a few words.
pub(super) fn answer(report: &Report) -> String {
    let count =
        report.findings.len().saturating_add(usize::try_from(report.findings_left_out).unwrap_or(usize::MAX));
    if report.is_clean() {
        let who = if report.signatures_checked { "" } else { " as far as the chain tells" };
        format!("intact{who}: no record was changed, removed, moved or added")
    } else {
        format!("NOT intact: {}", describe::count(count, "finding"))
    }
}

fn describe_count(count: u64, noun: &str) -> String {
    describe::count(usize::try_from(count).unwrap_or(usize::MAX), noun)
}

fn table(screen: &mut Screen<'_>, dir: &Path, report: &Report) -> std::io::Result<()> {
    screen.line(screen.paint(Tone::Strong, &format!("Audit log {}", dir.display())))?;
    for (name, words) in facts(report) {
        screen.line(format!("{name:<NAME_WIDTH$}{words}"))?;
    }
    let tone = if report.is_clean() { Tone::Good } else { Tone::Bad };
    screen.line(format!("{:<NAME_WIDTH$}{}", "result", screen.paint(tone, &answer(report))))?;
    if !report.is_clean() {
        screen.line("")?;
        let mut table = screen.new_table(&["records", "place", "what"]);
        for finding in &report.findings {
            table.add_row([
                cell(finding.records(), Tone::Strong),
                cell(finding.place(), Tone::Dim),
                cell(&finding.what, Tone::Bad),
            ]);
        }
        screen.table(&table)?;
        if report.findings_left_out > 0 {
            screen.line(format!("and {} more", report.findings_left_out))?;
        }
    }
    match &report.newest {
        Some(newest) => {
            let advice =
                if report.is_clean() { "Keep this elsewhere, for --anchor:" } else { "The newest record:" };
            screen.line(format!("\n{advice}\n{}", anchor(newest)))
        }
        None => Ok(()),
    }
}
