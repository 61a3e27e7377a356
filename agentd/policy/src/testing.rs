//! Runs the packs' own tests: every rule `test_…` in a `_test.rego` file must be true.
//!
//! Coverage counts lines that an evaluation touched, over the packs and not over the tests.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use regorus::Engine;
use serde::Serialize;
use serde_json::Value;

use crate::engine::{self, Contents, TEST_SUFFIX};
use crate::error::PolicyErrors;
use crate::files::{PolicyFiles, Version};
use crate::outline::Outline;

/// How a rule of a test file begins to be a test.
const TEST_PREFIX: &str = "test_";

/// Outcome of all tests of a policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Which policy.
    pub version: Version,
    /// In the order of files and lines.
    pub tests: Vec<Test>,
    /// Per file of the packs.
    pub coverage: Vec<Coverage>,
}

/// One test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Test {
    /// `<package>.<rule>`.
    pub name: String,
    /// File as the user named it.
    pub file: PathBuf,
    /// Its first line.
    pub line: u32,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took.
    pub duration_us: u64,
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "outcome", content = "message")]
pub enum Outcome {
    /// True.
    Passed,
    /// Anything but true, as Rego or `undefined`.
    Failed(String),
    /// Could not be evaluated; with file and line.
    Error(String),
}

/// Lines of one file that the tests touched.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coverage {
    /// File as the user named it.
    pub file: PathBuf,
    /// Lines that can be evaluated and were.
    pub covered: usize,
    /// Lines that can be evaluated.
    pub lines: usize,
    /// Lines that were not.
    pub missed: Vec<u32>,
}

impl Report {
    /// A policy is good when it has tests and all of them pass.
    pub fn passed(&self) -> bool {
        !self.tests.is_empty() && self.tests.iter().all(|test| test.outcome == Outcome::Passed)
    }

    /// Tests that did not pass.
    pub fn failures(&self) -> impl Iterator<Item = &Test> {
        self.tests.iter().filter(|test| test.outcome != Outcome::Passed)
    }
}

impl Coverage {
    /// 0 to 100; a file without anything to evaluate is covered.
    pub fn percent(&self) -> f64 {
        match self.lines {
            0 => 100.0,
            // Lines of a file of at most 1 MiB: exact in a double.
            lines => 100.0 * self.covered as f64 / lines as f64,
        }
    }
}

/// Runs every test of a policy. A policy without tests gives a report that did not pass.
///
/// # Errors
/// When the files do not parse.
pub fn run(files: &PolicyFiles) -> Result<Report, PolicyErrors> {
    let mut engine = engine::parse(files, Contents::PacksAndTests)?;
    engine.set_enable_coverage(true);
    engine.set_input(regorus::Value::new_object());
    let mut tests = Vec::new();
    for (path, source) in files.iter().filter(|(path, _)| path.ends_with(TEST_SUFFIX)) {
        let outline = Outline::of(source);
        let package = outline.package.as_ref().map_or("", |(name, _)| name.as_str());
        let mut seen = BTreeSet::new();
        for head in outline.heads.iter().filter(|head| head.name.starts_with(TEST_PREFIX)) {
            if seen.insert(&head.name) {
                tests.push(run_one(&mut engine, files, path, &format!("{package}.{}", head.name), head.line));
            }
        }
    }
    let coverage = coverage(&engine, files)?;
    Ok(Report { version: files.version(), tests, coverage })
}

fn run_one(engine: &mut Engine, files: &PolicyFiles, path: &str, name: &str, line: u32) -> Test {
    let started = Instant::now();
    let outcome = match engine::value(engine, &format!("data.{name}")) {
        Ok(Some(Value::Bool(true))) => Outcome::Passed,
        Ok(Some(value)) => Outcome::Failed(value.to_string()),
        Ok(None) => Outcome::Failed("undefined".to_owned()),
        Err(text) => Outcome::Error(engine::located(files, &text, path, line).to_string()),
    };
    Test {
        name: name.to_owned(),
        file: files.shown(path),
        line,
        outcome,
        duration_us: micros(started.elapsed()),
    }
}

/// Files that no test touched do not appear in the engine's report: they count as missed at each rule.
fn coverage(engine: &Engine, files: &PolicyFiles) -> Result<Vec<Coverage>, PolicyErrors> {
    let report =
        engine.get_coverage_report().map_err(|error| engine::located(files, &error.to_string(), "", 0))?;
    let packs = files.iter().filter(|(path, _)| path.ends_with(".rego") && !path.ends_with(TEST_SUFFIX));
    let of_file = |(path, source): (&str, &str)| {
        let (covered, missed) = match report.files.iter().find(|file| file.path == path) {
            Some(file) => (file.covered.len(), file.not_covered.iter().copied().collect()),
            None => (0, Outline::of(source).heads.iter().map(|head| head.line).collect::<Vec<_>>()),
        };
        Coverage { file: files.shown(path), covered, lines: covered + missed.len(), missed }
    };
    Ok(packs.map(of_file).collect())
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const PACK: &str = "package agentguard.a
import rego.v1
guardrails contains {\"id\": \"x\"} if {
	input.agent.tier > 2
}
deny contains {\"id\": \"y\"} if {
	input.request.port == 25
}
";

    fn report(test: &str) -> Report {
        let files = [("a/a.rego", PACK), ("a/a_test.rego", test)];
        let files = files.map(|(path, content)| (path.to_owned(), content.to_owned()));
        run(&PolicyFiles::from_contents(Path::new("p"), files).unwrap()).unwrap()
    }

    #[test]
    fn a_policy_without_tests_did_not_pass() {
        let report = report("package agentguard.a_test");
        assert!(report.tests.is_empty() && !report.passed());
        assert!(report.coverage.iter().all(|file| file.covered == 0 && file.lines > 0));
    }

    #[test]
    fn each_test_passes_fails_or_errs_on_its_own() {
        let report = report(
            "package agentguard.a_test
import rego.v1
import data.agentguard.a
test_passes if count(a.guardrails) == 1 with input as {\"agent\": {\"tier\": 3}}
test_is_undefined if count(a.guardrails) == 1 with input as {\"agent\": {\"tier\": 1}}
test_is_not_true := 3
test_errs if regex.match(\"(\", \"a\")
helper if false
",
        );
        let outcomes: Vec<_> = report.tests.iter().map(|test| (test.line, &test.outcome)).collect();
        assert!(matches!(outcomes.first(), Some((4, Outcome::Passed))), "{outcomes:?}");
        assert_eq!(outcomes.get(1), Some(&(5, &Outcome::Failed("undefined".to_owned()))));
        assert_eq!(outcomes.get(2), Some(&(6, &Outcome::Failed("3".to_owned()))));
        let error = "p/a/a_test.rego:7:";
        assert!(matches!(outcomes.get(3), Some((7, Outcome::Error(text))) if text.starts_with(error)));
        assert_eq!(outcomes.len(), 4);
        assert!(!report.passed());
        assert_eq!(report.failures().count(), 3);
    }

    #[test]
    fn coverage_names_the_lines_that_no_test_touched() {
        let report = report(
            "package agentguard.a_test
test_one if count(data.agentguard.a.guardrails) == 1 with input as {\"agent\": {\"tier\": 3}}
",
        );
        let [file] = report.coverage.as_slice() else { panic!("{:?}", report.coverage) };
        assert_eq!(file.missed, [6, 7]);
        assert!((file.percent() - 50.0).abs() < 0.1);
        assert!(serde_json::to_string(&report).unwrap().contains("\"outcome\":\"passed\""));
    }
}
