//! What signatures cover: checkpoints in the chain, the head beside it, and lawful removals of the oldest records.

use serde::Deserialize;

use crate::codes;
use crate::end::Parts;
use crate::head::{HEAD_FILE, Head};
use crate::record::{AuditRecord, Receipt};
use crate::sign::{Attestation, Verdict, Verifier, What};

use super::finding::{Findings, Place, Problem, are};

/// What LOG_RETENTION says, as far as it is needed.
#[derive(Deserialize)]
struct Retention {
    segments: Vec<Removed>,
}

#[derive(Deserialize)]
struct Removed {
    last_seq: u64,
    last_hash: String,
}

/// The first record that is there, when it is not number 1.
#[derive(Debug)]
struct Start {
    seq: u64,
    /// Hash of the record before, where the first record can be read.
    prev: Option<String>,
    place: Place,
    /// Records that say that what came before was past its time.
    lawful: Vec<u64>,
    /// The newest that said so and that nothing attested when agentd opened the log the next time.
    unattested: Option<u64>,
}

/// A checkpoint by a revoked key, until a trusted one covers it.
#[derive(Debug)]
struct Pending {
    seq: u64,
    place: Place,
    key_id: String,
}

/// What was proven so far.
pub(super) struct Proofs<'v> {
    verifier: Option<&'v dyn Verifier>,
    head: Head,
    head_matches: bool,
    /// Newest record that a checkpoint speaks about, whoever signed it.
    claimed: u64,
    pub(super) covered: u64,
    pub(super) checkpoints: u64,
    revoked: Option<Pending>,
    start: Option<Start>,
    parts: Parts,
    /// LOG_CLOSED and checkpoints right after one, as far as a head may still speak about them.
    ends: Vec<u64>,
    /// The newest record that agentd does not write behind an end.
    newest_other: u64,
    /// The newest LOG_REPAIRED.
    repaired: u64,
    /// Records that were not attested at an opening, and the newest of them.
    pub(super) unattested: u64,
    unattested_through: u64,
}

impl<'v> Proofs<'v> {
    pub(super) fn new(head: Head, verifier: Option<&'v dyn Verifier>) -> Self {
        Self {
            verifier,
            head,
            head_matches: false,
            claimed: 0,
            covered: 0,
            checkpoints: 0,
            revoked: None,
            start: None,
            parts: Parts::default(),
            ends: Vec::new(),
            newest_other: 0,
            repaired: 0,
            unattested: 0,
            unattested_through: 0,
        }
    }

    /// The log begins with this number.
    pub(super) fn begins(&mut self, seq: u64, place: Place) {
        if seq > 1 {
            self.start = Some(Start { seq, prev: None, place, lawful: Vec::new(), unattested: None });
        }
    }

    /// Takes a record that was not changed.
    pub(super) fn take(&mut self, record: &AuditRecord, place: &Place, findings: &mut Findings) {
        if let Some(start) = self.start.as_mut().filter(|start| start.seq == record.seq) {
            start.prev.get_or_insert_with(|| record.prev.clone());
        }
        self.compare_with_head(record, place, findings);
        self.part(record);
        if record.code == codes::LOG_CHECKPOINT.name {
            self.checkpoint(record, place, findings);
        } else if record.code == codes::LOG_RETENTION.name {
            self.retention(record);
        } else if record.code == codes::LOG_REPAIRED.name {
            self.repaired = record.seq;
        } else if record.code == codes::LOG_OPENED.name {
            self.opened(record, place, findings);
        }
    }

    fn part(&mut self, record: &AuditRecord) {
        let part = self.parts.of(record);
        if part.is_end() {
            // Heads only go forward: none that is found later speaks about less than is signed.
            let signed = self.signed();
            self.ends.retain(|end| *end >= signed);
            self.ends.push(record.seq);
        }
        if !part.may_follow_end() {
            self.newest_other = self.newest_other.max(record.seq);
        }
    }

    /// Newest record that a checkpoint signs so far; without keys, whoever signed it.
    fn signed(&self) -> u64 {
        if self.verifier.is_some() { self.covered } else { self.claimed }
    }

