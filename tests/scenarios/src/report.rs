//! What became of the scenarios, for people and as JSON.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::scenario::{Group, Scenario};

/// What became of one scenario.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// All came as expected.
    Passed,
    /// Something did not.
    Failed {
        /// What.
        why: String,
    },
    /// The way around works, as the scenario says; no success.
    Open,
    /// The host lacks something.
    Skipped {
        /// What.
        missing: String,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed { why } => write!(f, "failed: {why}"),
            Self::Open => f.write_str("open"),
            Self::Skipped { missing } => write!(f, "skipped: {missing}"),
        }
    }
}

/// One scenario and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Result {
    /// `F1a`.
    pub id: String,
    /// `F1`.
    pub row: String,
    /// Group.
    pub group: Group,
    /// One sentence.
    pub title: String,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took.
    pub elapsed_ms: u64,
}

impl Result {
    /// The result of a scenario.
    pub fn new(scenario: &Scenario, outcome: Outcome, elapsed_ms: u64) -> Self {
        Self {
            id: scenario.id.clone(),
            row: scenario.row.clone(),
            group: scenario.group,
            title: scenario.title.clone(),
            outcome,
            elapsed_ms,
        }
    }
}

/// How many became what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Open, as they say.
    pub open: usize,
    /// Skipped.
    pub skipped: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, open, skipped } = self;
        write!(f, "{passed} passed, {failed} failed, {open} open, {skipped} skipped")
    }
}

/// A whole run. Its `Display` is the summary line.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// In the order in which they ran.
    pub results: Vec<Result>,
    /// Counts.
    pub summary: Summary,
}

impl Report {
    /// Adds a result.
    pub fn add(&mut self, result: Result) {
        let count = match result.outcome {
            Outcome::Passed => &mut self.summary.passed,
            Outcome::Failed { .. } => &mut self.summary.failed,
            Outcome::Open => &mut self.summary.open,
            Outcome::Skipped { .. } => &mut self.summary.skipped,
        };
        *count += 1;
        self.results.push(result);
    }

    /// Nothing failed, and something was tried: a run that skipped everything proves nothing.
    pub fn is_success(&self) -> bool {
        self.summary.failed == 0 && self.summary.passed + self.summary.open > 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.summary.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: &[Outcome]) -> Report {
        let mut report = Report::default();
        for outcome in outcomes {
            report.add(Result {
                id: "F1a".to_owned(),
                row: "F1".to_owned(),
                group: Group::Files,
                title: String::new(),
                outcome: outcome.clone(),
                elapsed_ms: 0,
            });
        }
        report
    }

    #[test]
    fn a_run_that_skipped_everything_is_no_success() {
        let skipped = Outcome::Skipped { missing: "root".to_owned() };
        assert!(!report(&[]).is_success());
        assert!(!report(std::slice::from_ref(&skipped)).is_success());
        assert!(report(&[skipped, Outcome::Passed]).is_success());
    }

    #[test]
    fn one_failure_is_no_success_and_is_counted() {
        let report = report(&[Outcome::Passed, Outcome::Open, Outcome::Failed { why: "x".to_owned() }]);
        assert!(!report.is_success());
        assert_eq!(report.to_string(), "1 passed, 1 failed, 1 open, 0 skipped");
    }
}
