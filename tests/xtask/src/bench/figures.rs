//! From measured lines to figures: ratios of two arms, and their spread.
//!
//! Knows no VM and writes no tables.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Part;

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) kernel: String,
    pub(crate) arms: Arms,
    pub(crate) held: Arms,
    pub(crate) stages: Vec<Stage>,
    pub(crate) programs: Vec<Share>,
    pub(crate) pipeline: Vec<Kept>,
    pub(crate) memory: Vec<Resident>,
    pub(crate) revalidation: Vec<Revalidated>,
}

/// Operations in arms that differ in what governs them.
#[derive(Debug)]
pub(crate) struct Arms(Vec<Measured>);

/// One operation in one round of one arm. Which round it was does not matter.
#[derive(Debug, Deserialize)]
pub(crate) struct Measured {
    pub(crate) op: String,
    pub(crate) arm: String,
    pub(crate) ns: u64,
}

/// Time in one part of the way of a held request.
#[derive(Debug, Deserialize)]
pub(crate) struct Stage {
    pub(crate) op: String,
    pub(crate) stage: String,
    pub(crate) requests: u64,
    pub(crate) ns: u64,
}

/// A line of the part `held`.
#[derive(Deserialize)]
#[serde(untagged)]
enum HeldLine {
    Stage(Stage),
    Measured(Measured),
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

/// Another policy with so many promoted agents.
#[derive(Debug, Deserialize)]
pub(crate) struct Revalidated {
    pub(crate) agents: u32,
    pub(crate) took_ms: Vec<u64>,
}

impl Revalidated {
    /// Of the reloads; 0 if there was none.
    pub(crate) fn median(&self) -> u64 {
        let mut sorted = self.took_ms.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
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
    pub(crate) fn read(kernel: String, text: impl Fn(Part) -> String) -> Result<Self> {
        let (mut held, mut stages) = (Vec::new(), Vec::new());
        for line in lines(&text(Part::Held)).context("held")? {
            match line {
                HeldLine::Measured(measured) => held.push(measured),
                HeldLine::Stage(stage) => stages.push(stage),
            }
        }
        Ok(Self {
            kernel,
            arms: Arms(lines(&text(Part::Arms)).context("arms")?),
            held: Arms(held),
            stages,
            programs: lines(&text(Part::Programs)).context("programs")?,
            pipeline: lines(&text(Part::Pipeline)).context("pipeline")?,
            memory: lines(&text(Part::Memory)).context("memory")?,
            revalidation: lines(&text(Part::Revalidation)).context("revalidation")?,
        })
    }

    /// The programs that take most of an operation, most first, with nanoseconds per operation.
    pub(crate) fn top_programs(&self, load: &str, during: &str, count: usize) -> Vec<&Share> {
        let mut of: Vec<_> =
            self.programs.iter().filter(|share| share.load == load && share.during == during).collect();
        of.sort_by_key(|share| std::cmp::Reverse(share.program_ns));
        of.truncate(count);
        of
    }

    /// Mean nanoseconds of one part of the way of a held request.
    #[allow(clippy::cast_precision_loss)] // shown with one digit
    pub(crate) fn stage(&self, op: &str, stage: &str) -> Option<f64> {
        let of = self.stages.iter().filter(|one| one.op == op && one.stage == stage);
        let (ns, requests) = of.fold((0, 0), |(ns, all), one| (ns + one.ns, all + one.requests));
        (requests > 0).then(|| ns as f64 / requests as f64)
    }
}

impl Arms {
    /// Whether nothing was measured.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Operations in the order in which they were measured.
    pub(crate) fn operations(&self) -> Vec<&str> {
        let mut all: Vec<&str> = Vec::new();
        for measured in &self.0 {
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
            typical: quantile(&over, 50)? / quantile(&under, 50)?,
            least: quantile(&over, 25)? / quantile(&under, 75)?,
            most: quantile(&over, 75)? / quantile(&under, 25)?,
        })
    }

    /// Nanoseconds that so many percent of an operation's rounds stay below; 50 is the median.
    pub(crate) fn quantile_ns(&self, op: &str, arm: &str, percent: usize) -> Option<f64> {
        quantile(&self.rounds(op, arm), percent)
    }

    /// Nanoseconds of each round, sorted.
    fn rounds(&self, op: &str, arm: &str) -> Vec<f64> {
        let of = self.0.iter().filter(|measured| measured.op == op && measured.arm == arm);
        let mut rounds: Vec<f64> = of.map(|measured| measured.ns as f64).collect();
        rounds.sort_by(f64::total_cmp);
        rounds
    }
}

/// What so many percent of sorted values stay below; 50 is the median.
fn quantile(sorted: &[f64], percent: usize) -> Option<f64> {
    let last = sorted.len().checked_sub(1)? * percent;
    let at = |position: usize| sorted.get(position).copied();
    let (below, above) = (at(last / 100)?, at(last.div_ceil(100))?);
    Some(below + (above - below) * (last % 100) as f64 / 100.0)
}

/// Lines of JSON; lines of something else are what the measuring said beside.
fn lines<T: DeserializeOwned>(text: &str) -> Result<Vec<T>> {
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(part: Part, text: &str) -> Results {
        Results::read("6.1".into(), |of| if of == part { text.to_owned() } else { String::new() }).unwrap()
    }

    fn near(value: f64, wanted: f64) {
        assert!((value - wanted).abs() < 1e-9, "{value} is not {wanted}");
    }

    #[test]
    fn a_ratio_is_of_the_medians_and_has_a_spread() {
        let mut arms = String::new();
        for round in 0..9 {
            for (arm, ns) in [("none", 100), ("loaded", 106 + round)] {
                arms += &format!("{{\"op\":\"stat\",\"arm\":\"{arm}\",\"round\":{round},\"ns\":{ns}}}\n");
            }
        }
        let ratio = results(Part::Arms, &arms).arms.ratio("stat", "loaded", "none").unwrap();
        near(ratio.typical, 1.10);
        near(ratio.least, 1.08);
        near(ratio.most, 1.12);
    }

    #[test]
    fn an_arm_that_was_not_measured_has_no_ratio() {
        assert_eq!(results(Part::Arms, "").arms.ratio("stat", "loaded", "none"), None);
    }

    #[test]
    fn a_held_request_has_its_slowest_and_the_parts_of_its_way() {
        let mut held = String::new();
        for ns in 0..=100 {
            held += &format!("{{\"op\":\"open\",\"arm\":\"held\",\"round\":0,\"ns\":{ns}}}\n");
        }
        held += "{\"op\":\"open\",\"stage\":\"facts\",\"requests\":3,\"ns\":30}\n";
        held += "{\"op\":\"open\",\"stage\":\"facts\",\"requests\":1,\"ns\":50}\n";
        let results = results(Part::Held, &held);
        near(results.held.quantile_ns("open", "held", 50).unwrap(), 50.0);
        near(results.held.quantile_ns("open", "held", 99).unwrap(), 99.0);
        near(results.stage("open", "facts").unwrap(), 20.0);
        assert_eq!(results.stage("open", "policy"), None);
    }
}
