//! Whether records follow each other as they were written. A pure state machine: lines go in, findings come out.
//!
//! A line that cannot be read, or was changed, stands for one record that is not known; the next good record says
//! whether it took the place of one or was put in between.

use crate::codes;
use crate::head::nothing;
use crate::lines::Shape;
use crate::record::{AuditRecord, Invalid, MAX_LINE};

use super::finding::{Findings, Place, Problem, are};

/// Places where records are missing that are remembered, to tell moved records from doubled ones.
const MAX_GAPS: usize = 1000;

/// Records that were not there where they should be, and perhaps come later.
#[derive(Debug)]
struct Gap {
    first: u64,
    last: u64,
    place: Place,
    /// A new segment began there.
    at_segment: bool,
}

/// Records in a row that are not at their place.
#[derive(Debug)]
struct Run {
    problem: Problem,
    first: u64,
    last: u64,
    place: Place,
}

/// What the chain was so far.
#[derive(Debug)]
pub(super) struct Chain {
    next: u64,
    /// Lines since the last good record that stand for unknown ones.
    unknown: u64,
    /// Hash of record `next - 1` and where it stands, where that is known.
    last: Option<(String, Place)>,
    gaps: Vec<Gap>,
    run: Option<Run>,
}

impl Chain {
    /// A chain whose first record should have this number.
    pub(super) fn from(first: u64) -> Self {
        let last = (first <= 1).then(|| (nothing().hash, Place::default()));
        Self { next: first.max(1), unknown: 0, last, gaps: Vec::new(), run: None }
    }

    /// The number after the last that is known or stood for.
    pub(super) fn expected(&self) -> u64 {
        self.next.saturating_add(self.unknown)
    }

    /// Takes a line; the record, if it is one and was not changed since it was written.
    pub(super) fn take(
        &mut self,
        shape: Shape,
        place: &Place,
        findings: &mut Findings,
    ) -> Option<AuditRecord> {
        let seq = self.expected();
        let (problem, what) = match shape {
            Shape::Whole(line) => match AuditRecord::parse(&line) {
                Ok(record) if record.has_own_hash() => {
                    self.follow(&record, place, findings);
                    return Some(record);
                }
                Ok(_) => (
                    Problem::Changed,
                    format!("record {seq} was changed: it does not have the hash of what it says"),
                ),
                Err(Invalid::Json(why)) => (Problem::Json, format!("record {seq} cannot be read: {why}")),
                Err(Invalid::NotCanonical(_)) => (
                    Problem::NotCanonical,
                    format!("record {seq} was changed: it is not written as this log writes records"),
                ),
            },
            Shape::Torn(_) => (Problem::Torn, format!("record {seq} has no end: the line is cut off")),
            Shape::TooLong { .. } => (
                Problem::TooLong,
                format!("record {seq} cannot be read: the line is longer than {MAX_LINE} bytes"),
            ),
        };
        findings.add(problem, Some(seq), place, what);
        self.unknown = self.unknown.saturating_add(1);
        None
    }

    /// A record that has the hash of what it says: is it the one that belongs here?
    fn follow(&mut self, record: &AuditRecord, place: &Place, findings: &mut Findings) {
        let begins_segment = place.line == Some(1);
        if record.code == codes::LOG_BROKEN.name && begins_segment && record.seq >= self.next {
            let found = record.detail.get("found").and_then(|found| found.as_str()).unwrap_or("damage");
            let what = format!("agentd found the log damaged before record {}: {found}", record.seq);
            findings.add(Problem::FoundBroken, Some(record.seq), place, what);
            self.gap_before(record.seq, place);
            return self.go_on(record, place, findings);
        }
        if record.seq < self.next {
            return self.late(record, place, findings);
        }
        let linked = self.last.as_ref().map(|(hash, _)| *hash == record.prev);
        if record.seq == self.next {
            if linked == Some(false) {
                self.replaced(record, place, findings);
            }
        } else if linked == Some(true) {
            let (seq, has) = (self.next, record.seq);
            let what = format!("record {seq} was changed: it has the number {has}, and a new hash");
            findings.add(Problem::Number, Some(seq), place, what);
            self.last = None;
            self.next = self.next.saturating_add(1);
            return;
        } else {
            self.gap_before(record.seq, place);
        }
        self.go_on(record, place, findings);
    }

