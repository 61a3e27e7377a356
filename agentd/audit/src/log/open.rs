//! Opening: how a log was left, and how it goes on.
//!
//! ```text
//! no files                                       a new log
//! whole to its end, the head agrees              it goes on
//! torn last line, beyond what the head attests   cut off, and said in LOG_REPAIRED
//! anything else                                  a new segment from LOG_BROKEN on; nothing is touched
//! ```
//!
//! Only the newest segment is read: what is older is for `verify`, which takes longer than a start may. Who signed the
//! head is not asked either, because this crate knows no keys: LOG_OPENED keeps the head as it was found, and `verify`
//! asks. Otherwise the first signature of the new writer would cover what a forged head attested.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::{AuditLog, Options, SELF, lock};
use crate::codes;
use crate::end::Parts;
use crate::error::{AuditError, at};
use crate::files::{self, Found, Segment};
use crate::head::{Head, nothing};
use crate::lines::{Lines, Shape, last_record};
use crate::record::{AuditRecord, Entry, Receipt, sha256};
use crate::sign::{Attestation, Signer};

/// How a log was left.
struct Left {
    /// The last record that is as it should be.
    newest: Receipt,
    attested: u64,
    /// The head that says so, whoever signed it.
    head: Option<Attestation>,
    how: How,
}

enum How {
    New,
    Whole { tail: Tail },
    Torn { tail: Tail, bytes: Vec<u8> },
    Broken { found: String, last_used: u64 },
}

/// The newest segment, as far as it is good.
struct Tail {
    path: PathBuf,
    len: u64,
    since_ns: Option<u64>,
}

impl AuditLog {
    /// Opens the log in a directory, or makes one there, and writes down that it did.
    ///
    /// # Errors
    /// When another process has it, when the disk refuses, or when the key does not sign.
    pub fn open(
        dir: &Path,
        options: Options,
        signer: Arc<dyn Signer>,
        now_ns: u64,
    ) -> Result<Self, AuditError> {
        files::make_dir(dir)?;
        let lock = lock(dir)?;
        // A key that does not sign is found before anything is written: whoever opens tries again and again.
        signer.sign(SELF.as_bytes())?;
        let left = survey(dir)?;
        let sync = options.fsync != super::Fsync::Never;
        let (segment, since_ns) = match &left.how {
            How::New => {
                // Before the first segment: from now on a log without a head is one whose head was removed.
                Head::write(dir, &nothing(), now_ns, signer.as_ref(), sync)?;
                (Segment::begin(dir, 1)?, None)
            }
            How::Whole { tail } | How::Torn { tail, .. } => {
                (Segment::resume(&tail.path, tail.len)?, tail.since_ns)
            }
            How::Broken { last_used, .. } => (Segment::begin(dir, last_used.saturating_add(1))?, None),
        };
        files::sync_dir(dir)?;
        let mut log = Self {
            dir: dir.to_path_buf(),
            _lock: lock,
            options,
            signer,
            segment,
            segment_since_ns: since_ns,
            newest: left.newest.clone(),
            attested: left.attested,
            since_checkpoint: 0,
            lost: 0,
            watch: None,
            trouble: None,
        };
        log.say_how_it_was_left(&left, now_ns)?;
        Ok(log)
    }

    fn say_how_it_was_left(&mut self, left: &Left, now_ns: u64) -> Result<(), AuditError> {
        match &left.how {
            How::New | How::Whole { .. } => {}
            How::Torn { bytes, .. } => {
                let detail = json!({ "cut_bytes": bytes.len(), "cut_sha256": sha256(bytes) });
                self.write(Entry::new(codes::LOG_REPAIRED, SELF).detail(detail), now_ns)?;
            }
            How::Broken { found, last_used } => {
                let detail = json!({
                    "found": found,
                    "last_good_seq": left.newest.seq,
                    "last_good_hash": left.newest.hash,
                });
                // Its number is after every number that was used, its `prev` the last good hash.
                self.newest.seq = *last_used;
                self.write(Entry::new(codes::LOG_BROKEN, SELF).detail(detail), now_ns)?;
            }
        }
        // What the head did not attest is signed from here on: say how much that is, and by which head.
        let unattested = left.newest.seq.saturating_sub(left.attested);
        let mut detail = json!({ "host": self.options.host, "unattested": unattested });
        if let (Some(fields), Some(head)) = (detail.as_object_mut(), &left.head) {
            let code = codes::LOG_OPENED.name;
            let head = serde_json::to_value(head).map_err(|source| AuditError::Json { code, source })?;
            fields.insert("head".to_owned(), head);
        }
        self.write(Entry::new(codes::LOG_OPENED, SELF).detail(detail), now_ns)?;
        self.checkpoint(now_ns)?;
        self.attest(now_ns)
    }
}