    /// The log was opened. What the head did not attest then is signed from here on, whoever wrote it.
    fn opened(&mut self, record: &AuditRecord, place: &Place, findings: &mut Findings) {
        let repaired = u64::from(self.repaired.checked_add(1) == Some(record.seq));
        let through = record.seq.saturating_sub(1).saturating_sub(repaired);
        let count = record.detail.get("unattested").and_then(serde_json::Value::as_u64).unwrap_or(0);
        let mut attested = through.saturating_sub(count);
        // After a start that failed, the next one counts the same records again.
        self.unattested += through.saturating_sub(attested.max(self.unattested_through));
        self.unattested_through = self.unattested_through.max(through);
        let head = record.detail.get("head").cloned().map(serde_json::from_value::<Attestation>);
        if let Some(Ok(head)) = head {
            attested = self.found_head(&head, record.seq, place, findings);
        }
        self.behind_end(attested, place, findings);
        // A removal follows its LOG_RETENTION only when the head attests that.
        let signed = self.signed();
        if let Some(start) = &mut self.start {
            let is_proven = |seq: &u64| *seq <= attested || *seq <= signed;
            start.unattested = start.lawful.iter().copied().rfind(|seq| !is_proven(seq)).or(start.unattested);
            start.lawful.retain(is_proven);
        }
    }

    /// How far the head attested that an opening found: not at all, if no key did.
    fn found_head(&self, head: &Attestation, seq: u64, place: &Place, findings: &mut Findings) -> u64 {
        let key_id = &head.statement.key_id;
        let (problem, signed) = match self.verifier.map(|verifier| head.verdict(verifier)) {
            // What a revoked key signed is covered by the checkpoint that follows, or is a finding there.
            None | Some(Verdict::Good | Verdict::Revoked) if head.statement.what == What::Head => {
                return head.statement.seq;
            }
            None | Some(Verdict::Good | Verdict::Revoked | Verdict::Bad) => {
                (Problem::Signature, format!("is not signed by key {key_id}"))
            }
            Some(Verdict::UnknownKey) => {
                (Problem::UnknownKey, format!("is signed with key {key_id}, which nobody trusts"))
            }
        };
        let what = format!("{HEAD_FILE} as agentd found it when it wrote record {seq} {signed}");
        findings.add(problem, Some(seq), place, what);
        0
    }

    /// Records behind an end that was attested, which no opening writes.
    fn behind_end(&self, attested: u64, place: &Place, findings: &mut Findings) {
        let (first, last) = (attested.saturating_add(1), self.newest_other);
        if self.ends.contains(&attested) && first <= last {
            let what = format!("{} not agentd's: the log was closed before", are(first, last));
            findings.add_range(Problem::AfterClosed, Some(first), Some(last), place, what);
        }
    }

    fn compare_with_head(&mut self, record: &AuditRecord, place: &Place, findings: &mut Findings) {
        let Head::There(head) = &self.head else { return };
        let Receipt { seq, hash } = head.receipt();
        let at_start = self.start.as_ref().is_some_and(|start| start.seq == record.seq);
        let same = if record.seq == seq {
            record.hash == hash
        } else if at_start && record.seq.checked_sub(1) == Some(seq) {
            record.prev == hash
        } else {
            return;
        };
        if same {
            self.head_matches = true;
        } else {
            let what = format!("record {seq} is not the one that {HEAD_FILE} attests");
            findings.add(Problem::HeadMismatch, Some(seq), place, what);
        }
    }

    fn checkpoint(&mut self, record: &AuditRecord, place: &Place, findings: &mut Findings) {
        let seq = record.seq;
        let about_the_one_before = |signed: &Attestation| {
            let statement = &signed.statement;
            statement.what == What::Checkpoint
                && statement.seq.checked_add(1) == Some(seq)
                && statement.hash == record.prev
        };
        let signed: Attestation = match serde_json::from_value(record.detail.clone()) {
            Ok(signed) if about_the_one_before(&signed) => signed,
            Ok(_) | Err(_) => {
                let what = format!("checkpoint {seq} does not speak about the record before it");
                return findings.add(Problem::Checkpoint, Some(seq), place, what);
            }
        };
        self.claimed = self.claimed.max(signed.statement.seq);
        let Some(verifier) = self.verifier else { return };
        let key_id = signed.statement.key_id.clone();
        match signed.verdict(verifier) {
            Verdict::Good => {
                self.checkpoints = self.checkpoints.saturating_add(1);
                self.covered = self.covered.max(signed.statement.seq);
                // The chain up to here is what a trusted key signed, whatever signed parts of it before.
                self.revoked = None;
            }
            Verdict::Revoked => {
                self.revoked.get_or_insert(Pending { seq, place: place.clone(), key_id });
            }
            Verdict::Bad => {
                let what = format!("the signature of checkpoint {seq} is not by key {key_id}");
                findings.add(Problem::Signature, Some(seq), place, what);
            }
            Verdict::UnknownKey => {
                let what = format!("checkpoint {seq} is signed with key {key_id}, which nobody trusts");
                findings.add(Problem::UnknownKey, Some(seq), place, what);
            }
        }
    }

