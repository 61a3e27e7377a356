//! The writer: appends records to the chain, signs it, begins new segments, and removes those past their time.
//!
//! A record is written whole or not at all. A record that could not be written is an error for the caller and is
//! counted; the first that can be written again is preceded by the count.

mod open;
mod retention;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use crate::codes;
use crate::error::{AuditError, at};
use crate::files::{self, Segment};
use crate::head::Head;
use crate::record::{AuditRecord, Entry, MAX_EXACT, Receipt};
use crate::sign::{Attestation, Signer, What};
use retention::Watch;

/// Nanoseconds of a day.
pub const DAY_NS: u64 = 24 * 60 * 60 * 1_000_000_000;
/// Who writes the records of the log about itself.
const SELF: &str = "agentd";

/// When records reach the disk itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Before [`AuditLog::append`] returns.
    Always,
    /// At the next [`AuditLog::tick`]; what must not take effect unrecorded uses [`AuditLog::append_durable`].
    Batch,
    /// When the kernel likes; for logs that need not survive a loss of power.
    Never,
}

/// How a log is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Written down whenever the log is opened.
    pub host: String,
    /// When records reach the disk.
    pub fsync: Fsync,
    /// A segment that is longer is followed by a new one; so is one of another day (UTC).
    pub segment_bytes: u64,
    /// Records between two checkpoints.
    pub checkpoint_every: u64,
    /// Segments that are older are removed; 0 keeps all.
    pub retention_days: u32,
}

impl Default for Options {
    /// 64 MiB are about 100,000 records, which verify in about a second. 1,000 records between signatures are what a
    /// forger without a key could put at the end of a log whose head was removed. Seven years are what auditors of
    /// finance and health ask for.
    fn default() -> Self {
        Self {
            host: String::new(),
            fsync: Fsync::Batch,
            segment_bytes: 64 * 1024 * 1024,
            checkpoint_every: 1000,
            retention_days: 2557,
        }
    }
}

/// The audit log of a host, open for writing. One process at a time has it.
pub struct AuditLog {
    dir: PathBuf,
    /// Holds the lock on the directory.
    _lock: File,
    options: Options,
    signer: Arc<dyn Signer>,
    segment: Segment,
    /// When the segment's first record was written; none while it is empty.
    segment_since_ns: Option<u64>,
    newest: Receipt,
    /// Number of the newest record that the head attests.
    attested: u64,
    since_checkpoint: u64,
    /// Records that could not be written since the last one that could.
    lost: u64,
    /// Since when the wall clock goes right, as far as could be seen; none before the first tick.
    watch: Option<Watch>,
    /// What went wrong beside a record that was written; the next tick says it.
    trouble: Option<AuditError>,
}

/// Where the log was before something that must be there whole or not at all.
struct Mark {
    newest: Receipt,
    len: u64,
    since_ns: Option<u64>,
    since_checkpoint: u64,
    lost: u64,
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("AuditLog")
            .field("dir", &self.dir)
            .field("newest", &self.newest)
            .finish_non_exhaustive()
    }
}

impl AuditLog {
    /// Appends a record, durable as [`Options::fsync`] says.
    ///
    /// # Errors
    /// When it was not written; then nothing of it is there, and it is counted as lost.
    pub fn append(&mut self, entry: Entry, now_ns: u64) -> Result<Receipt, AuditError> {
        let durable = self.options.fsync == Fsync::Always;
        self.counted(entry, now_ns, durable)
    }

    /// Appends a record that is on disk when this returns: before something takes effect.
    ///
    /// # Errors
    /// When it is not there for good; then nothing of it is there, and it is counted as lost.
    pub fn append_durable(&mut self, entry: Entry, now_ns: u64) -> Result<Receipt, AuditError> {
        self.counted(entry, now_ns, self.options.fsync != Fsync::Never)
    }

