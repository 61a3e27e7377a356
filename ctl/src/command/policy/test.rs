//! `policy test`: runs the Rego tests that stand beside the packs, and says which lines they touch.

use std::io;
use std::path::PathBuf;

use agentguard_policy::PolicyFiles;
use agentguard_policy::testing::{self, Report, Test};
use clap::Args;

use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen, Tone, cell};

/// Lines without a test that are named per file.
const MISSED_SHOWN: usize = 12;

/// What was typed after `policy test`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Directory of packs with their tests: <pack>/<pack>_test.rego
    directory: PathBuf,
    /// Also which lines of the packs the tests touch
    #[arg(long)]
    coverage: bool,
}

pub(super) fn run(arguments: &Arguments, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let report = PolicyFiles::read(&arguments.directory).and_then(|files| testing::run(&files));
    let report = match report {
        Ok(report) => report,
        Err(errors) => return super::wrong(&errors, screen),
    };
    match screen.format() {
        Format::Table => show(screen, &report, arguments.coverage)?,
        Format::Json | Format::Ndjson => screen.document(&report)?,
    }
    Ok(Outcome::of(report.passed()))
}

fn show(screen: &mut Screen<'_>, report: &Report, coverage: bool) -> io::Result<()> {
    for test in report.failures() {
        let words = screen.paint(Tone::Bad, "FAILED");
        screen.line(format!("{words} {}  {}", test.name, reason(test)))?;
    }
    if coverage {
        show_coverage(screen, report)?;
    }
    if report.tests.is_empty() {
        return screen.line("no tests: a policy without tests does not pass");
    }
    let failed = report.failures().count();
    screen.line(format!("{} passed, {failed} failed", report.tests.len() - failed))
}

/// Where, and what the test said; an error brings its own place.
fn reason(test: &Test) -> String {
    match &test.outcome {
        testing::Outcome::Passed => String::new(),
        testing::Outcome::Failed(value) => {
            format!("{}:{}: is {value}, not true", test.file.display(), test.line)
        }
        testing::Outcome::Error(error) => error.clone(),
    }
}

fn show_coverage(screen: &mut Screen<'_>, report: &Report) -> io::Result<()> {
    let mut table = screen.new_table(&["file", "covered", "lines", "percent", "missed"]);
    for file in &report.coverage {
        let missed: Vec<_> = file.missed.iter().take(MISSED_SHOWN).map(ToString::to_string).collect();
        let more = if file.missed.len() > MISSED_SHOWN { ", ..." } else { "" };
        table.add_row([
            cell(file.file.display().to_string(), Tone::Plain),
            cell(file.covered.to_string(), Tone::Plain),
            cell(file.lines.to_string(), Tone::Plain),
            cell(
                format!("{:.1}", file.percent()),
                if file.missed.is_empty() { Tone::Good } else { Tone::Warn },
            ),
            cell(format!("{}{more}", missed.join(", ")), Tone::Dim),
        ]);
    }
    screen.table(&table)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const PACK: &str = "package agentguard.a
import rego.v1
guardrails contains {\"id\": \"x\", \"ops\": [\"read\"], \"path\": \"/x\", \"verdict\": \"deny\", \"severity\": \"HIGH\", \"reason\": \"r\"} if input.agent.tier > 2
deny contains {\"id\": \"y\", \"severity\": \"HIGH\", \"reason\": \"r\"} if input.request.port == 25
";

    fn text(tests: &str) -> String {
        let files = [("a/a.rego", PACK), ("a/a_test.rego", tests)];
        let files = files.map(|(path, content)| (path.to_owned(), content.to_owned()));
        let report = testing::run(&PolicyFiles::from_contents(Path::new("p"), files).unwrap()).unwrap();
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 110), &report, true).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn failures_name_their_place_and_the_last_line_counts() {
        insta::assert_snapshot!(text(
            "package agentguard.a_test
import rego.v1
import data.agentguard.a
test_passes if count(a.guardrails) == 1 with input as {\"agent\": {\"tier\": 3}}
test_fails if count(a.guardrails) == 1 with input as {\"agent\": {\"tier\": 1}}
"
        ));
    }

    #[test]
    fn no_tests_is_no_pass() {
        assert!(
            text("package agentguard.a_test\n").ends_with("no tests: a policy without tests does not pass\n")
        );
    }
}
