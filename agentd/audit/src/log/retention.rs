//! Removing what is past its time: whole segments, the oldest first, and only after that was written down.

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

impl AuditLog {
    /// Removes segments whose newest record is older than the retention time. A segment whose end cannot be read is
    /// not removed, nor what comes after it: somebody has to look at it first.
    pub(super) fn retain(&mut self, now_ns: u64) -> Result<(), AuditError> {
        self.retained_ns = now_ns;
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

    fn expired(&self, now_ns: u64) -> Result<Vec<(Found, AuditRecord)>, AuditError> {
        if self.options.retention_days == 0 {
            return Ok(Vec::new());
        }
        let keep_ns = u64::from(self.options.retention_days).saturating_mul(DAY_NS);
        let mut expired = Vec::new();
        for found in files::list(&self.dir)?.segments.into_iter().take(MAX_REMOVED) {
            if found.path == self.segment.path {
                break;
            }
            match last_record(&found.path)? {
                Some(last) if last.time_ns.saturating_add(keep_ns) < now_ns => expired.push((found, last)),
                Some(_) | None => break,
            }
        }
        Ok(expired)
    }
}
