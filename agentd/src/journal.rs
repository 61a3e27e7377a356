//! Log lines about what agents ask for. Their fields are documented in docs/reference/journal.md; users filter by them:
//! `journalctl AGENT=x VERDICT=deny`.
//!
//! Who writes a line asks [`LogLimit`](crate::log_limit::LogLimit) first. The journal shows field names in capitals,
//! however they are written here.

use agentguard_core::approval::State;
use agentguard_core::record::{Finding, Record};
use agentguard_core::verdict::{Severity, Verdict};

use crate::act::object;
use crate::record::approvals::StoredApproval;

/// One line with everything that is known about a request. A field without a value is left out.
macro_rules! line {
    ($level:ident, $record:expr, { $($field:tt)* }, $($message:tt)+) => {
        tracing::$level!(
            AGENT = %$record.agent,
            CALL = $record.call,
            OPERATION = $record.operation.map(tracing::field::display),
            OBJECT = object(&$record.object),
            PID = $record.process.pid,
            EXE = $record.process.exe,
            RULES_VERSION = $record.decision.version,
            $($field)*
            $($message)+
        )
    };
}

/// The kernel denied a request, or would have in mode `enforce`.
pub fn denied(record: &Record) {
    let decision = &record.decision;
    let incident = record.incident.as_ref().map_or("", |id| id.0.as_str());
    let outcome = if decision.enforced { "denied" } else { "would deny" };
    let rule = decision.rule.as_deref().unwrap_or("default");
    line!(
        warn,
        record,
        {
            VERDICT = Verdict::Deny.name(), ENFORCED = decision.enforced, RULE = rule,
            SEVERITY = decision.severity.map(Severity::name), INCIDENT = incident,
        },
        "{outcome} {} of agent {} on {}: {} ({rule}) {incident}",
        record.call,
        record.agent,
        object(&record.object),
        decision.message,
    );
}

/// Policy found a request worth a second look. Nothing was blocked.
pub fn found(record: &Record, finding: &Finding) {
    line!(
        warn,
        record,
        {
            VERDICT = record.decision.verdict.name(), FINDING = finding.id,
            SEVERITY = finding.severity.name(),
        },
        "found {} by agent {} on {}: {}",
        finding.id,
        record.agent,
        object(&record.object),
        finding.reason,
    );
}

/// Policy denied a request that was held.
pub fn held_denied(record: &Record, severity: Severity, rule: &str, reason: &str) {
    let incident = record.incident.as_ref().map_or("", |id| id.0.as_str());
    line!(
        warn,
        record,
        {
            VERDICT = Verdict::Deny.name(), ENFORCED = true, RULE = rule, SEVERITY = severity.name(),
            INCIDENT = incident, BY = "policy",
        },
        "policy denied a held {} of agent {}: {reason} ({rule}) {incident}",
        record.call,
        record.agent,
    );
}

/// A request waits for a person.
pub fn waits(stored: &StoredApproval) {
    let (record, id) = (&stored.record, &stored.id);
    line!(
        warn,
        record,
        {
            VERDICT = Verdict::Hold.name(), RULE = rule(stored), SEVERITY = stored.approval.severity.name(),
            INCIDENT = %id,
        },
        "held {} of agent {} waits for a person: {}; agentctl approvals show {id}",
        record.call,
        record.agent,
        stored.reason,
    );
}

/// A request waits no more. Its verdict is absent where nobody gave one, because it was withdrawn.
pub fn settled(stored: &StoredApproval) {
    let (record, id, state) = (&stored.record, &stored.id, stored.approval.state);
    let verdict = match state {
        State::Approved => Some(Verdict::Allow),
        State::Denied | State::Expired => Some(Verdict::Deny),
        State::Pending | State::Withdrawn | State::Revoked => None,
    };
    line!(
        info,
        record,
        {
            VERDICT = verdict.map(Verdict::name), ENFORCED = verdict.map(|verdict| verdict == Verdict::Deny),
            RULE = rule(stored), SEVERITY = stored.approval.severity.name(), INCIDENT = %id,
            APPROVAL = state.name(), BY = stored.approval.votes.last().map(|vote| vote.by.as_str()),
        },
        "approval {id} is {}",
        state.name(),
    );
}

/// What asks people: a rule of policy, or the rule of the spec that says hold.
fn rule(stored: &StoredApproval) -> &str {
    let of_record = || stored.record.decision.rule.as_deref().unwrap_or("default");
    stored.decided_by.as_deref().unwrap_or_else(of_record)
}
