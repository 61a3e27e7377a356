//! `doctor`: what this kernel can and cannot do for agentd, and what to change. Needs neither agentd nor root, and
//! asks no BPF loader but the kernel itself; as root it also tries each kind of program.

mod advice;
mod facts;
mod findings;
mod judge;
mod probe;
#[cfg(test)]
mod tests;

use std::path::Path;

use facts::Facts;
use findings::{Finding, State};
use judge::{Enforcement, Report, judge};
use probe::Probes;

use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen, Tone, cell};

/// Looks at this machine and says what agentd could enforce here.
pub(crate) fn run(screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let report = look()?;
    match screen.format() {
        Format::Table => show(screen, &report)?,
        Format::Json | Format::Ndjson => screen.document(&report)?,
    }
    Ok(Outcome::of(report.full_enforcement == Enforcement::Possible))
}

/// The same as a document, for others.
pub(crate) fn document() -> Result<serde_json::Value, Failure> {
    serde_json::to_value(look()?).map_err(|error| Failure::Failed(format!("doctor: {error}")))
}

fn look() -> Result<Report, Failure> {
    let uname = nix::sys::utsname::uname().map_err(|error| Failure::Failed(format!("uname: {error}")))?;
    let is_root = nix::unistd::geteuid().is_root();
    let probes = if is_root { Probes::run() } else { Probes::untried("only root may") };
    Ok(judge(Facts::gather(Path::new("/"), &uname.release().to_string_lossy(), is_root, probes)))
}

fn show(screen: &mut Screen<'_>, report: &Report) -> std::io::Result<()> {
    let mut table = screen.new_table(&["check", "state", "found"]);
    for finding in &report.findings {
        let (words, tone) = state(finding.state);
        table.add_row([
            cell(finding.check, Tone::Plain),
            cell(words, tone),
            cell(&finding.found, Tone::Plain),
        ]);
    }
    screen.table(&table)?;

    changes(screen, &report.findings)?;

    screen.line("")?;
    screen.line(format!("back end          {}", report.backend.words()))?;
    let (tone, words) = match report.full_enforcement {
        Enforcement::Possible => (Tone::Good, "possible"),
        Enforcement::Unproven => (Tone::Warn, "not proven: only root may try it"),
        Enforcement::NotPossible => (Tone::Bad, "not possible"),
    };
    screen.line(format!("full enforcement  {}", screen.paint(tone, words)))?;
    for (number, what) in report.not_enforceable.iter().enumerate() {
        let label = if number == 0 { "not enforceable" } else { "" };
        screen.line(format!("{label:<18}{what}"))?;
    }
    Ok(())
}

/// What to change, each piece of advice once.
fn changes(screen: &mut Screen<'_>, findings: &[Finding]) -> std::io::Result<()> {
    let mut changes: Vec<(&str, Vec<&str>)> = Vec::new();
    for finding in findings {
        let Some(change) = &finding.change else { continue };
        match changes.iter_mut().find(|(known, _)| known == change) {
            Some((_, checks)) => checks.push(finding.check),
            None => changes.push((change, vec![finding.check])),
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    screen.line("")?;
    screen.line(screen.paint(Tone::Strong, "What to change"))?;
    changes.iter().try_for_each(|(change, checks)| screen.line(format!("  {}: {change}", checks.join(", "))))
}

const fn state(state: State) -> (&'static str, Tone) {
    match state {
        State::Ok => ("ok", Tone::Good),
        State::Warn => ("warn", Tone::Warn),
        State::Fail => ("fail", Tone::Bad),
        State::Unknown => ("unknown", Tone::Dim),
    }
}
