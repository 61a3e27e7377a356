//! From measured lines to figures: ratios of one round to the same round of another arm, their median and spread.
//!
//! Knows no VM and writes no tables.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) kernel: String,
    pub(crate) arms: Vec<Measured>,
    pub(crate) programs: Vec<Share>,
    pub(crate) pipeline: Vec<Kept>,
    pub(crate) memory: Vec<Resident>,
}

/// One operation in one round of one arm.
#[derive(Debug, Deserialize)]
pub(crate) struct Measured {
    pub(crate) op: String,
    pub(crate) arm: String,
    pub(crate) round: u32,
    pub(crate) ns: u64,
}

/// Time in one kernel program during one operation.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Share {
    pub(crate) load: String,
    pub(crate) during: String,
    pub(crate) program: String,
    pub(crate) runs: u64,
    pub(crate) program_ns: u64,
    pub(crate) operations: u64,
}

/// The pipeline at one rate.
#[derive(Debug, Deserialize)]
pub(crate) struct Kept {
    pub(crate) rate: u64,
    pub(crate) seconds: f64,
    pub(crate) emitted: u64,
    pub(crate) lost_in_ring: u64,
    pub(crate) lost_later: u64,
    pub(crate) sums: u64,
    pub(crate) recorded: u64,
    pub(crate) cpu_ms: u64,
}

impl Kept {
    /// Every event is recorded or counted as lost. Sums that are lost are counted too, but not as sums: where
    /// something was lost they may be left over.
    pub(crate) fn adds_up(&self) -> bool {
        let (came, went) = (self.emitted + self.sums, self.recorded + self.lost_later);
        came == went || (self.lost_later > 0 && came < went)
    }

    /// What is left over.
    pub(crate) fn left_over(&self) -> i128 {
        let (came, went) = (self.emitted + self.sums, self.recorded + self.lost_later);
        i128::from(went) - i128::from(came)
    }
}

/// agentd's memory with so many agents.
#[derive(Debug, Deserialize)]
pub(crate) struct Resident {
    pub(crate) agents: u32,
    pub(crate) rss_kib: u64,
    pub(crate) anonymous_kib: u64,
    pub(crate) file_kib: u64,
    pub(crate) shared_kib: u64,
    pub(crate) largest: Vec<(String, u64)>,
}

/// A ratio over all rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    pub(crate) rounds: usize,
}

impl Results {
    /// Reads the lines of each part; a part that was never measured is empty.
    pub(crate) fn read(
        kernel: String,
        arms: &str,
        programs: &str,
        pipeline: &str,
        memory: &str,
    ) -> Result<Self> {
        Ok(Self {
            kernel,
            arms: lines(arms).context("arms")?,
            programs: lines(programs).unwrap_or_default(),
            pipeline: lines(pipeline).context("pipeline")?,
            memory: lines(memory).context("memory")?,
        })
    }

    /// Operations in the order in which they were measured.
    pub(crate) fn operations(&self) -> Vec<&str> {
        let mut all: Vec<&str> = Vec::new();
        for measured in &self.arms {
            if !all.contains(&measured.op.as_str()) {
                all.push(&measured.op);
            }
        }
        all
    }

    /// How much longer `op` takes in one arm than in another, round by round.
    pub(crate) fn ratio(&self, op: &str, arm: &str, to: &str) -> Option<Ratio> {
        let (over, under) = (self.rounds(op, arm), self.rounds(op, to));
        let ratios = over.iter().filter_map(|(round, ns)| Some(ns / under.get(round)?)).collect();
        Ratio::of(ratios)
    }

    /// Median nanoseconds of an operation.
    pub(crate) fn typical_ns(&self, op: &str, arm: &str) -> Option<f64> {
        Ratio::of(self.rounds(op, arm).into_values().collect()).map(|all| all.median)
    }

    #[allow(clippy::cast_precision_loss)] // nanoseconds of an operation are far below 2^53
    fn rounds(&self, op: &str, arm: &str) -> BTreeMap<u32, f64> {
        let of = self.arms.iter().filter(|measured| measured.op == op && measured.arm == arm);
        of.map(|measured| (measured.round, measured.ns as f64)).collect()
    }

    /// The programs that take most of an operation, most first, with nanoseconds per operation.
    pub(crate) fn top_programs(&self, load: &str, during: &str, count: usize) -> Vec<&Share> {
        let mut of: Vec<_> =
            self.programs.iter().filter(|share| share.load == load && share.during == during).collect();
        of.sort_by_key(|share| std::cmp::Reverse(share.program_ns));
        of.truncate(count);
        of
    }
}

impl Ratio {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let rounds = values.len();
        let middle = *values.get(rounds / 2)?;
        let below = *values.get((rounds - 1) / 2)?;
        let median = f64::midpoint(below, middle);
        Some(Self { median, least: *values.first()?, most: *values.last()?, rounds })
    }
}

/// Lines of JSON; lines of something else are what the measuring said beside.
fn lines<T: DeserializeOwned>(text: &str) -> Result<Vec<T>> {
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(arms: &str) -> Results {
        Results::read("6.1".into(), arms, "", "", "").unwrap()
    }

    #[test]
    fn compares_a_round_only_with_the_same_round() {
        let results = results(
            "{\"op\":\"stat\",\"arm\":\"none\",\"round\":0,\"ns\":100}\n\
             {\"op\":\"stat\",\"arm\":\"none\",\"round\":1,\"ns\":200}\n\
             {\"op\":\"stat\",\"arm\":\"loaded\",\"round\":0,\"ns\":110}\n\
             {\"op\":\"stat\",\"arm\":\"loaded\",\"round\":1,\"ns\":200}\n\
             {\"op\":\"stat\",\"arm\":\"loaded\",\"round\":7,\"ns\":900}\n",
        );
        let ratio = results.ratio("stat", "loaded", "none").unwrap();
        assert!((ratio.median - 1.05).abs() < 1e-9);
        assert_eq!((ratio.least, ratio.most, ratio.rounds), (1.0, 1.1, 2));
    }

    #[test]
    fn an_arm_that_was_not_measured_has_no_ratio() {
        assert_eq!(results("").ratio("stat", "loaded", "none"), None);
    }
}
