//! From measured lines to figures: ratios of the quickest rounds of two arms, and their spread.
//!
//! A virtual machine on a shared processor has more than one speed, and what disturbs only ever slows. So of each arm the
//! quickest quarter of its rounds counts. Knows no VM and writes no tables.

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

/// How many of the rounds count: one in so many, but never fewer than [`LEAST_ROUNDS`].
const QUICKEST: usize = 4;
const LEAST_ROUNDS: usize = 2;

/// A ratio of two arms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratio {
    /// Of the medians of both arms' quickest rounds.
    pub(crate) typical: f64,
    /// Of the quickest of one to the slowest of the other, and the other way round.
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

    /// How much longer `op` takes in one arm than in another.
    pub(crate) fn ratio(&self, op: &str, arm: &str, to: &str) -> Option<Ratio> {
        let (over, under) = (self.quickest(op, arm), self.quickest(op, to));
        Some(Ratio {
            typical: median(&over)? / median(&under)?,
            least: over.first()? / under.last()?,
            most: over.last()? / under.first()?,
        })
    }

    /// Nanoseconds of an operation in the quickest rounds.
    pub(crate) fn typical_ns(&self, op: &str, arm: &str) -> Option<f64> {
        median(&self.quickest(op, arm))
    }

    #[allow(clippy::cast_precision_loss)] // nanoseconds of an operation are far below 2^53
    fn quickest(&self, op: &str, arm: &str) -> Vec<f64> {
        let of = self.arms.iter().filter(|measured| measured.op == op && measured.arm == arm);
        let mut rounds: Vec<f64> = of.map(|measured| measured.ns as f64).collect();
        rounds.sort_by(f64::total_cmp);
        rounds.truncate(rounds.len().div_ceil(QUICKEST).max(LEAST_ROUNDS));
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

/// Of sorted values.
fn median(sorted: &[f64]) -> Option<f64> {
    let middle = *sorted.get(sorted.len() / 2)?;
    let below = *sorted.get((sorted.len() - 1) / 2)?;
    Some(f64::midpoint(below, middle))
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
    fn only_the_quickest_quarter_of_the_rounds_counts() {
        let mut arms = String::new();
        for round in 0..8 {
            let slowed = if round < 2 { 0 } else { 1000 };
            arms +=
                &format!("{{\"op\":\"stat\",\"arm\":\"none\",\"round\":{round},\"ns\":{}}}\n", 100 + slowed);
            arms += &format!(
                "{{\"op\":\"stat\",\"arm\":\"loaded\",\"round\":{round},\"ns\":{}}}\n",
                110 + round * 10 + slowed
            );
        }
        let ratio = results(&arms).ratio("stat", "loaded", "none").unwrap();
        assert!((ratio.typical - 1.15).abs() < 1e-9, "{ratio:?}");
        assert_eq!((ratio.least, ratio.most), (1.1, 1.2));
    }

    #[test]
    fn an_arm_that_was_not_measured_has_no_ratio() {
        assert_eq!(results("").ratio("stat", "loaded", "none"), None);
    }
}
