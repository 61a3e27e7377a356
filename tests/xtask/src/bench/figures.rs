//! From measured lines to figures: ratios of two arms, and their spread.
//!
//! Knows no VM and writes no tables.

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

/// One operation in one round of one arm. Which round it was does not matter.
#[derive(Debug, Deserialize)]
pub(crate) struct Measured {
    pub(crate) op: String,
    pub(crate) arm: String,
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

/// A ratio of two arms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratio {
    /// Of the medians.
    pub(crate) typical: f64,
    /// Of the lower quartile of one to the upper quartile of the other, and the other way round.
    pub(crate) least: f64,
    pub(crate) most: f64,
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
            programs: lines(programs).context("programs")?,
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

    /// How much longer `op` takes in one arm than in another.
    pub(crate) fn ratio(&self, op: &str, arm: &str, to: &str) -> Option<Ratio> {
        let (over, under) = (self.rounds(op, arm), self.rounds(op, to));
        Some(Ratio {
            typical: quantile(&over, 2)? / quantile(&under, 2)?,
            least: quantile(&over, 1)? / quantile(&under, 3)?,
            most: quantile(&over, 3)? / quantile(&under, 1)?,
        })
    }

    /// Nanoseconds of an operation.
    pub(crate) fn typical_ns(&self, op: &str, arm: &str) -> Option<f64> {
        quantile(&self.rounds(op, arm), 2)
    }

    /// Nanoseconds of each round, sorted.
    fn rounds(&self, op: &str, arm: &str) -> Vec<f64> {
        let of = self.arms.iter().filter(|measured| measured.op == op && measured.arm == arm);
        let mut rounds: Vec<f64> = of.map(|measured| measured.ns as f64).collect();
        rounds.sort_by(f64::total_cmp);
        rounds
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

/// The first, second or third quartile of sorted values; the second is the median.
fn quantile(sorted: &[f64], quarters: usize) -> Option<f64> {
    let last = sorted.len().checked_sub(1)? * quarters;
    let at = |position: usize| sorted.get(position).copied();
    let (below, above) = (at(last / 4)?, at(last.div_ceil(4))?);
    Some(below + (above - below) * (last % 4) as f64 / 4.0)
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
    fn a_ratio_is_of_the_medians_and_has_a_spread() {
        let mut arms = String::new();
        for round in 0..9 {
            for (arm, ns) in [("none", 100), ("loaded", 106 + round)] {
                arms += &format!("{{\"op\":\"stat\",\"arm\":\"{arm}\",\"round\":{round},\"ns\":{ns}}}\n");
            }
        }
        let ratio = results(&arms).ratio("stat", "loaded", "none").unwrap();
        let near = |value: f64, wanted: f64| assert!((value - wanted).abs() < 1e-9, "{ratio:?}");
        near(ratio.typical, 1.10);
        near(ratio.least, 1.08);
        near(ratio.most, 1.12);
    }

    #[test]
    fn an_arm_that_was_not_measured_has_no_ratio() {
        assert_eq!(results("").ratio("stat", "loaded", "none"), None);
    }
}
