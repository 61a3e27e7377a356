//! Every kind of tampering, and how it is found: by its name, at its record.

use super::*;
use crate::AuditRecord;
use crate::Code;
use crate::verify::Anchor;

/// The log of a host and what an attacker can do to it.
struct Victim {
    _temporary: tempfile::TempDir,
    dir: PathBuf,
}

impl Victim {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("audit");
        crate::files::make_dir(&dir).unwrap();
        LOG.iter().for_each(|(name, content)| fs::write(dir.join(name), content).unwrap());
        Self { _temporary: temporary, dir }
    }

    fn lines(&self, segment: usize) -> Vec<String> {
        let content = fs::read_to_string(&segments(&self.dir)[segment]).unwrap();
        content.lines().map(str::to_owned).collect()
    }

    fn put(&self, segment: usize, lines: &[String]) {
        let content: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(&segments(&self.dir)[segment], content).unwrap();
    }

    fn edit(&self, segment: usize, edit: impl FnOnce(&mut Vec<String>)) {
        let mut lines = self.lines(segment);
        edit(&mut lines);
        self.put(segment, &lines);
    }

    /// Changes a record and makes its hash anew.
    fn forge(&self, segment: usize, line: usize, change: impl FnOnce(&mut AuditRecord)) {
        self.edit(segment, |lines| lines[line] = forged(&lines[line], change));
    }

    /// Changes a record and makes every hash after it anew; signatures it cannot make.
    fn forge_to_the_end(&self, segment: usize, line: usize, change: impl FnOnce(&mut AuditRecord)) {
        self.forge(segment, line, change);
        let mut prev = record(&self.lines(segment)[line]).hash;
        for at in segment..segments(&self.dir).len() {
            let skip = if at == segment { line + 1 } else { 0 };
            self.edit(at, |lines| {
                for line in lines.iter_mut().skip(skip) {
                    *line = forged(line, |record| record.prev = prev.clone());
                    prev = record(line).hash;
                }
            });
        }
    }

    /// Puts a record behind the last one; the number it got.
    fn append(&self, code: Code, detail: serde_json::Value) -> u64 {
        let newest = segments(&self.dir).pop().unwrap();
        let added = self.next(code, detail);
        append_bytes(&newest, &added.line().unwrap());
        added.seq
    }

    /// A record that follows the last one.
    fn next(&self, code: Code, detail: serde_json::Value) -> AuditRecord {
        let last = record(self.lines(segments(&self.dir).len() - 1).last().unwrap());
        let entry = Entry::new(code, "agentd").detail(detail);
        AuditRecord::chain(entry, last.seq + 1, NOON + 100, &last.hash).unwrap()
    }

    /// Removes the oldest segment and says that its time was up; the number of that record.
    fn remove_oldest(&self) -> u64 {
        let removed = record(self.lines(0).last().unwrap());
        let segments_removed = json!([{"last_seq": removed.seq, "last_hash": removed.hash}]);
        let seq = self.append(codes::LOG_RETENTION, json!({ "segments": segments_removed }));
        fs::remove_file(&segments(&self.dir)[0]).unwrap();
        seq
    }

    /// Has the head say that it attests the newest record. A signature cannot be made.
    fn forge_head(&self) {
        let last = record(self.lines(segments(&self.dir).len() - 1).last().unwrap());
        edit_head(self, |head| {
            head["statement"]["seq"] = json!(last.seq);
            head["statement"]["hash"] = json!(last.hash);
        });
    }

    fn head(&self) -> PathBuf {
        self.dir.join("head.json")
    }

    fn found(&self) -> Vec<(Problem, Option<u64>)> {
        problems(&checked(&self.dir))
    }
}

fn record(line: &str) -> AuditRecord {
    serde_json::from_str(line).unwrap()
}

fn forged(line: &str, change: impl FnOnce(&mut AuditRecord)) -> String {
    let mut record = record(line);
    change(&mut record);
    record.hash = record.computed_hash().unwrap();
    String::from_utf8(record.line().unwrap()).unwrap().trim_end().to_owned()
}

/// The number of the record in a line of a segment.
fn seq(victim: &Victim, segment: usize, line: usize) -> u64 {
    record(&victim.lines(segment)[line]).seq
}

/// One kind of tampering, and the first finding that it must lead to: its problem, and its record.
struct Case {
    name: &'static str,
    /// Returns the record that the finding must name.
    tamper: fn(&Victim) -> Option<u64>,
    found: Problem,
}

