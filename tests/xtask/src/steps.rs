//! Steps of a long verb: each runs a program, passes its output on, counts the tests that it says it ran, and ends up
//! as a line of a table. Some run beside each other. Knows how test programs report, not what they test.

use std::io::{BufRead, BufReader, Read};
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
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

impl Line {
    /// Runs a step, whatever it is.
    fn of(name: &str, run: impl FnOnce(&mut Tally) -> Result<bool>) -> Self {
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
        Self { name: name.to_owned(), ending, took: begin.elapsed(), tally }
    }
}

/// What ran so far.
pub(crate) struct Steps {
    lines: Vec<Line>,
    only: Option<String>,
    begin: Instant,
}

impl Steps {
    /// Steps whose names contain `only`; the others are left out without a word.
    pub(crate) fn new(only: Option<String>) -> Self {
        Self { lines: Vec::new(), only, begin: Instant::now() }
    }

    fn is_wanted(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }

    /// Runs a program to its end. It passed if its status is 0 and it reported no failed test.
    pub(crate) fn run(&mut self, name: &str, command: &mut Command) {
        self.judge(name, |tally| stream(command, tally));
    }

    /// Runs programs, `at_once` at a time, and begins them in this order. What they print is told apart by their names.
    pub(crate) fn run_beside(&mut self, programs: Vec<(String, Command)>, at_once: usize) {
        let wanted: Vec<_> = programs.into_iter().filter(|(name, _)| self.is_wanted(name)).collect();
        let order: Vec<String> = wanted.iter().map(|(name, _)| name.clone()).collect();
        let waiting = Mutex::new(wanted.into_iter());
        let next = || waiting.lock().ok().and_then(|mut waiting| waiting.next());
        let lane = || {
            let mut lines = Vec::new();
            while let Some((name, mut command)) = next() {
                lines.push(Line::of(&name, |tally| stream_labelled(&mut command, tally, &name)));
            }
            lines
        };
        let mut lines: Vec<Line> = thread::scope(|scope| {
            let lanes: Vec<_> = (0..at_once.max(1)).map(|_| scope.spawn(lane)).collect();
            lanes
                .into_iter()
                .flat_map(|lane| lane.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        });
        lines.sort_by_key(|line| order.iter().position(|name| *name == line.name));
        self.lines.append(&mut lines);
    }

    /// Runs a test that is written here; an error is its failure.
    pub(crate) fn check(&mut self, name: &str, test: impl FnOnce() -> Result<()>) {
        self.judge(name, |_| test().map(|()| true));
    }

    fn judge(&mut self, name: &str, run: impl FnOnce(&mut Tally) -> Result<bool>) {
        if self.is_wanted(name) {
            self.lines.push(Line::of(name, run));
        }
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
        println!("{:<widest$}  {:<8}{:>7.1} s", "all", "", self.begin.elapsed().as_secs_f64());
        for (ending, names) in [("skipped", &all.skipped_names), ("FAILED", &all.failed_names)] {
            for name in names.iter().take(NAMED_MAX) {
                println!("{ending}: {name}");
            }
        }
        println!("\n{} passed, {} failed, {} skipped", all.passed, all.failed, all.skipped);
        all.failed == 0 && all.passed > 0
    }
}

/// Passes stdout on and counts; stderr goes where ours goes. Whether it passed.
fn stream(command: &mut Command, tally: &mut Tally) -> Result<bool> {
    stream_to(command.stderr(Stdio::inherit()), tally, "")
}

/// The same beside others: both outputs go to ours, each line after a label.
fn stream_labelled(command: &mut Command, tally: &mut Tally, name: &str) -> Result<bool> {
    stream_to(command.stderr(Stdio::piped()), tally, &format!("{name} | "))
}

fn stream_to(command: &mut Command, tally: &mut Tally, label: &str) -> Result<bool> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        if let Some(stderr) = stderr {
            scope.spawn(|| each_line(stderr, |line| print!("{label}{line}")));
        }
        stdout.map_or(Ok(()), |stdout| {
            each_line(stdout, |line| {
                print!("{label}{line}");
                tally.read(line.trim_end());
            })
        })
    })?;
    Ok(child.wait()?.success() && tally.failed == 0)
}

/// Lines with their ends; what is no UTF-8 in them is replaced.
fn each_line(from: impl Read, mut then: impl FnMut(&str)) -> std::io::Result<()> {
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        then(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(())
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
        let mut steps = Steps::new(None);
        steps.run("a", &mut shell("true"));
        assert!(steps.finish());
        assert_eq!(steps.lines.iter().map(|line| line.tally.passed).sum::<u64>(), 1);
    }

    #[test]
    fn a_failed_program_fails_everything() {
        let mut steps = Steps::new(None);
        steps.run("a", &mut shell("true"));
        steps.run("b", &mut shell("echo 7 passed, 0 failed; exit 1"));
        assert!(!steps.finish());
    }

    #[test]
    fn a_reported_failure_counts_whatever_the_status() {
        let mut steps = Steps::new(None);
        steps.run("a", &mut shell("echo 7 passed, 1 failed"));
        assert!(!steps.finish());
    }

    #[test]
    fn programs_beside_each_other_meet_and_are_listed_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        // Each waits for the other: one after the other they would never end well.
        let meet = |mine: &str, other: &str| {
            let mut command = shell(&format!(
                "touch {mine}; for n in $(seq 100); do [ -e {other} ] && echo 3 passed, 0 failed && exit 0; sleep 0.1; done; exit 1"
            ));
            command.current_dir(folder.path());
            command
        };
        let mut steps = Steps::new(None);
        let programs =
            vec![("b".into(), meet("b", "a")), ("a".into(), meet("a", "b")), ("c".into(), shell("exit 1"))];
        steps.run_beside(programs, 2);
        let endings: Vec<_> = steps.lines.iter().map(|line| (line.name.as_str(), line.ending)).collect();
        assert_eq!(endings, [("b", Ending::Passed), ("a", Ending::Passed), ("c", Ending::Failed)]);
        assert_eq!(steps.lines.iter().map(|line| line.tally.passed).sum::<u64>(), 6);
        assert!(!steps.finish());
    }

    #[test]
    fn nothing_but_skips_is_no_success() {
        let mut steps = Steps::new(None);
        steps.skip("a", "there is none");
        assert!(!steps.finish());
    }
}
