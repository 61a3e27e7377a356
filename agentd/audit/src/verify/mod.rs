//! Whether a log is what was written: every record, every segment, the head, every signature.
//!
//! One pass, with one line in memory. What it cannot know without an anchor: that somebody put an older copy of the
//! whole directory back, head included, or wrote a new log with the host's own key. See `docs/reference/audit.md`.

mod chain;
mod finding;
mod proofs;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use crate::codes;
use crate::error::{AuditError, at};
use crate::files::{self, Found, Listing};
use crate::head::{HEAD_FILE, Head};
use crate::lines::Lines;
use crate::record::{AuditRecord, Receipt};
use crate::sign::Verifier;

use chain::Chain;
pub use finding::{Finding, MAX_FINDINGS, Problem};
use finding::{Findings, Place};
use proofs::Proofs;

/// Bits of a mode that only root's files must not have.
const OTHERS: u32 = 0o077;
/// Bits of a mode that are permissions; the others say what kind of file it is.
const PERMISSIONS: u32 = 0o7777;
const ROOT: u32 = 0;
/// Looks at a log that changes meanwhile: each begins with all that was changed before, so the second is mostly enough.
const PASSES: usize = 3;
/// Bytes between two calls about progress: some hundred for a long log.
const PROGRESS_BYTES: u64 = 256 * 1024;
/// Hex digits of a hash.
const HASH_DIGITS: usize = 64;

/// A record that was noted elsewhere: `SEQ:HASH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor(pub Receipt);

impl FromStr for Anchor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once(':').and_then(|(seq, hash)| {
            let digits = hash.len() == HASH_DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
            let seq = seq.parse().ok().filter(|seq| *seq > 0 && digits)?;
            Some(Self(Receipt { seq, hash: hash.to_ascii_lowercase() }))
        });
        parsed.ok_or_else(|| {
            format!("'{text}' is no anchor: write SEQ:HASH as `agentctl audit verify` prints it")
        })
    }
}

/// What to hold the log against.
#[derive(Clone, Copy, Default)]
pub struct Checks<'c> {
    /// Who knows the keys. Without one, only the chain is checked.
    pub verifier: Option<&'c dyn Verifier>,
    /// A record that was noted elsewhere.
    pub anchor: Option<&'c Anchor>,
    /// The user who verifies: nobody but this one and root may own or use the files. None for a copy, where that is of
    /// no interest.
    pub permissions: Option<u32>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read.
    pub done: u64,
    /// Bytes there were when it began.
    pub total: u64,
}

/// What a log is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Records that are as they were written.
    pub records: u64,
    /// Segments.
    pub segments: u64,
    /// Number of the first record.
    pub first_seq: Option<u64>,
    /// The newest record: the anchor to keep elsewhere.
    pub newest: Option<Receipt>,
    /// Earliest time of a record.
    pub first_time_ns: Option<u64>,
    /// Latest time of a record.
    pub last_time_ns: Option<u64>,
    /// Whether signatures were checked at all.
    pub signatures_checked: bool,
    /// Checkpoints with a good signature.
    pub checkpoints: u64,
    /// Number of the newest record that a good signature covers.
    pub covered_seq: u64,
    /// Records after it: they could be a forger's.
    pub uncovered: u64,
    /// Records that could not be written, by LOG_LOST.
    pub lost: u64,
    /// Records that the head did not attest when agentd opened the log the next time, by LOG_OPENED: what was written
    /// last before agentd was killed, or by somebody else.
    pub unattested: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Findings beyond [`MAX_FINDINGS`].
    pub findings_left_out: u64,
}

