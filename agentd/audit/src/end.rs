//! Where a log ended in order: LOG_CLOSED, and the checkpoint right after it.
//!
//! The head attests both before the writer is gone. Behind an end that the head attests, agentd writes only what an
//! opening says before it attests anew, and more of that only if the opening failed. Whatever else stands there, somebody
//! without the key put there.

use crate::codes;
use crate::record::AuditRecord;

/// What a record is to the end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// LOG_CLOSED.
    Closed,
    /// The checkpoint right after it.
    Sealed,
    /// What an opening writes before it attests.
    Opening,
    Other,
}

impl Part {
    /// Whether nothing was to come after it.
    pub(crate) const fn is_end(self) -> bool {
        matches!(self, Self::Closed | Self::Sealed)
    }

    /// Whether agentd can have written it behind an end.
    pub(crate) const fn may_follow_end(self) -> bool {
        matches!(self, Self::Sealed | Self::Opening)
    }
}

/// Tells the parts from each other, record by record.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    closed: Option<u64>,
}

impl Parts {
    pub(crate) fn of(&mut self, record: &AuditRecord) -> Part {
        let is = |code: codes::Code| record.code == code.name;
        if is(codes::LOG_CLOSED) {
            self.closed = Some(record.seq);
            Part::Closed
        } else if is(codes::LOG_CHECKPOINT)
            && self.closed.is_some_and(|closed| closed.checked_add(1) == Some(record.seq))
        {
            Part::Sealed
        } else if [codes::LOG_REPAIRED, codes::LOG_BROKEN, codes::LOG_OPENED, codes::LOG_RETENTION]
            .into_iter()
            .any(is)
        {
            Part::Opening
        } else {
            Part::Other
        }
    }
}
