//! Decide: turns the kernel's answer into a decision in words, and asks policy for a second look.
//!
//! The verdict is the kernel's and is never changed here. Knows no socket, no store and no clock.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod findings;
pub mod inputs;

use std::sync::Arc;

use agentguard_core::record::{Decision, Record};
use agentguard_core::verdict::{Layer, Reason, Verdict};

use crate::agents::directory::InForce;
use crate::enrich::{Known, ProcessChange};
use crate::export::metrics::EventCounters;
use crate::pipeline::Counts;
use crate::policy::InUse;
use crate::sense::event::{HoldMark, Ruling};
use findings::Findings;

/// A record and what it says about processes.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The record; it has no number and no incident id yet.
    pub record: Record,
    /// For the table of processes.
    pub changes: Vec<ProcessChange>,
    /// The request waits in the kernel.
    pub waiting: Option<Waiting>,
}

/// A request that waits in the kernel for an answer.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The kernel's number of it.
    pub mark: HoldMark,
    /// The rules that say hold, if they are still known.
    pub rules: Option<Arc<InForce>>,
    /// Their generation.
    pub generation: u32,
    /// What they say: `hold` or `evaluate`.
    pub verdict: Verdict,
}

/// The stage.
pub struct Decide {
    findings: Findings,
}

impl Decide {
    /// With the policy that answers for findings.
    pub fn new(policy: Arc<InUse>, counts: Arc<Counts>, counters: Arc<EventCounters>) -> Self {
        Self { findings: Findings::new(policy, counts, counters) }
    }

    /// One batch.
    pub fn decide(&mut self, batch: Vec<Known>) -> Vec<Decided> {
        batch.into_iter().map(|known| self.one(known)).collect()
    }

    fn one(&mut self, known: Known) -> Decided {
        let decision = match known.operation {
            Some(_) => decision(&known.ruling, known.rules.as_deref()),
            None => nothing_decided(),
        };
        let mut record = Record {
            seq: 0,
            time_ns: known.time_ns,
            incident: None,
            agent: known.agent,
            process: known.process,
            call: known.call.to_owned(),
            operation: known.operation,
            object: known.object,
            decision,
            findings: Vec::new(),
        };
        // What waits is put to policy anyway.
        if let (Some(rules), None) = (&known.rules, &known.hold) {
            record.findings = self.findings.of(&record, rules);
        }
        let (generation, verdict) = (known.generation, known.ruling.answer.verdict);
        let waiting = known.hold.map(|mark| Waiting { mark, rules: known.rules, generation, verdict });
        Decided { record, changes: known.changes, waiting }
    }
}

/// The kernel's answer in the words of the rules that it refers to.
pub fn decision(ruling: &Ruling, rules: Option<&InForce>) -> Decision {
    let rule = rules.and_then(|rules| rules.rule(ruling.answer.rule.0));
    let message = match (ruling.reason, rule) {
        (Reason::Rule | Reason::Elsewhere | Reason::ResolvedName, Some(rule)) => rule.reason.clone(),
        (Reason::Rule, None) => match ruling.answer.layer {
            Layer::Default => default_message().to_owned(),
            Layer::Grant | Layer::Guardrail => {
                format!("rule {} of a generation that is not known any more", ruling.answer.rule.0)
            }
        },
        (reason, _) => reason_message(reason).to_owned(),
    };
    Decision {
        verdict: ruling.verdict,
        enforced: ruling.enforced,
        reason: ruling.reason,
        layer: ruling.answer.layer,
        rule: rule.map(|rule| rule.id.clone()),
        message,
        severity: rule.and_then(|rule| rule.severity),
        source: rule.map(|rule| rule.source.clone()),
        version: rules.map_or_else(String::new, |rules| rules.version.clone()),
    }
}

/// The decision of a plain event: nothing was asked.
pub fn nothing_decided() -> Decision {
    Decision {
        verdict: Verdict::Allow,
        enforced: false,
        reason: Reason::Default,
        layer: Layer::Default,
        rule: None,
        message: String::new(),
        severity: None,
        source: None,
        version: String::new(),
    }
}

fn default_message() -> &'static str {
    "no rule matches; the spec's default decides"
}

fn reason_message(reason: Reason) -> &'static str {
    match reason {
        Reason::Rule => "",
        Reason::Default => default_message(),
        Reason::Unresolved => "the path of the object could not be told",
        Reason::TooLong => "the path is longer than the kernel's limit",
        Reason::NoMemory => "a kernel table was full",
        Reason::NoRules => "the agent's rules are not in the kernel",
        Reason::Identity => "the executable is not the one whose hash was approved",
        Reason::Elsewhere => "the object's path on the host is denied",
        Reason::ResolvedName => "a granted name resolved to this address",
        Reason::Protected => "nobody may touch agentd",
        Reason::Answered => "policy or a person answered a request that was the same",
        Reason::CannotHold => "the rule says hold, and this call can not wait",
        Reason::Changed => "the command line is not the one that was answered",
    }
}

#[cfg(test)]
mod tests;