    fn go_on(&mut self, record: &AuditRecord, place: &Place, findings: &mut Findings) {
        self.end_run(findings);
        self.next = record.seq.saturating_add(1);
        self.unknown = 0;
        self.last = Some((record.hash.clone(), place.clone()));
    }

    fn replaced(&self, record: &AuditRecord, place: &Place, findings: &mut Findings) {
        let seq = record.seq;
        match (&self.last, seq.checked_sub(1)) {
            (Some((_, before)), Some(last)) if last > 0 => {
                let what = format!(
                    "record {last} is not the one that record {seq} was chained to: it was changed or replaced, and its \
                     hash made anew"
                );
                findings.add(Problem::Replaced, Some(last), before, what);
            }
            (Some(_) | None, _) => {
                let what = format!("record {seq} is not the first of a log: something came before it");
                findings.add(Problem::Replaced, Some(seq), place, what);
            }
        }
    }

    fn gap_before(&mut self, seq: u64, place: &Place) {
        let first = self.expected();
        if seq > first && self.gaps.len() < MAX_GAPS {
            let at_segment = place.line == Some(1) && self.unknown == 0;
            self.gaps.push(Gap { first, last: seq.saturating_sub(1), place: place.clone(), at_segment });
        }
    }

    /// A number that is past already: moved to here, or there twice.
    fn late(&mut self, record: &AuditRecord, place: &Place, findings: &mut Findings) {
        let seq = record.seq;
        let gap = self.gaps.iter().position(|gap| (gap.first..=gap.last).contains(&seq));
        let problem = match gap.map(|at| self.gaps.swap_remove(at)) {
            Some(gap) => {
                self.keep_rest(gap, seq);
                Problem::Moved
            }
            None => Problem::Duplicate,
        };
        match &mut self.run {
            Some(run) if run.problem == problem && run.last.checked_add(1) == Some(seq) => run.last = seq,
            _ => {
                self.end_run(findings);
                self.run = Some(Run { problem, first: seq, last: seq, place: place.clone() });
            }
        }
    }

    fn keep_rest(&mut self, gap: Gap, seq: u64) {
        if gap.first < seq {
            let (last, place) = (seq.saturating_sub(1), gap.place.clone());
            self.gaps.push(Gap { first: gap.first, last, place, at_segment: gap.at_segment });
        }
        if seq < gap.last {
            self.gaps.push(Gap { first: seq.saturating_add(1), ..gap });
        }
    }

    fn end_run(&mut self, findings: &mut Findings) {
        let Some(Run { problem, first, last, place }) = self.run.take() else { return };
        let are = are(first, last);
        let what = match problem {
            Problem::Moved => format!("{are} not where it was written, but after later ones"),
            _duplicate => {
                format!("{are} there a second time, or put in between under a number that was used")
            }
        };
        findings.add_range(problem, Some(first), Some(last), &place, what);
    }

    /// No more lines: what is missing now is missing.
    pub(super) fn finish(mut self, findings: &mut Findings) -> u64 {
        self.end_run(findings);
        self.gaps.sort_by_key(|gap| gap.first);
        for gap in &self.gaps {
            let are = are(gap.first, gap.last);
            let (problem, what) = if gap.at_segment {
                (Problem::MissingSegment, format!("{are} missing: a segment or its end is not there"))
            } else {
                (Problem::Missing, format!("{are} missing before this line"))
            };
            findings.add_range(problem, Some(gap.first), Some(gap.last), &gap.place, what);
        }
        self.expected().saturating_sub(1)
    }
}