fn survey(dir: &Path) -> Result<Left, AuditError> {
    let (listing, head) = (files::list(dir)?, Head::read(dir)?);
    let Some((last, before)) = listing.segments.split_last() else {
        return Ok(without_segments(head));
    };
    let (signed, wrong) = match head {
        Head::There(signed) => (Some(signed), None),
        Head::Missing => (None, Some("head.json is missing".to_owned())),
        Head::Unreadable(why) => (None, Some(format!("head.json cannot be read: {why}"))),
    };
    let head = signed.as_ref().map(Attestation::receipt);
    let base = base(last, before, head.as_ref())?;
    let scan = Scan::of(last, base.as_ref(), head.as_ref().map(|head| head.seq))?;
    Ok(Left { head: signed, ..judge(last, base, scan, head, wrong) })
}

fn without_segments(head: Head) -> Left {
    let (newest, head, how) = match head {
        Head::Missing => (nothing(), None, How::New),
        Head::There(signed) if signed.statement.seq == 0 => (nothing(), None, How::New),
        Head::There(signed) => {
            let (found, last_used) = ("all segments are missing".to_owned(), signed.statement.seq);
            (signed.receipt(), Some(signed), How::Broken { found, last_used })
        }
        Head::Unreadable(why) => {
            let found = format!("all segments are missing, and head.json cannot be read: {why}");
            (nothing(), None, How::Broken { found, last_used: 0 })
        }
    };
    let attested = newest.seq;
    Left { newest, attested, head, how }
}

/// The record before the newest segment, where it is known.
fn base(last: &Found, before: &[Found], head: Option<&Receipt>) -> Result<Option<Receipt>, AuditError> {
    if last.first == 1 {
        return Ok(Some(nothing()));
    }
    let known = match before.last() {
        Some(found) => last_record(&found.path)?.map(|record| record.receipt()),
        None => None,
    };
    Ok(known.or_else(|| head.filter(|head| head.seq.checked_add(1) == Some(last.first)).cloned()))
}

/// Weighs what was found against the head.
fn judge(
    last: &Found,
    base: Option<Receipt>,
    scan: Scan,
    head: Option<Receipt>,
    wrong: Option<String>,
) -> Left {
    let newest = scan.newest.clone().or(base).unwrap_or_else(nothing);
    let attested = head.as_ref().map_or(0, |head| head.seq);
    let wrong = wrong.or_else(|| scan.wrong.clone()).or_else(|| {
        let head = head.as_ref()?;
        if head.seq > newest.seq {
            Some(format!("the log ends with record {}, but head.json attests {}", newest.seq, head.seq))
        } else if head.seq.saturating_add(1) < last.first {
            Some(format!("head.json attests only {}, older than the newest segment", head.seq))
        } else if scan.watched.as_ref().is_some_and(|hash| *hash != head.hash) {
            Some(format!("record {} is not the one that head.json attests", head.seq))
        } else if let Some(seq) = scan.checkpoint.filter(|seq| *seq > head.seq.saturating_add(1)) {
            // The head is written first, so this one is older than it was.
            Some(format!(
                "head.json attests only {}, but checkpoint {seq} was written after a newer one",
                head.seq
            ))
        } else {
            let what = |seq| format!("record {seq} was put behind the end of the log, which was closed");
            scan.behind_end.map(what)
        }
    });
    let tail = Tail { path: last.path.clone(), len: scan.good_len, since_ns: scan.since_ns };
    let how = match (wrong, scan.torn) {
        (None, None) => How::Whole { tail },
        (None, Some(bytes)) => How::Torn { tail, bytes },
        (Some(found), _) => {
            let in_file = last.first.saturating_sub(1).saturating_add(scan.lines);
            How::Broken { found, last_used: newest.seq.max(attested).max(in_file) }
        }
    };
    Left { newest, attested, head: None, how }
}