impl Report {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Reads the whole log. One that is written to meanwhile is read as it was at a moment.
///
/// # Errors
/// When it cannot be read. What is wrong with it is no error but a finding.
pub fn verify(
    dir: &Path,
    checks: Checks<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, AuditError> {
    for _ in 1..PASSES {
        match once(dir, checks, progress) {
            Ok((report, false)) => return Ok(report),
            // What was found may be half of what agentd was doing.
            Ok((_, true)) => {}
            // A segment that was removed because its time was up.
            Err(AuditError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    once(dir, checks, progress).map(|(report, _)| report)
}

/// Reads it once; also whether what was found may come from a change meanwhile.
fn once(
    dir: &Path,
    checks: Checks<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Report, bool), AuditError> {
    let seen = Seen::of(dir)?;
    let report = seen.verify(dir, checks, progress)?;
    let changed = !report.is_clean() && Seen::of(dir)? != seen;
    Ok((report, changed))
}

/// The files of a log at a moment.
#[derive(PartialEq, Eq)]
struct Seen {
    head: Head,
    listing: Listing,
    /// Bytes of each segment: what is written later is not read, because the head does not speak of it.
    lens: Vec<u64>,
}

impl Seen {
    fn of(dir: &Path) -> Result<Self, AuditError> {
        // Before the segments: a log that is written to meanwhile is only ever longer than its head says.
        let head = Head::read(dir)?;
        let listing = files::list(dir)?;
        let len =
            |found: &Found| fs::metadata(&found.path).map(|metadata| metadata.len()).map_err(at(&found.path));
        let lens = listing.segments.iter().map(len).collect::<Result<_, _>>()?;
        Ok(Self { head, listing, lens })
    }

    fn verify(
        &self,
        dir: &Path,
        checks: Checks<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Report, AuditError> {
        let segments = &self.listing.segments;
        let mut pass = Pass::new(segments, self.head.clone(), checks);
        for path in &self.listing.strangers {
            let what = "this does not belong to the log, or is no longer named as it was";
            pass.findings.add(Problem::Stranger, None, &Place { file: name(path), line: None }, what);
        }
        if let Some(reader) = checks.permissions {
            pass.permissions(dir, segments, reader);
        }
        let mut read = Progress { done: 0, total: self.lens.iter().sum() };
        for (place, (found, len)) in segments.iter().zip(&self.lens).enumerate() {
            let is_newest = place + 1 == segments.len();
            pass.segment(found, *len, is_newest, &mut read, progress)?;
        }
        Ok(pass.finish())
    }
}

/// One pass over the records.
struct Pass<'c> {
    chain: Chain,
    proofs: Proofs<'c>,
    findings: Findings,
    anchor: Option<&'c Anchor>,
    report: Report,
}

impl<'c> Pass<'c> {
    fn new(segments: &[Found], head: Head, checks: Checks<'c>) -> Self {
        let first = segments.first();
        let mut proofs = Proofs::new(head, checks.verifier);
        if let Some(found) = first {
            proofs.begins(found.first, Place { file: name(&found.path), line: Some(1) });
        }
        let report = Report {
            segments: segments.len() as u64,
            signatures_checked: checks.verifier.is_some(),
            ..Report::default()
        };
        let chain = Chain::from(first.map_or(1, |found| found.first));
        Self { chain, proofs, findings: Findings::default(), anchor: checks.anchor, report }
    }

    fn segment(
        &mut self,
        found: &Found,
        len: u64,
        is_newest: bool,
        read: &mut Progress,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), AuditError> {
        let mut lines = Lines::up_to(&found.path, len)?;
        let (before, mut told) = (read.done, read.done);
        let mut place = Place { file: name(&found.path), line: None };
        let expected = self.chain.expected();
        while let Some(line) = lines.next().map_err(at(&found.path))? {
            place.line = Some(line.number);
            if let Some(record) = self.chain.take(line.shape, &place, &mut self.findings) {
                if line.number == 1 && record.seq != found.first {
                    let what = format!(
                        "the segment begins with record {}, not with the one in its name",
                        record.seq
                    );
                    self.findings.add(Problem::SegmentName, Some(record.seq), &place, what);
                }
                self.record(&record, &place);
            }
            read.done = before + line.end;
            if read.done - told >= PROGRESS_BYTES {
                told = read.done;
                progress(*read);
            }
        }
        if place.line.is_none() && !(is_newest && found.first == expected) {
            let what = format!("the segment is empty; record {} should be in it", found.first);
            self.findings.add(Problem::SegmentEmpty, Some(found.first), &place, what);
        }
        progress(*read);
        Ok(())
    }

    fn record(&mut self, record: &AuditRecord, place: &Place) {
        let report = &mut self.report;
        if report.first_seq.is_none() {
            report.first_seq = Some(record.seq);
            self.compare_with_anchor(record.seq.saturating_sub(1), &record.prev, place);
        }
        let report = &mut self.report;
        report.records += 1;
        let time = record.time_ns;
        report.first_time_ns = Some(report.first_time_ns.map_or(time, |first| first.min(time)));
        report.last_time_ns = Some(report.last_time_ns.map_or(time, |last| last.max(time)));
        if report.newest.as_ref().is_none_or(|newest| newest.seq < record.seq) {
            report.newest = Some(record.receipt());
        }
        if record.code == codes::LOG_LOST.name {
            let count = record.detail.get("count").and_then(serde_json::Value::as_u64);
            report.lost = report.lost.saturating_add(count.unwrap_or(0));
        }
        self.compare_with_anchor(record.seq, &record.hash, place);
        self.proofs.take(record, place, &mut self.findings);
    }

    fn compare_with_anchor(&mut self, seq: u64, hash: &str, place: &Place) {
        let Some(Anchor(anchor)) = self.anchor else { return };
        if anchor.seq == seq && anchor.hash != hash {
            let what = format!("record {seq} is not the one of the anchor: the log was written anew");
            self.findings.add(Problem::AnchorMismatch, Some(seq), place, what);
        }
    }

    fn permissions(&mut self, dir: &Path, segments: &[Found], reader: u32) {
        let head = dir.join(HEAD_FILE);
        let files = segments.iter().map(|found| found.path.as_path());
        for path in [dir, &head].into_iter().chain(files) {
            let Ok(metadata) = fs::metadata(path) else { continue };
            let place = Place { file: name(path), line: None };
            let (mode, owner) = (metadata.mode() & PERMISSIONS, metadata.uid());
            if mode & OTHERS != 0 {
                let what = format!("its mode is {mode:04o}: others than root may use it");
                self.findings.add(Problem::Permissions, None, &place, what);
            }
            if owner != ROOT && owner != reader {
                let what =
                    format!("it belongs to uid {owner}, who is neither root nor the user who verifies");
                self.findings.add(Problem::Permissions, None, &place, what);
            }
        }
    }

    fn finish(mut self) -> Report {
        let last = self.chain.finish(&mut self.findings);
        let last = if self.report.segments == 0 { 0 } else { last };
        self.proofs.finish(last, &mut self.findings);
        let mut report = self.report;
        let first = report.first_seq.unwrap_or(1);
        if let Some(Anchor(anchor)) =
            self.anchor.filter(|anchor| anchor.0.seq > last || anchor.0.seq + 1 < first)
        {
            let place = Place { file: HEAD_FILE.to_owned(), line: None };
            let seq = anchor.seq;
            let what = if seq > last {
                format!(
                    "the log ends with record {last}, before record {seq} of the anchor: newer records were removed"
                )
            } else {
                format!(
                    "the log begins with record {first}, after record {seq} of the anchor: use a newer anchor"
                )
            };
            self.findings.add(Problem::AnchorOutside, Some(seq), &place, what);
        }
        report.checkpoints = self.proofs.checkpoints;
        report.covered_seq = self.proofs.covered;
        report.uncovered = last.saturating_sub(report.covered_seq);
        report.unattested = self.proofs.unattested;
        report.findings = self.findings.kept;
        report.findings_left_out = self.findings.left_out;
        report
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
