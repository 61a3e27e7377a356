//! What was found, in one sentence and with its place.

use serde::Serialize;

/// Findings that are kept. Somebody who reads a thousand has understood; the rest is counted.
pub const MAX_FINDINGS: usize = 1000;

/// The kind of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// A line is not the JSON of a record.
    Json,
    /// A line says what a record says, written otherwise.
    NotCanonical,
    /// A line is longer than any record.
    TooLong,
    /// The last line has no end.
    Torn,
    /// A record does not have the hash of what it says.
    Changed,
    /// A record has the hash of what it says, but is not the one that the next was chained to.
    Replaced,
    /// A record follows the one before it, but has another number.
    Number,
    /// Records are missing inside a segment or at the end of one.
    Missing,
    /// A whole segment is missing.
    MissingSegment,
    /// The oldest records are missing, and nothing says that their time was up.
    MissingStart,
    /// The oldest records are missing, and what says that their time was up is signed by nobody.
    RetentionUnsigned,
    /// The newest records are missing.
    Truncated,
    /// Records behind the end of a log that was closed, which agentd did not write.
    AfterClosed,
    /// A second record has a number that was used.
    Duplicate,
    /// A record stands at another place than it was written to.
    Moved,
    /// A segment has not the number of its first record in its name.
    SegmentName,
    /// A segment is empty and not the newest.
    SegmentEmpty,
    /// Something that does not belong into the directory.
    Stranger,
    /// There is no head.
    HeadMissing,
    /// The head is not what this log writes.
    HeadUnreadable,
    /// The head attests another record of that number.
    HeadMismatch,
    /// The head is older than the log.
    HeadRolledBack,
    /// A checkpoint does not speak about the record before it.
    Checkpoint,
    /// A signature is not right.
    Signature,
    /// A signature is by a key that nobody trusts.
    UnknownKey,
    /// A signature is by a revoked key, and no later one by a trusted key covers it.
    RevokedKey,
    /// agentd itself found the log damaged when it opened it.
    FoundBroken,
    /// The anchor is of another record than the one in the log.
    AnchorMismatch,
    /// The log ends before the anchor, or begins after it.
    AnchorOutside,
    /// Others than root and the user who verifies own it, or may read or write it.
    Permissions,
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The kind.
    pub problem: Problem,
    /// The record, or the first of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The last of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<u64>,
    /// Name of the file.
    pub file: String,
    /// From 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// One sentence.
    pub what: String,
}

impl Finding {
    /// `file:line`, or the file alone.
    pub fn place(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}", self.file),
            None => self.file.clone(),
        }
    }

    /// `7`, `7-9`, or nothing.
    pub fn records(&self) -> String {
        match (self.seq, self.through) {
            (Some(first), Some(last)) if last != first => format!("{first}-{last}"),
            (Some(seq), _) => seq.to_string(),
            (None, _) => String::new(),
        }
    }
}

/// `record 7 is`, `records 7 to 9 are`.
pub(super) fn are(first: u64, last: u64) -> String {
    if first == last { format!("record {first} is") } else { format!("records {first} to {last} are") }
}

/// A line of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) line: Option<u64>,
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) kept: Vec<Finding>,
    pub(super) left_out: u64,
}

impl Findings {
    pub(super) fn add(&mut self, problem: Problem, seq: Option<u64>, place: &Place, what: impl Into<String>) {
        self.add_range(problem, seq, None, place, what);
    }

    pub(super) fn add_range(
        &mut self,
        problem: Problem,
        seq: Option<u64>,
        through: Option<u64>,
        place: &Place,
        what: impl Into<String>,
    ) {
        if self.kept.len() >= MAX_FINDINGS {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        let (file, line) = (place.file.clone(), place.line);
        self.kept.push(Finding { problem, seq, through, file, line, what: what.into() });
    }
}