/// The newest segment, read from its beginning.
#[derive(Default)]
struct Scan {
    newest: Option<Receipt>,
    good_len: u64,
    since_ns: Option<u64>,
    lines: u64,
    torn: Option<Vec<u8>>,
    wrong: Option<String>,
    first: u64,
    /// Whose hash is asked for.
    watch: Option<u64>,
    watched: Option<String>,
    parts: Parts,
    /// The record that is watched is an end.
    ended: bool,
    /// The first record behind that end that agentd cannot have written.
    behind_end: Option<u64>,
    /// The newest checkpoint.
    checkpoint: Option<u64>,
}

impl Scan {
    fn of(found: &Found, base: Option<&Receipt>, watch: Option<u64>) -> Result<Self, AuditError> {
        let mut scan = Self { first: found.first, watch, ..Self::default() };
        if let Some(base) = base.filter(|base| base.seq.checked_add(1) != Some(found.first)) {
            scan.wrong = Some(format!(
                "the segment before ends with record {}, not {}",
                base.seq,
                found.first.saturating_sub(1)
            ));
        }
        let mut lines = Lines::open(&found.path)?;
        while let Some(line) = lines.next().map_err(at(&found.path))? {
            scan.lines = line.number;
            match line.shape {
                Shape::Torn(bytes) => scan.torn = Some(bytes),
                Shape::Whole(bytes) if line.number == 1 || scan.wrong.is_none() => {
                    scan.take(&bytes, line.number, line.end, base);
                }
                Shape::Whole(_) => {}
                Shape::TooLong { .. } => scan.fail(line.number, "it is longer than any record"),
            }
        }
        Ok(scan)
    }

    fn take(&mut self, bytes: &[u8], number: u64, end: u64, base: Option<&Receipt>) {
        let record = match AuditRecord::parse(bytes) {
            Ok(record) => record,
            Err(invalid) => return self.fail(number, &invalid.to_string()),
        };
        if !record.has_own_hash() {
            return self.fail(number, "its hash is not the hash of what it says");
        }
        // The first record after damage was found continues the last good one, which may be in an earlier file.
        let mended = number == 1 && record.code == codes::LOG_BROKEN.name;
        if mended {
            self.wrong = None;
        }
        let expected_seq = self.newest.as_ref().map_or(self.first, |newest| newest.seq.saturating_add(1));
        let before = self.newest.as_ref().or(base.filter(|_| !mended));
        if record.seq != expected_seq || before.is_some_and(|before| before.hash != record.prev) {
            return self.fail(number, "it does not follow the record before it");
        }
        if self.newest.is_none() {
            self.since_ns = Some(record.time_ns);
            self.watch(record.seq.saturating_sub(1), &record.prev);
        }
        self.watch(record.seq, &record.hash);
        let part = self.parts.of(&record);
        if self.ended && !part.may_follow_end() {
            self.behind_end.get_or_insert(record.seq);
        }
        self.ended |= self.watch == Some(record.seq) && part.is_end();
        if record.code == codes::LOG_CHECKPOINT.name {
            self.checkpoint = Some(record.seq);
        }
        self.newest = Some(record.receipt());
        self.good_len = end;
    }

    fn fail(&mut self, line: u64, why: &str) {
        self.wrong
            .get_or_insert_with(|| format!("line {line} of {}: {why}", files::segment_name(self.first)));
    }

    fn watch(&mut self, seq: u64, hash: &str) {
        if self.watch == Some(seq) {
            self.watched = Some(hash.to_owned());
        }
    }
}