    /// What time brings: makes a batch durable, begins the segment of another day, removes what is past its time. Call
    /// it once a second or so. `boot_ns` is a clock that nobody can set: what is removed depends on both.
    ///
    /// # Errors
    /// What went wrong now or beside a record since the last call. The log can be used all the same.
    pub fn tick(&mut self, now_ns: u64, boot_ns: u64) -> Result<(), AuditError> {
        let trouble = self.trouble.take();
        self.report_lost(now_ns)?;
        if self.rotation_is_due(now_ns) {
            self.rotate(now_ns)?;
        }
        if self.since_checkpoint >= self.options.checkpoint_every {
            self.checkpoint(now_ns)?;
        }
        self.attest(now_ns)?;
        if self.retention_is_due(now_ns, boot_ns) {
            self.retain(now_ns)?;
        }
        trouble.map_or(Ok(()), Err)
    }

    /// Signs with another key from now on; its first signature covers all that was.
    ///
    /// # Errors
    /// When the new key cannot sign; then the old one stays. Or when the disk refuses; then the next tick tries again.
    pub fn set_signer(&mut self, signer: Arc<dyn Signer>, now_ns: u64) -> Result<(), AuditError> {
        Attestation::sign(What::Checkpoint, &self.newest, now_ns, signer.as_ref())?;
        self.signer = signer;
        self.since_checkpoint = self.options.checkpoint_every;
        self.checkpoint(now_ns)?;
        self.attest(now_ns)
    }

    /// Ends the log in order: nothing is missing after the last record.
    ///
    /// # Errors
    /// When that could not be written down.
    pub fn close(mut self, now_ns: u64) -> Result<Receipt, AuditError> {
        self.report_lost(now_ns)?;
        self.write(Entry::new(codes::LOG_CLOSED, SELF), now_ns)?;
        self.checkpoint(now_ns)?;
        self.attest(now_ns)?;
        Ok(self.newest)
    }

    /// The newest record: what to keep elsewhere as an anchor.
    pub fn newest(&self) -> &Receipt {
        &self.newest
    }

    /// Number of the newest record that is known to be on disk.
    pub fn attested(&self) -> u64 {
        self.attested
    }

    /// Records that could not be written, and are not written down as lost yet.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// As on a disk where the segment may grow to so many bytes.
    #[cfg(test)]
    pub(crate) fn set_room(&mut self, room: Option<u64>) {
        self.segment.room = room;
    }

    fn counted(&mut self, entry: Entry, now_ns: u64, durable: bool) -> Result<Receipt, AuditError> {
        let appended = self.append_whole(entry, now_ns, durable);
        match appended {
            Ok(_) => self.checkpoint_when_due(now_ns),
            Err(_) => self.lost = self.lost.saturating_add(1),
        }
        appended
    }

    fn append_whole(&mut self, entry: Entry, now_ns: u64, durable: bool) -> Result<Receipt, AuditError> {
        // A record matters more than where it stands: without a new segment the old one grows.
        if self.rotation_is_due(now_ns)
            && let Err(error) = self.rotate(now_ns)
        {
            self.trouble = Some(error);
        }
        let before = self.mark();
        let written = self.report_lost(now_ns).and_then(|()| self.write(entry, now_ns)).and_then(|receipt| {
            if durable {
                self.segment.sync()?;
            }
            Ok(receipt)
        });
        if written.is_err() {
            self.back_to(before);
        } else if durable {
            // The record is on disk. That the head does not say so yet is nothing that its caller must undo.
            self.trouble = self.attest(now_ns).err().or(self.trouble.take());
        }
        written
    }

    fn mark(&self) -> Mark {
        Mark {
            newest: self.newest.clone(),
            len: self.segment.len(),
            since_ns: self.segment_since_ns,
            since_checkpoint: self.since_checkpoint,
            lost: self.lost,
        }
    }