    fn retention(&mut self, record: &AuditRecord) {
        let Some(start) = &mut self.start else { return };
        let Ok(retention) = serde_json::from_value::<Retention>(record.detail.clone()) else { return };
        let removed = retention.segments.iter().any(|removed| {
            removed.last_seq.checked_add(1) == Some(start.seq)
                && start.prev.as_ref().is_none_or(|prev| *prev == removed.last_hash)
        });
        if removed {
            start.lawful.push(record.seq);
        }
    }

    /// No more records; `last` is the number of the newest.
    pub(super) fn finish(&mut self, last: u64, findings: &mut Findings) {
        let place = Place { file: HEAD_FILE.to_owned(), line: None };
        match self.head.clone() {
            Head::Missing => {
                let what = if last == 0 { "there is no audit log here" } else { "head.json is missing" };
                findings.add(Problem::HeadMissing, None, &place, what);
            }
            Head::Unreadable(why) => {
                findings.add(
                    Problem::HeadUnreadable,
                    None,
                    &place,
                    format!("head.json cannot be read: {why}"),
                );
            }
            Head::There(head) => self.head(&head, last, &place, findings),
        }
        if let Some(Pending { seq, place, key_id }) = self.revoked.take() {
            let what = format!(
                "checkpoint {seq} is signed with key {key_id}, which is revoked, and no trusted key signed later"
            );
            findings.add(Problem::RevokedKey, Some(seq), &place, what);
        }
        self.start(findings);
    }

    fn head(&mut self, head: &Attestation, last: u64, place: &Place, findings: &mut Findings) {
        let (seq, key_id) = (head.statement.seq, &head.statement.key_id);
        self.behind_end(seq, place, findings);
        let first = self.start.as_ref().map_or(1, |start| start.seq);
        if seq > last {
            let what =
                format!("{} missing at the end: {HEAD_FILE} attests {seq}", are(last.saturating_add(1), seq));
            findings.add_range(Problem::Truncated, Some(last.saturating_add(1)), Some(seq), place, what);
        } else if seq < self.claimed || seq.saturating_add(1) < first {
            let newer = self.claimed.max(first.saturating_sub(1));
            let what = format!(
                "{HEAD_FILE} attests record {seq}, but the log was at {newer} already: it is an old one"
            );
            findings.add(Problem::HeadRolledBack, Some(seq), place, what);
        }
        let Some(verifier) = self.verifier else { return };
        match head.verdict(verifier) {
            Verdict::Good if self.head_matches => {
                self.covered = self.covered.max(seq);
                self.revoked = None;
            }
            Verdict::Good => {}
            Verdict::Bad => {
                findings.add(
                    Problem::Signature,
                    None,
                    place,
                    format!("the signature of {HEAD_FILE} is not by key {key_id}"),
                );
            }
            Verdict::UnknownKey => {
                let what = format!("{HEAD_FILE} is signed with key {key_id}, which nobody trusts");
                findings.add(Problem::UnknownKey, None, place, what);
            }
            Verdict::Revoked => {
                findings.add(
                    Problem::RevokedKey,
                    None,
                    place,
                    format!("{HEAD_FILE} is signed with key {key_id}, which is revoked"),
                );
            }
        }
    }

    fn start(&self, findings: &mut Findings) {
        let Some(start) = &self.start else { return };
        let last = start.seq.saturating_sub(1);
        let are = are(1, last);
        // The oldest is covered if any is.
        let (problem, what) = match (start.lawful.iter().min(), start.unattested) {
            (Some(seq), _) if self.verifier.is_some() && *seq > self.covered => (
                Problem::RetentionUnsigned,
                format!("{are} missing, and LOG_RETENTION in record {seq} is signed by nobody"),
            ),
            (Some(_), _) => return,
            (None, Some(seq)) => (
                Problem::RetentionUnsigned,
                format!(
                    "{are} missing, and LOG_RETENTION in record {seq} was attested by nobody when agentd opened the log \
                     after it"
                ),
            ),
            (None, None) => (
                Problem::MissingStart,
                format!("{are} missing, and no LOG_RETENTION says that the time was up"),
            ),
        };
        findings.add_range(problem, Some(1), Some(last), &start.place, what);
    }
}
