//! Removing what is past its time: whole segments, the oldest first, and only after that was written down.
//!
//! It is for good, and all that says how old a record is are clocks. So the clock of now must have gone right for a day,
//! and the stamp of a segment counts only together with that of one behind it.

use std::fs;
use std::io;

use serde_json::json;

use super::{AuditLog, DAY_NS, SELF};
use crate::codes;
use crate::error::{AuditError, at};
use crate::files::{self, Found};
use crate::lines::last_record;
use crate::record::{AuditRecord, Entry};

/// Segments that one record names; it must fit into a line. The rest goes a day later.
const MAX_REMOVED: usize = 100;

/// The two clocks may come apart so far in a day: small steps that set a poor clock right. Retention counts in days.
const MAX_APART_NS: u64 = DAY_NS / 24;

/// What both clocks said when the wall clock began to be watched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    wall_ns: u64,
    boot_ns: u64,
}

impl AuditLog {
    /// Once a day of the boot clock, if the wall clock went on as that did. A wall clock that was set is watched anew:
    /// it may be wrong now, or have been wrong until now.
    pub(super) fn retention_is_due(&mut self, wall_ns: u64, boot_ns: u64) -> bool {
        let now = Watch { wall_ns, boot_ns };
        let since = *self.watch.get_or_insert(now);
        let passed_ns = boot_ns.saturating_sub(since.boot_ns);
        let is_right = since.wall_ns.saturating_add(passed_ns).abs_diff(wall_ns) <= MAX_APART_NS;
        let is_due = is_right && passed_ns >= DAY_NS;
        if is_due || !is_right {
            self.watch = Some(now);
        }
        is_due
    }

    /// Removes the segments that are past the retention time, at most [`MAX_REMOVED`].
    pub(super) fn retain(&mut self, now_ns: u64) -> Result<(), AuditError> {
        let expired = self.expired(now_ns)?;
        let Some((_, newest)) = expired.last() else { return Ok(()) };
        let removed: Vec<_> = expired
            .iter()
            .map(|(found, last)| json!({ "first_seq": found.first, "last_seq": last.seq, "last_hash": last.hash }))
            .collect();
        let detail = json!({
            "last_seq": newest.seq,
            "last_hash": newest.hash,
            "retention_days": self.options.retention_days,
            "segments": removed,
        });
        self.write(Entry::new(codes::LOG_RETENTION, SELF).detail(detail), now_ns)?;
        self.attest(now_ns)?;
        for (found, _) in &expired {
            match fs::remove_file(&found.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&found.path)(error)),
                Ok(()) | Err(_) => {}
            }
        }
        files::sync_dir(&self.dir)
    }

    /// A segment was complete before the next one began, so it is past its time when both of their newest records are.
    /// One that is stamped with a time to come was written by a wrong clock: its age is that of what is behind it. A
    /// segment whose end cannot be read stays, and so does what comes after it: somebody has to look at it first.
    fn expired(&self, now_ns: u64) -> Result<Vec<(Found, AuditRecord)>, AuditError> {
        if self.options.retention_days == 0 {
            return Ok(Vec::new());
        }
        let keep_ns = u64::from(self.options.retention_days).saturating_mul(DAY_NS);
        let (mut old, mut certain) = (Vec::new(), 0);
        for found in files::list(&self.dir)?.segments {
            if found.path == self.segment.path || certain >= MAX_REMOVED {
                break;
            }
            let Some(last) = last_record(&found.path)? else { break };
            let is_to_come = last.time_ns > now_ns;
            if !is_to_come && last.time_ns.saturating_add(keep_ns) >= now_ns {
                break;
            }
            if !is_to_come {
                certain = old.len();
            }
            old.push((found, last));
        }
        old.truncate(certain.min(MAX_REMOVED));
        Ok(old)
    }
}
