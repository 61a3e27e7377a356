//! Decisions of the kernel in the audit log: what was denied, held, or marked for audit, each by itself, up to a limit per
//! minute; what is more is summed up. What was simply allowed is in the store.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use agentguard_audit::{Code, Entry, codes};
use agentguard_core::ids::AgentName;
use agentguard_core::record::Record;
use agentguard_core::verdict::Verdict;
use serde_json::json;

use super::Audit;

/// Records of one agent and minute that are written one by one. They are kept for years: an agent that asks for what is
/// denied all day long adds some sixty megabytes.
const MOST_PER_MINUTE: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);

/// A minute, of one agent.
#[derive(Debug, Clone, Copy, Default)]
struct Minute {
    written: u32,
    denied: u64,
    held: u64,
    audited: u64,
    first_seq: u64,
    last_seq: u64,
}

/// Writes decisions down as they are recorded.
pub struct Decisions {
    audit: Audit,
    since: Instant,
    by_agent: BTreeMap<AgentName, Minute>,
}

impl Decisions {
    /// Into this log.
    pub fn new(audit: Audit) -> Self {
        Self { audit, since: Instant::now(), by_agent: BTreeMap::new() }
    }

    /// Records that were stored.
    pub fn write(&mut self, batch: &[Record]) {
        if self.since.elapsed() >= MINUTE {
            self.sum_up();
        }
        for record in batch {
            let Some(code) = code(record.decision.verdict) else { continue };
            let minute = self.by_agent.entry(record.agent.clone()).or_default();
            if minute.written < MOST_PER_MINUTE {
                minute.written += 1;
                self.audit.note(entry(code, record));
            } else {
                minute.add(record);
            }
        }
    }

    fn sum_up(&mut self) {
        self.since = Instant::now();
        for (agent, minute) in std::mem::take(&mut self.by_agent) {
            if minute.denied + minute.held + minute.audited > 0 {
                self.audit.note(Entry::new(codes::DECISION_SUMMARY, "kernel").agent(agent.0).detail(json!({
                    "denied": minute.denied,
                    "held": minute.held,
                    "audited": minute.audited,
                    "first_record": minute.first_seq,
                    "last_record": minute.last_seq,
                })));
            }
        }
    }
}

impl Drop for Decisions {
    fn drop(&mut self) {
        self.sum_up();
    }
}

impl Minute {
    fn add(&mut self, record: &Record) {
        match record.decision.verdict {
            Verdict::Deny => self.denied += 1,
            Verdict::Hold | Verdict::Evaluate => self.held += 1,
            Verdict::Audit => self.audited += 1,
            Verdict::Allow => {}
        }
        if self.first_seq == 0 {
            self.first_seq = record.seq;
        }
        self.last_seq = record.seq;
    }
}

const fn code(verdict: Verdict) -> Option<Code> {
    match verdict {
        Verdict::Deny => Some(codes::DECISION_DENY),
        Verdict::Hold | Verdict::Evaluate => Some(codes::DECISION_HOLD),
        Verdict::Audit => Some(codes::DECISION_AUDIT),
        Verdict::Allow => None,
    }
}

fn entry(code: Code, record: &Record) -> Entry {
    let decision = &record.decision;
    Entry::new(code, "kernel").agent(record.agent.0.clone()).detail(json!({
        "record": record.seq,
        "incident": record.incident,
        "call": record.call,
        "operation": record.operation,
        "object": record.object,
        "pid": record.process.pid,
        "uid": record.process.uid,
        "exe": record.process.exe,
        "enforced": decision.enforced,
        "reason": decision.reason,
        "rule": decision.rule,
        "version": decision.version,
    }))
}

#[cfg(test)]
mod tests {
    use agentguard_audit::read::{Filter, Records};
    use agentguard_audit::{AuditRecord, Options};
    use agentguard_governance::keys::{Algorithm, KeyRing};

    use super::*;
    use crate::testing::record;

    fn written(home: &std::path::Path) -> Vec<AuditRecord> {
        let records = Records::of(&home.join("audit"), Filter::default()).unwrap();
        records.map(Result::unwrap).filter(|record| record.code.starts_with("DECISION")).collect()
    }

    #[test]
    fn denials_are_written_one_by_one_and_floods_are_summed_up() {
        let home = tempfile::tempdir().unwrap();
        let keys = home.path().join("keys");
        KeyRing::open(&keys, None).generate(Algorithm::Ed25519, "host", "test", 1, false).unwrap();
        let audit = Audit::open(&home.path().join("audit"), &keys, Options::default());
        let mut decisions = Decisions::new(audit.clone());
        let flood: Vec<Record> = (1..=90)
            .map(|seq| Record { seq, ..record("/srv/secret/x", seq, Verdict::Deny) })
            .chain([record("/srv/x", 91, Verdict::Allow)])
            .collect();
        decisions.write(&flood);
        drop(decisions);
        audit.close();
        let written = written(home.path());
        assert_eq!(written.len(), 61);
        assert_eq!(written[0].detail["object"]["path"], "/srv/secret/x");
        let summary = &written[60];
        assert_eq!((summary.code.as_str(), &summary.detail["denied"]), ("DECISION_SUMMARY", &json!(30)));
        assert_eq!(
            (&summary.detail["first_record"], &summary.detail["last_record"]),
            (&json!(61), &json!(90))
        );
    }
}