const fn case(name: &'static str, found: Problem, tamper: fn(&Victim) -> Option<u64>) -> Case {
    Case { name, tamper, found }
}

const CASES: &[Case] = &[
    case("a detail is changed", Problem::Changed, |log| {
        log.edit(1, |lines| lines[2] = lines[2].replace("ssh_keys", "ssh_kexs"));
        Some(seq(log, 1, 2))
    }),
    case("an actor is changed", Problem::Changed, |log| {
        log.edit(0, |lines| lines[3] = lines[3].replace(r#""actor":"agentd""#, r#""actor":"agentx""#));
        Some(seq(log, 0, 3))
    }),
    case("an agent is taken out", Problem::Changed, |log| {
        log.edit(0, |lines| lines[3] = lines[3].replace(r#""agent":"coding-agent","#, ""));
        Some(seq(log, 0, 3))
    }),
    case("a time is changed", Problem::Changed, |log| {
        log.edit(0, |lines| {
            let mut record = record(&lines[3]);
            record.time_ns += 1;
            lines[3] = String::from_utf8(record.line().unwrap()).unwrap().trim_end().to_owned();
        });
        Some(seq(log, 0, 3))
    }),
    case("a hash is changed", Problem::Changed, |log| {
        let seq = seq(log, 0, 3);
        log.edit(0, |lines| {
            let hash = record(&lines[3]).hash;
            lines[3] = lines[3].replace(&hash, &"ab".repeat(32));
        });
        Some(seq)
    }),
    case("a record is changed and its hash made anew", Problem::Replaced, |log| {
        log.forge(1, 2, |record| record.code = "DECISION_AUDIT".to_owned());
        Some(seq(log, 1, 2))
    }),
    case("the last record of a segment is replaced", Problem::Replaced, |log| {
        let last = log.lines(0).len() - 1;
        log.forge(0, last, |record| record.time_ns += 1);
        Some(seq(log, 0, last))
    }),
    case("the first record is replaced", Problem::Replaced, |log| {
        log.forge(0, 0, |record| record.detail = json!({"host": "other", "unattested": 0}));
        Some(1)
    }),
    case("something is put before the first record", Problem::Replaced, |log| {
        log.forge(0, 0, |record| record.prev = "ab".repeat(32));
        Some(1)
    }),
    case("a record gets another number and a new hash", Problem::Number, |log| {
        let seq = seq(log, 1, 2);
        log.forge(1, 2, |record| record.seq += 7);
        Some(seq)
    }),
    case("every hash from a record on is made anew", Problem::Checkpoint, |log| {
        log.forge_to_the_end(1, 1, |record| record.actor = "nobody".to_owned());
        let checkpoint = log
            .lines(1)
            .iter()
            .skip(2)
            .map(|line| record(line))
            .find(|record| record.code == "LOG_CHECKPOINT");
        checkpoint.map(|record| record.seq)
    }),
    case("a record is removed", Problem::Missing, |log| {
        let seq = seq(log, 1, 2);
        log.edit(1, |lines| drop(lines.remove(2)));
        Some(seq)
    }),
    case("three records are removed", Problem::Missing, |log| {
        let seq = seq(log, 1, 2);
        log.edit(1, |lines| drop(lines.drain(2..5)));
        Some(seq)
    }),
    case("a record is removed and the next gets its number", Problem::Replaced, |log| {
        let before = seq(log, 1, 1);
        log.edit(1, |lines| {
            lines.remove(2);
            lines[2] = forged(&lines[2], |record| record.seq -= 1);
        });
        Some(before)
    }),
    case("the end of a segment is removed", Problem::MissingSegment, |log| {
        let last = log.lines(0).len() - 1;
        let seq = seq(log, 0, last);
        log.edit(0, |lines| drop(lines.pop()));
        Some(seq)
    }),
    case("the end of the log is removed", Problem::Truncated, |log| {
        let segment = segments(&log.dir).len() - 1;
        let last = log.lines(segment).len() - 1;
        let seq = seq(log, segment, last);
        log.edit(segment, |lines| drop(lines.pop()));
        Some(seq)
    }),
    case("the last record is cut in the middle", Problem::Torn, |log| {
        let segment = segments(&log.dir).len() - 1;
        let seq = seq(log, segment, log.lines(segment).len() - 1);
        let path = &segments(&log.dir)[segment];
        let content = fs::read(path).unwrap();
        fs::write(path, &content[..content.len() - 20]).unwrap();
        Some(seq)
    }),
    case("two records are swapped", Problem::Moved, |log| {
        let seq = seq(log, 1, 2);
        log.edit(1, |lines| lines.swap(2, 3));
        Some(seq)
    }),
    case("a record is moved into another segment", Problem::Moved, |log| {
        let moved = log.lines(0).remove(3);
        log.edit(0, |lines| drop(lines.remove(3)));
        log.edit(1, |lines| lines.insert(2, moved.clone()));
        Some(record(&moved).seq)
    }),
    case("a record is doubled", Problem::Duplicate, |log| {
        log.edit(1, |lines| lines.insert(3, lines[2].clone()));
        Some(seq(log, 1, 2))
    }),
    case("a forged record is put in between", Problem::Duplicate, |log| {
        let number = seq(log, 1, 3);
        log.edit(1, |lines| {
            let prev = record(&lines[2]).hash;
            let inserted = forged(&lines[2], |record| {
                record.seq = number;
                record.prev = prev;
            });
            lines.insert(3, inserted);
        });
        Some(number)
    }),
    case("a line that is no record is put in between", Problem::Json, |log| {
        let number = seq(log, 1, 3);
        log.edit(1, |lines| lines.insert(3, "{}".to_owned()));
        Some(number)
    }),
    case("an empty line is put in between", Problem::Json, |log| {
        let number = seq(log, 1, 3);
        log.edit(1, |lines| lines.insert(3, String::new()));
        Some(number)
    }),
    case("a key is written twice", Problem::Json, |log| {
        log.edit(1, |lines| lines[3] = lines[3].replacen('{', r#"{"actor":"nobody","#, 1));
        Some(seq_of_original(log, 1, 3))
    }),
    case("a key is added", Problem::Json, |log| {
        log.edit(1, |lines| lines[3] = lines[3].replacen('{', r#"{"note":1,"#, 1));
        Some(seq_of_original(log, 1, 3))
    }),
    case("a space is added", Problem::NotCanonical, |log| {
        log.edit(1, |lines| lines[3] = lines[3].replacen(':', ": ", 1));
        Some(seq(log, 1, 3))
    }),
    case("a carriage return is added", Problem::NotCanonical, |log| {
        log.edit(1, |lines| lines[3].push('\r'));
        Some(seq(log, 1, 3))
    }),
    case("a letter is written as an escape", Problem::NotCanonical, |log| {
        log.edit(1, |lines| lines[3] = lines[3].replacen("coding", "\\u0063oding", 1));
        Some(seq(log, 1, 3))
    }),
    case("a line is made longer than any record", Problem::TooLong, |log| {
        let number = seq(log, 1, 3);
        log.edit(1, |lines| lines[3] = "x".repeat(crate::MAX_LINE + 5));
        Some(number)
    }),
    case("a middle segment is removed", Problem::MissingSegment, |log| {
        let first = seq(log, 1, 0);
        fs::remove_file(&segments(&log.dir)[1]).unwrap();
        Some(first)
    }),
    case("the newest segment is removed", Problem::Truncated, |log| {
        let newest = segments(&log.dir).len() - 1;
        let first = seq(log, newest, 0);
        fs::remove_file(&segments(&log.dir)[newest]).unwrap();
        Some(first)
    }),
    case("the oldest segment is removed", Problem::MissingStart, |log| {
        fs::remove_file(&segments(&log.dir)[0]).unwrap();
        Some(1)
    }),
    case("all segments are removed", Problem::Truncated, |log| {
        segments(&log.dir).iter().for_each(|path| fs::remove_file(path).unwrap());
        Some(1)
    }),
    case("everything is removed", Problem::HeadMissing, |log| {
        segments(&log.dir).iter().for_each(|path| fs::remove_file(path).unwrap());
        fs::remove_file(log.head()).unwrap();
        None
    }),
    case("two segments change their names", Problem::SegmentName, |log| {
        let (one, two) = (&segments(&log.dir)[1], &segments(&log.dir)[2]);
        let first = seq(log, 2, 0);
        let (a, b) = (fs::read(one).unwrap(), fs::read(two).unwrap());
        fs::write(one, b).unwrap();
        fs::write(two, a).unwrap();
        Some(first)
    }),
    case("a segment is renamed", Problem::SegmentName, |log| {
        let first = seq(log, 1, 0);
        fs::rename(&segments(&log.dir)[1], log.dir.join(crate::files::segment_name(first + 1))).unwrap();
        Some(first)
    }),
    case("a segment gets a name that is none", Problem::Stranger, |log| {
        fs::rename(&segments(&log.dir)[1], log.dir.join("audit-old.ndjson")).unwrap();
        None
    }),
    case("a segment is emptied", Problem::SegmentEmpty, |log| {
        let first = seq(log, 1, 0);
        fs::write(&segments(&log.dir)[1], "").unwrap();
        Some(first)
    }),
    case("a segment is copied to a later number", Problem::SegmentName, |log| {
        let first = seq(log, 1, 0);
        fs::copy(&segments(&log.dir)[1], log.dir.join(crate::files::segment_name(9999))).unwrap();
        Some(first)
    }),
    case("a segment is a link to elsewhere", Problem::Stranger, |log| {
        let path = &segments(&log.dir)[1];
        let elsewhere = log.dir.parent().unwrap().join("elsewhere");
        fs::rename(path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(elsewhere, path).unwrap();
        None
    }),
    case("the head is removed", Problem::HeadMissing, |log| {
        fs::remove_file(log.head()).unwrap();
        None
    }),
    case("the head is no JSON", Problem::HeadUnreadable, |log| {
        fs::write(log.head(), "{").unwrap();
        None
    }),
    case("the head has another signature", Problem::Signature, |log| {
        edit_head(log, |head| head["signature"] = json!("AAAA"));
        None
    }),
    case("the head names a key that nobody trusts", Problem::UnknownKey, |log| {
        edit_head(log, |head| head["statement"]["key_id"] = json!("mine"));
        None
    }),
    case("the head is an old one", Problem::HeadRolledBack, |log| {
        let other = tempfile::tempdir().unwrap();
        let mut early = open(other.path(), NOON);
        early.append_durable(entry(0), NOON).unwrap();
        fs::write(log.head(), fs::read(other.path().join("head.json")).unwrap()).unwrap();
        Some(early.attested())
    }),
    case("the head is of another log", Problem::HeadMismatch, |log| {
        let other = tempfile::tempdir().unwrap();
        let mut otherwise = open(other.path(), NOON);
        for number in 0..40 {
            otherwise.append(entry(number + 1), NOON + number).unwrap();
        }
        let seq = otherwise.close(NOON + 40).unwrap().seq;
        fs::write(log.head(), fs::read(other.path().join("head.json")).unwrap()).unwrap();
        Some(seq)
    }),
    case("a checkpoint's signature is replaced", Problem::Signature, |log| {
        let at = log.lines(1).iter().position(|line| line.contains("LOG_CHECKPOINT")).unwrap();
        log.forge_to_the_end(1, at, |record| record.detail["signature"] = json!("AAAA"));
        Some(seq(log, 1, at))
    }),
    case("a checkpoint is signed with a stranger's key", Problem::UnknownKey, |log| {
        let at = log.lines(1).iter().position(|line| line.contains("LOG_CHECKPOINT")).unwrap();
        log.forge_to_the_end(1, at, |record| record.detail["statement"]["key_id"] = json!("mine"));
        Some(seq(log, 1, at))
    }),
    case("a checkpoint is taken from elsewhere", Problem::Checkpoint, |log| {
        let at = log.lines(1).iter().position(|line| line.contains("LOG_CHECKPOINT")).unwrap();
        let other = record(log.lines(0).iter().find(|line| line.contains("LOG_CHECKPOINT")).unwrap());
        log.forge(1, at, |record| record.detail = other.detail);
        Some(seq(log, 1, at))
    }),
    case(
        "the oldest segment goes with a forged LOG_RETENTION at the end",
        Problem::RetentionUnsigned,
        |log| {
            let removed = record(log.lines(0).last().unwrap());
            fs::remove_file(&segments(&log.dir)[0]).unwrap();
            let newest = segments(&log.dir).len() - 1;
            log.edit(newest, |lines| {
                let last = record(lines.last().unwrap());
                let forged = forged(lines.last().unwrap(), |record| {
                    record.code = "LOG_RETENTION".to_owned();
                    record.seq += 1;
                    record.prev = last.hash;
                    record.detail =
                        json!({"segments": [{"last_seq": removed.seq, "last_hash": removed.hash}]});
                });
                lines.push(forged);
            });
            Some(1)
        },
    ),
    case("a record is put behind the end", Problem::AfterClosed, |log| {
        Some(log.append(codes::ADMISSION_ALLOW, json!({})))
    }),
];

/// What agentd signs when it is started again after it ended in order, and what is found then.
const REOPENED: &[Case] = &[
    case("the oldest segment goes with a forged LOG_RETENTION", Problem::RetentionUnsigned, |log| {
        log.remove_oldest();
        Some(1)
    }),
    case("and bytes behind it that are cut off", Problem::RetentionUnsigned, |log| {
        log.remove_oldest();
        append_bytes(segments(&log.dir).last().unwrap(), b"{");
        Some(1)
    }),
    case("and a forged LOG_REPAIRED behind it", Problem::RetentionUnsigned, |log| {
        log.remove_oldest();
        log.append(codes::LOG_REPAIRED, json!({}));
        Some(1)
    }),
    case("and a forged LOG_OPENED behind it", Problem::RetentionUnsigned, |log| {
        log.remove_oldest();
        log.append(codes::LOG_OPENED, json!({"host": "test", "unattested": 0}));
        Some(1)
    }),
    case("and a forged head that attests it", Problem::RetentionUnsigned, |log| {
        log.remove_oldest();
        log.forge_head();
        Some(1)
    }),
    case("a record is put behind the end", Problem::AfterClosed, |log| {
        Some(log.append(codes::ADMISSION_ALLOW, json!({})))
    }),
    case("a record is put behind the end, and agentd sees it", Problem::FoundBroken, |log| {
        Some(log.append(codes::ADMISSION_ALLOW, json!({})) + 1)
    }),
    case("an end is put behind the end", Problem::AfterClosed, |log| {
        Some(log.append(codes::LOG_CLOSED, json!({})))
    }),
    case("a record is put behind the end and a forged LOG_OPENED", Problem::AfterClosed, |log| {
        let opened = log.append(codes::LOG_OPENED, json!({"host": "test", "unattested": 0}));
        log.append(codes::ADMISSION_ALLOW, json!({}));
        Some(opened)
    }),
    case("a record is put behind the end in front of a forged LOG_OPENED", Problem::AfterClosed, |log| {
        let seq = log.append(codes::ADMISSION_ALLOW, json!({}));
        log.append(codes::LOG_OPENED, json!({"host": "test", "unattested": 0}));
        Some(seq)
    }),
    case("a record is put behind the end in a segment of its own", Problem::AfterClosed, |log| {
        let added = log.next(codes::ADMISSION_ALLOW, json!({}));
        let path = log.dir.join(crate::files::segment_name(added.seq));
        fs::write(path, added.line().unwrap()).unwrap();
        Some(added.seq)
    }),
    case("a record is put behind the end, and a forged head attests it", Problem::Signature, |log| {
        let seq = log.append(codes::ADMISSION_ALLOW, json!({}));
        log.forge_head();
        Some(seq + 1)
    }),
    case("a record is put behind the end, and a stranger signs the head", Problem::UnknownKey, |log| {
        let seq = log.append(codes::ADMISSION_ALLOW, json!({}));
        log.forge_head();
        edit_head(log, |head| head["statement"]["key_id"] = json!("mine"));
        Some(seq + 1)
    }),
    case("a record is put behind the end, and the head is one from before", Problem::FoundBroken, |log| {
        let other = tempfile::tempdir().unwrap();
        let mut early = open(other.path(), NOON);
        (0..40).for_each(|number| drop(early.append(entry(number), NOON + number).unwrap()));
        early.tick(NOON + 40, NOON + 40).unwrap();
        fs::copy(other.path().join("head.json"), log.head()).unwrap();
        Some(log.append(codes::ADMISSION_ALLOW, json!({})) + 1)
    }),
];

/// The number of a record whose line cannot be read any more: one more than the line before.
fn seq_of_original(victim: &Victim, segment: usize, line: usize) -> u64 {
    seq(victim, segment, line - 1) + 1
}

fn edit_head(victim: &Victim, edit: impl FnOnce(&mut serde_json::Value)) {
    let mut head = serde_json::from_slice(&fs::read(victim.head()).unwrap()).unwrap();
    edit(&mut head);
    let mut text = serde_json_canonicalizer::to_vec(&head).unwrap();
    text.push(b'\n');
    fs::write(victim.head(), text).unwrap();
}

#[test]
fn every_kind_of_tampering_is_found_at_its_record() {
    let mut missed = Vec::new();
    for Case { name, tamper, found } in CASES {
        let victim = Victim::new();
        let seq = tamper(&victim);
        let findings = victim.found();
        if !findings.contains(&(*found, seq)) {
            missed.push(format!("{name}: {found:?} of {seq:?} is not among {findings:?}"));
        }
    }
    assert!(missed.is_empty(), "{} of {}:\n{}", missed.len(), CASES.len(), missed.join("\n"));
    assert!(CASES.len() >= 20);
}

#[test]
fn what_was_forged_while_agentd_was_away_is_found_although_agentd_signed_it() {
    let mut missed = Vec::new();
    for Case { name, tamper, found } in REOPENED {
        let victim = Victim::new();
        let seq = tamper(&victim);
        for time in [NOON + 200, NOON + 300] {
            open(&victim.dir, time).close(time + 1).unwrap();
            let findings = victim.found();
            if !findings.contains(&(*found, seq)) {
                missed.push(format!("{name}: {found:?} of {seq:?} is not among {findings:?}"));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// A single change must not look like twenty.
#[test]
fn one_change_is_one_finding() {
    for name in [
        "a detail is changed",
        "a hash is changed",
        "a record is changed and its hash made anew",
        "a record gets another number and a new hash",
        "a record is removed",
        "two records are swapped",
        "a record is doubled",
        "a line that is no record is put in between",
        "a space is added",
        "a middle segment is removed",
        "the newest segment is removed",
        "the oldest segment is removed",
        "the head has another signature",
        "the head is an old one",
    ] {
        let case = CASES.iter().find(|case| case.name == name).unwrap();
        let victim = Victim::new();
        (case.tamper)(&victim);
        assert_eq!(victim.found().len(), 1, "{name}: {:?}", checked(&victim.dir).findings);
    }
}

#[test]
fn a_finding_is_a_sentence_with_its_place() {
    let victim = Victim::new();
    victim.edit(0, |lines| drop(lines.drain(2..4)));
    let report = checked(&victim.dir);
    let finding = &report.findings[0];
    assert_eq!(
        (finding.what.as_str(), finding.place().as_str(), finding.records().as_str()),
        ("records 3 to 4 are missing before this line", "audit-00000000000000000001.ndjson:3", "3-4")
    );
}

/// What only an anchor finds: the directory as it was some time ago, or a new log by the host's own key.
#[test]
fn an_older_copy_of_everything_is_found_by_an_anchor_alone() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 10);
    let copy: Vec<_> = [segments(dir.path()), vec![dir.path().join("head.json")]]
        .concat()
        .into_iter()
        .map(|path| (fs::read(&path).unwrap(), path))
        .collect();
    written(dir.path(), 10);
    let newest = checked(dir.path()).newest.unwrap();
    for path in segments(dir.path()) {
        fs::remove_file(path).unwrap();
    }
    copy.iter().for_each(|(content, path)| fs::write(path, content).unwrap());
    assert!(checked(dir.path()).is_clean(), "nothing in the directory tells");
    let anchored = |anchor: &Anchor| {
        let checks = Checks { verifier: Some(&Trust), anchor: Some(anchor), permissions: None };
        problems(&verify(dir.path(), checks, &mut |_| ()).unwrap())
    };
    assert_eq!(anchored(&Anchor(newest.clone())), [(Problem::AnchorOutside, Some(newest.seq))]);
    let other = Anchor(crate::Receipt { seq: 3, hash: newest.hash });
    assert_eq!(anchored(&other), [(Problem::AnchorMismatch, Some(3))]);
}

#[test]
fn an_anchor_is_a_number_and_a_hash() {
    let hash = "ab".repeat(32);
    assert!(format!("7:{hash}").parse::<Anchor>().is_ok());
    for text in
        ["7", "7:ab", "x:y", &format!("0:{hash}"), &format!("7:{hash}0"), &format!("7:{}", "xy".repeat(32))]
    {
        let error = text.parse::<Anchor>().unwrap_err();
        assert!(error.starts_with(&format!("'{text}' is no anchor")), "{error}");
    }
}
