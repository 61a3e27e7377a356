//! Act: names each denial and tells operators about it. The kernel has already blocked it.
//!
//! Log lines are limited, so that a flood of denials fills neither the journal nor the disk; records are not.

use agentguard_core::ids::IncidentId;
use agentguard_core::record::{Object, Record};
use agentguard_core::verdict::Verdict;
use tokio::sync::mpsc::UnboundedSender;

use crate::clock;
use crate::decide::Decided;
use crate::holds::Asked;
use crate::journal;
use crate::log_limit::LogLimit;

/// Incident ids count microseconds from here, 2025-01-01: it keeps them at ten digits until 2060.
const EPOCH_US: u64 = 1_735_689_600_000_000;

/// Crockford's digits: none looks like another, and there is no case to get wrong.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Digits of an incident id.
const ID_DIGITS: u32 = 10;

/// The stage.
pub struct Act {
    last_id: u64,
    lines: LogLimit,
    holds: UnboundedSender<Asked>,
}

impl Act {
    /// `last` is the newest incident in the store: ids stay unique although the wall clock may have been set back.
    /// Requests that wait go to `holds`.
    pub fn new(last: Option<&IncidentId>, holds: UnboundedSender<Asked>, lines: LogLimit) -> Self {
        let last_id = last.and_then(number_of).unwrap_or(0);
        Self { last_id, lines, holds }
    }

    /// One batch.
    pub fn act(&mut self, mut batch: Vec<Decided>) -> Vec<Decided> {
        for decided in &mut batch {
            if let Some(waiting) = decided.waiting.clone() {
                decided.record.incident = Some(self.next_id());
                // There are never more of them than the kernel's table holds. Nobody listens only at the end.
                let _ = self.holds.send(Asked { record: decided.record.clone(), waiting });
            } else if decided.record.decision.verdict == Verdict::Deny {
                decided.record.incident = Some(self.next_id());
                self.tell(&decided.record);
            } else if !decided.record.findings.is_empty() {
                self.tell(&decided.record);
            }
        }
        // What an agentd before this one was told of has its record.
        batch.retain(|decided| decided.waiting.as_ref().is_none_or(|waiting| !waiting.mark.again));
        batch
    }

    /// Microseconds by the wall clock, or one more than the last, whatever is later: unique, short, in order of time.
    fn next_id(&mut self) -> IncidentId {
        let now = (clock::wall_ns() / 1000).saturating_sub(EPOCH_US);
        self.last_id = now.max(self.last_id.saturating_add(1));
        id_of(self.last_id)
    }

    fn tell(&mut self, record: &Record) {
        if record.decision.verdict == Verdict::Deny {
            if self.lines.allows(&record.agent) {
                journal::denied(record);
            }
            return;
        }
        for finding in &record.findings {
            if self.lines.allows(&record.agent) {
                journal::found(record, finding);
            }
        }
    }
}

/// The object of a request as one text.
pub(crate) fn object(object: &Object) -> String {
    match object {
        Object::File { path, .. } | Object::FileIo { path, .. } | Object::Exec { path, .. } => path.clone(),
        Object::Address { address, port, name, .. } | Object::PeerIo { address, port, name, .. } => {
            let address = std::net::SocketAddr::new(*address, *port);
            name.as_ref().map_or_else(|| address.to_string(), |name| format!("{name} ({address})"))
        }
        Object::Resolved { name, .. } => name.clone(),
        Object::Class { detail } | Object::Credentials { detail } => detail.clone(),
        Object::Fork { child_pid, .. } => child_pid.to_string(),
        Object::Exit { code, .. } => code.to_string(),
    }
}

fn id_of(number: u64) -> IncidentId {
    let digits = (0..ID_DIGITS).rev().map(|position| {
        let digit = usize::try_from(number >> (5 * position) & 31).unwrap_or(0);
        DIGITS.get(digit).copied().map_or('0', char::from)
    });
    IncidentId(std::iter::once("inc-".to_owned()).chain(digits.map(String::from)).collect())
}

fn number_of(id: &IncidentId) -> Option<u64> {
    id.0.strip_prefix("inc-")?.bytes().try_fold(0_u64, |number, byte| {
        let digit = DIGITS.iter().position(|digit| *digit == byte)?;
        Some(number.checked_mul(32)? | u64::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody() -> UnboundedSender<Asked> {
        tokio::sync::mpsc::unbounded_channel().0
    }

    #[test]
    fn ids_are_unique_short_and_in_order() {
        let mut act = Act::new(None, nobody(), LogLimit::default());
        let ids: Vec<String> = (0..10_000).map(|_| act.next_id().0).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.iter().all(|id| id.len() == 14));
    }

    #[test]
    fn ids_go_on_after_the_newest_although_the_clock_was_set_back() {
        let future = id_of(1 << 49);
        let mut act = Act::new(Some(&future), nobody(), LogLimit::default());
        assert_eq!(number_of(&act.next_id()), Some((1 << 49) + 1));
    }
}
