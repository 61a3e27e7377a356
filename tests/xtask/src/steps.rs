//! Steps of a long verb: each runs a program, passes its output on, counts the tests that it says it ran, and ends up
//! as a line of a table. Knows how test programs report, not what they test.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

mod tally;

pub(crate) use tally::Tally;

/// Failed and skipped tests that are named at the end; any more are only counted.
const NAMED_MAX: usize = 40;

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Passed,
    Failed,
    Skipped,
}

impl Ending {
    const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        }
    }
}

struct Line {
    name: String,
    ending: Ending,
    took: Duration,
    tally: Tally,
}

/// What ran so far.
#[derive(Default)]
pub(crate) struct Steps {
    lines: Vec<Line>,
    only: Option<String>,
}

impl Steps {
    /// Steps whose names contain `only`; the others are left out without a word.
    pub(crate) fn only(only: Option<String>) -> Self {
        Self { only, ..Self::default() }
    }

    fn is_wanted(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }

    /// Runs a program to its end. It passed if its status is 0 and it reported no failed test.
    pub(crate) fn run(&mut self, name: &str, command: &mut Command) {
        self.judge(name, |tally| {
            let success = stream(command, tally)?;
            Ok(success && tally.failed == 0)
        });
    }

    /// Runs a test that is written here; an error is its failure.
    pub(crate) fn check(&mut self, name: &str, test: impl FnOnce() -> Result<()>) {
        self.judge(name, |_| test().map(|()| true));
    }

    fn judge(&mut self, name: &str, run: impl FnOnce(&mut Tally) -> Result<bool>) {
        if !self.is_wanted(name) {
            return;
        }
        println!("\n== {name}");
        let begin = Instant::now();
        let mut tally = Tally::default();
        let passed = run(&mut tally).unwrap_or_else(|error| {
            println!("{name}: {error:#}");
            false
        });
        if !passed && tally.failed_names.is_empty() {
            tally.failed_names.push(name.to_owned());
        }
        tally.close(passed);
        let ending = if passed { Ending::Passed } else { Ending::Failed };
        self.lines.push(Line { name: name.to_owned(), ending, took: begin.elapsed(), tally });
    }

    /// Leaves a step out, and says why.
    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        if !self.is_wanted(name) {
            return;
        }
        println!("\n== {name}: skipped, {why}");
        let mut tally = Tally { skipped: 1, ..Tally::default() };
        tally.skipped_names.push(format!("{name}: {why}"));
        self.lines.push(Line { name: name.to_owned(), ending: Ending::Skipped, took: Duration::ZERO, tally });
    }

    /// Prints the table and the last line; whether everything passed.
    pub(crate) fn finish(&self) -> bool {
        let widest = self.lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
        println!(
            "\n{:<widest$}  {:<8}{:>9}{:>8}{:>8}{:>9}",
            "STEP", "RESULT", "TIME", "PASSED", "FAILED", "SKIPPED"
        );
        let mut all = Tally::default();
        for Line { name, ending, took, tally } in &self.lines {
            println!(
                "{name:<widest$}  {:<8}{:>7.1} s{:>8}{:>8}{:>9}",
                ending.name(),
                took.as_secs_f64(),
                tally.passed,
                tally.failed,
                tally.skipped
            );
            all.add(tally);
        }
        let total: Duration = self.lines.iter().map(|line| line.took).sum();
        println!("{:<widest$}  {:<8}{:>7.1} s", "all", "", total.as_secs_f64());
        for (ending, names) in [("skipped", &all.skipped_names), ("FAILED", &all.failed_names)] {
            for name in names.iter().take(NAMED_MAX) {
                println!("{ending}: {name}");
            }
        }
        println!("\n{} passed, {} failed, {} skipped", all.passed, all.failed, all.skipped);
        all.failed == 0 && all.passed > 0
    }
}

/// Passes stdout on line by line while it counts; stderr goes where ours goes.
fn stream(command: &mut Command, tally: &mut Tally) -> Result<bool> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {name}"))?;
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            let text = String::from_utf8_lossy(&line);
            print!("{text}");
            tally.read(text.trim_end());
            line.clear();
        }
    }
    Ok(child.wait()?.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_program_that_reports_nothing_counts_as_one_test() {
        let mut steps = Steps::default();
        steps.run("a", &mut shell("true"));
        assert!(steps.finish());
        assert_eq!(steps.lines.iter().map(|line| line.tally.passed).sum::<u64>(), 1);
    }

    #[test]
    fn a_failed_program_fails_everything() {
        let mut steps = Steps::default();
        steps.run("a", &mut shell("true"));
        steps.run("b", &mut shell("echo 7 passed, 0 failed; exit 1"));
        assert!(!steps.finish());
    }

    #[test]
    fn a_reported_failure_counts_whatever_the_status() {
        let mut steps = Steps::default();
        steps.run("a", &mut shell("echo 7 passed, 1 failed"));
        assert!(!steps.finish());
    }

    #[test]
    fn nothing_but_skips_is_no_success() {
        let mut steps = Steps::default();
        steps.skip("a", "there is none");
        assert!(!steps.finish());
    }
}