    /// As if nothing had been written since.
    fn back_to(&mut self, mark: Mark) {
        if self.segment.len() > mark.len {
            self.segment.cut_to(mark.len);
        }
        self.newest = mark.newest;
        self.segment_since_ns = mark.since_ns;
        self.since_checkpoint = mark.since_checkpoint;
        self.lost = mark.lost;
    }

    fn checkpoint_when_due(&mut self, now_ns: u64) {
        if self.since_checkpoint >= self.options.checkpoint_every
            && let Err(error) = self.checkpoint(now_ns)
        {
            self.trouble = Some(error);
        }
    }

    fn report_lost(&mut self, now_ns: u64) -> Result<(), AuditError> {
        if self.lost > 0 {
            self.write(Entry::new(codes::LOG_LOST, SELF).detail(json!({ "count": self.lost })), now_ns)?;
            self.lost = 0;
        }
        Ok(())
    }

    /// One record more, in the file but perhaps not on disk.
    fn write(&mut self, entry: Entry, now_ns: u64) -> Result<Receipt, AuditError> {
        let seq = self.newest.seq.checked_add(1).filter(|seq| *seq <= MAX_EXACT).ok_or(AuditError::Full)?;
        let code = entry.code.name;
        let record = AuditRecord::chain(entry, seq, now_ns, &self.newest.hash)?;
        let line = record.line().map_err(|source| AuditError::Json { code, source })?;
        self.segment.append(&line)?;
        self.segment_since_ns.get_or_insert(now_ns);
        self.since_checkpoint = self.since_checkpoint.saturating_add(1);
        self.newest = record.receipt();
        Ok(record.receipt())
    }

    /// Signs the chain within the chain. The head is written first: a head that is older than a checkpoint was put
    /// back by somebody.
    fn checkpoint(&mut self, now_ns: u64) -> Result<(), AuditError> {
        self.attest(now_ns)?;
        let signed = Attestation::sign(What::Checkpoint, &self.newest, now_ns, self.signer.as_ref())?;
        let code = codes::LOG_CHECKPOINT;
        let detail =
            serde_json::to_value(&signed).map_err(|source| AuditError::Json { code: code.name, source })?;
        self.write(Entry::new(code, SELF).detail(detail), now_ns)?;
        self.since_checkpoint = 0;
        Ok(())
    }

    /// Makes all of it durable, and says so in the head.
    fn attest(&mut self, now_ns: u64) -> Result<(), AuditError> {
        if self.attested == self.newest.seq {
            return Ok(());
        }
        let sync = self.options.fsync != Fsync::Never;
        if sync {
            self.segment.sync()?;
        }
        Head::write(&self.dir, &self.newest, now_ns, self.signer.as_ref(), sync)?;
        self.attested = self.newest.seq;
        Ok(())
    }

    /// Another day may be an earlier one: a clock that was ahead was set right. Not while the segment is empty, or a
    /// quiet log would grow by empty files.
    fn rotation_is_due(&self, now_ns: u64) -> bool {
        let Some(since_ns) = self.segment_since_ns else { return false };
        self.segment.len() >= self.options.segment_bytes || now_ns / DAY_NS != since_ns / DAY_NS
    }

    fn rotate(&mut self, now_ns: u64) -> Result<(), AuditError> {
        self.checkpoint(now_ns)?;
        self.attest(now_ns)?;
        self.begin_segment(self.newest.seq)
    }

    /// A new segment for the record after this number.
    fn begin_segment(&mut self, after: u64) -> Result<(), AuditError> {
        self.segment = Segment::begin(&self.dir, after.saturating_add(1))?;
        self.segment_since_ns = None;
        files::sync_dir(&self.dir)
    }
}

/// Takes the directory for this process.
fn lock(dir: &Path) -> Result<File, AuditError> {
    let file = File::open(dir).map_err(at(dir))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(AuditError::InUse(dir.to_path_buf())),
        Err(std::fs::TryLockError::Error(error)) => Err(at(dir)(error)),
    }
}
