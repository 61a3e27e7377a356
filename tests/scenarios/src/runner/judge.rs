//! What came of a scenario against what must come of it.

use agentguard_core::record::Record;
use agentguard_core::verdict::Verdict;

use crate::expect::{Protected, RecordPattern, Status};
use crate::runner::agent::Agent;
use crate::runner::place::{Place, SECRET};
use crate::runner::process::{Ended, Limit};
use crate::runner::snapshot::{self, Snapshot};
use crate::scenario::{Scenario, State};

/// At most so many records are told when one is missing.
const TOLD_RECORDS: usize = 6;

/// All that is known afterwards.
pub(crate) struct Evidence<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) place: &'a Place,
    pub(crate) agent: &'a Agent<'a>,
    pub(crate) ended: &'a Ended,
    pub(crate) before: &'a Snapshot,
    pub(crate) record_limit_sec: u64,
}

impl Evidence<'_> {
    /// The first thing that is not as expected.
    pub(crate) fn judge(&self) -> Result<(), String> {
        self.status()?;
        self.output()?;
        self.protected()?;
        self.records()?;
        self.absent()
    }

    fn status(&self) -> Result<(), String> {
        let wanted = self.scenario.expect.status;
        if wanted.fits(self.ended.code, &self.ended.both()) {
            return Ok(());
        }
        Err(format!(
            "the trigger should be {wanted:?} and ended with {}{}",
            self.ended.describe(),
            self.denials()
        ))
    }

    /// What was denied, for who must find out why something failed.
    fn denials(&self) -> String {
        let records = self.agent.records().unwrap_or_default();
        let denied: Vec<_> =
            records.iter().filter(|record| record.decision.verdict == Verdict::Deny).collect();
        if denied.is_empty() { String::new() } else { format!("; denied: {}", tell(&denied)) }
    }

    fn output(&self) -> Result<(), String> {
        let expect = &self.scenario.expect;
        let said = self.ended.both();
        let told = || self.ended.describe();
        if let Some(text) =
            expect.stdout.iter().find(|text| !said.contains(self.place.replace(text).as_str()))
        {
            return Err(format!("the trigger did not say '{text}': {}", told()));
        }
        if let Some(text) = expect.stdout_lacks.iter().find(|text| said.contains(text.as_str())) {
            return Err(format!("the trigger said '{text}': {}", told()));
        }
        let closed = self.scenario.state == State::Closed && !self.scenario.observe;
        let is_granted = expect.status == Status::Ok || expect.stdout.iter().any(|text| text == SECRET);
        if closed && !is_granted && said.contains(SECRET) {
            return Err(format!("the secret got out: {}", told()));
        }
        Ok(())
    }

    fn protected(&self) -> Result<(), String> {
        if self.scenario.expect.protected == Protected::Any {
            return Ok(());
        }
        let now =
            snapshot::take(&self.place.protected).map_err(|error| format!("protected files: {error}"))?;
        match snapshot::difference(self.before, &now) {
            None => Ok(()),
            Some(difference) => Err(format!("the protected files changed: {difference}")),
        }
    }

    fn records(&self) -> Result<(), String> {
        let wanted: Vec<_> = self.patterns(&self.scenario.expect.records);
        let deadline = Limit::from_secs(self.record_limit_sec).deadline();
        loop {
            let records = if wanted.is_empty() { Vec::new() } else { self.agent.records()? };
            let missing = wanted.iter().find(|pattern| !records.iter().any(|record| pattern.matches(record)));
            let Some(missing) = missing else { return Ok(()) };
            if let Err(late) = deadline.pause() {
                let interesting: Vec<_> =
                    records.iter().filter(|record| record.decision.verdict != Verdict::Allow).collect();
                return Err(format!("no record like {missing}, {late}; there are: {}", tell(&interesting)));
            }
        }
    }

    fn absent(&self) -> Result<(), String> {
        let unwanted = self.patterns(&self.scenario.expect.absent);
        if unwanted.is_empty() {
            return Ok(());
        }
        let records = self.agent.everybodys_records()?;
        match records.iter().find(|record| unwanted.iter().any(|pattern| pattern.matches(record))) {
            Some(record) => Err(format!("there should be no such record: {}", tell(&[record]))),
            None => Ok(()),
        }
    }

    fn patterns(&self, patterns: &[RecordPattern]) -> Vec<RecordPattern> {
        patterns.iter().map(|pattern| pattern.map_text(|text| self.place.replace(text))).collect()
    }
}

/// The newest few records, each in a few words.
fn tell(records: &[&Record]) -> String {
    let words = |record: &&Record| {
        let decision = &record.decision;
        format!(
            "{} {} {} by {} ({})",
            serde_json::to_string(&decision.verdict).unwrap_or_default(),
            record.call,
            serde_json::to_string(&record.object).unwrap_or_default(),
            decision.rule.as_deref().unwrap_or("default"),
            serde_json::to_string(&decision.reason).unwrap_or_default(),
        )
    };
    if records.is_empty() {
        return "none".to_owned();
    }
    let skipped = records.len().saturating_sub(TOLD_RECORDS);
    records.iter().skip(skipped).map(words).collect::<Vec<_>>().join("; ")
}
