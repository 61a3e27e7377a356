//! How a log is opened that was not closed, or was damaged.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// A log as a crash leaves it: everything before the last record attested.
fn crashed(dir: &Path) -> u64 {
    let mut log = open(dir, NOON);
    log.append_durable(entry(1), NOON).unwrap();
    log.append(entry(2), NOON).unwrap().seq
}

fn reopened(dir: &Path) -> Vec<String> {
    let before = segments(dir).len();
    let log = open(dir, NOON);
    drop(log);
    let after = segments(dir);
    let lines = fs::read_to_string(after.last().unwrap()).unwrap();
    let seen = [format!("{} segments more", after.len() - before)];
    let codes = lines.lines().map(|line| serde_json::from_str::<crate::AuditRecord>(line).unwrap().code);
    seen.into_iter().chain(codes).collect()
}

#[test]
fn a_crash_between_records_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let last = crashed(dir.path());
    let codes = reopened(dir.path());
    assert_eq!(codes[0], "0 segments more");
    let (records, _) = crate::read::Records::newest(dir.path(), &Default::default(), 2).unwrap();
    assert_eq!((records[0].seq, &records[0].detail["unattested"]), (last + 1, &json!(1)));
    assert_eq!(checked(dir.path()).findings, []);
}

#[test]
fn a_torn_record_beyond_the_head_is_cut_off_and_that_is_written_down() {
    let dir = tempfile::tempdir().unwrap();
    crashed(dir.path());
    append_bytes(&segments(dir.path())[0], b"{\"actor\":\"agentd\",\"age");
    assert_eq!(problems(&checked(dir.path()))[0].0, Problem::Torn);
    let codes = reopened(dir.path());
    assert!(codes[0] == "0 segments more" && codes.contains(&"LOG_REPAIRED".to_owned()), "{codes:?}");
    assert_eq!(checked(dir.path()).findings, []);
}

#[test]
fn zeros_that_a_power_loss_left_at_the_end_are_cut_off_too() {
    let dir = tempfile::tempdir().unwrap();
    crashed(dir.path());
    append_bytes(&segments(dir.path())[0], &[0; 700]);
    assert!(reopened(dir.path()).contains(&"LOG_REPAIRED".to_owned()));
    assert_eq!(checked(dir.path()).findings, []);
}

#[test]
fn a_torn_record_that_the_head_attests_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), NOON);
    let receipt = log.append_durable(entry(1), NOON).unwrap();
    drop(log);
    let path = segments(dir.path()).remove(0);
    let content = fs::read(&path).unwrap();
    fs::write(&path, &content[..content.len() - 9]).unwrap();
    let before = fs::read(&path).unwrap();
    let codes = reopened(dir.path());
    assert_eq!(codes[..2], ["1 segments more", "LOG_BROKEN"]);
    assert_eq!(fs::read(&path).unwrap(), before, "the damaged file is as it was found");
    let report = checked(dir.path());
    let expected = [(Problem::Torn, Some(receipt.seq)), (Problem::FoundBroken, Some(receipt.seq + 1))];
    assert_eq!(problems(&report), expected);
}

/// Every other damage: what it does, and what is said of it.
#[test]
fn damage_begins_a_new_segment_and_touches_nothing() {
    type Damage = fn(&Path);
    let cases: [(&str, Damage, &str); 6] = [
        ("no head", |dir| fs::remove_file(dir.join("head.json")).unwrap(), "head.json is missing"),
        ("no JSON", |dir| fs::write(dir.join("head.json"), "{").unwrap(), "head.json cannot be read"),
        ("a changed record", |dir| change(dir, "filesystem", "filesystxm"), "line 3 of audit-"),
        ("a cut log", |dir| fs::write(&segments(dir)[0], "").unwrap(), "the log ends with record 0, but"),
        ("no segment", |dir| fs::remove_file(&segments(dir)[0]).unwrap(), "all segments are missing"),
        (
            "another segment",
            |dir| fs::write(dir.join(crate::files::segment_name(99)), "").unwrap(),
            "the segment before ends",
        ),
    ];
    for (name, damage, said) in cases {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path(), NOON);
        log.append(entry(1), NOON).unwrap();
        log.append(entry(2), NOON).unwrap();
        log.tick(NOON, NOON).unwrap();
        drop(log);
        damage(dir.path());
        let before: Vec<_> =
            segments(dir.path()).iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        let codes = reopened(dir.path());
        assert_eq!(codes[1], "LOG_BROKEN", "{name}");
        for (path, content) in before.iter().filter(|(_, content)| !content.is_empty()) {
            assert_eq!(&fs::read(path).unwrap(), content, "{name}");
        }
        let report = checked(dir.path());
        let found = report.findings.iter().find(|finding| finding.problem == Problem::FoundBroken).unwrap();
        assert!(found.what.contains(said), "{name}: {}", found.what);
        // It is said once; the log goes on.
        let codes = reopened(dir.path());
        assert_eq!(codes[0], "0 segments more", "{name}");
        assert!(
            checked(dir.path()).findings.len() == report.findings.len(),
            "{name}: {:?}",
            checked(dir.path())
        );
    }
}

/// A key that is lost while a log is opened.
struct SignsOnce(AtomicBool);

impl Signer for SignsOnce {
    fn key_id(&self) -> &str {
        "host"
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let key = if self.0.swap(true, Ordering::Relaxed) { "broken" } else { "host" };
        Key(key).sign(message)
    }
}

/// A closed log whose next start came no further than its first records: they are signed by the start after it.
#[test]
fn a_start_that_failed_after_an_end_in_order_is_no_tampering() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 3);
    for _ in 0..2 {
        let key = Arc::new(SignsOnce(AtomicBool::new(false)));
        let failed = AuditLog::open(dir.path(), options(), key, NOON + 10);
        assert!(matches!(failed, Err(crate::AuditError::Sign(_))));
    }
    append_bytes(segments(dir.path()).last().unwrap(), b"{\"actor\"");
    drop(open(dir.path(), NOON + 20));
    let report = checked(dir.path());
    assert_eq!((report.findings, report.unattested), (vec![], 2));
}

#[test]
fn a_forged_retention_that_was_signed_does_not_hide_a_real_one() {
    let dir = tempfile::tempdir().unwrap();
    let short = || Options { retention_days: 10, ..options() };
    let open = |now_ns| AuditLog::open(dir.path(), short(), Arc::new(Key("host")), now_ns).unwrap();
    let mut log = open(NOON);
    for day in 0..3 {
        log.append(entry(day), NOON + day * DAY_NS).unwrap();
    }
    log.tick(NOON + 2 * DAY_NS, NOON + 2 * DAY_NS).unwrap();
    let newest = log.newest().clone();
    drop(log);
    let removed = crate::lines::last_record(&segments(dir.path())[0]).unwrap().unwrap();
    let detail = json!({"segments": [{"last_seq": removed.seq, "last_hash": removed.hash}]});
    let forged = Entry::new(codes::LOG_RETENTION, "agentd").detail(detail);
    let forged = crate::AuditRecord::chain(forged, newest.seq + 1, NOON + 2 * DAY_NS, &newest.hash).unwrap();
    append_bytes(segments(dir.path()).last().unwrap(), &forged.line().unwrap());
    let mut log = open(NOON + 12 * DAY_NS);
    watched(&mut log, NOON + 12 * DAY_NS);
    drop(log);
    let report = checked(dir.path());
    assert_eq!((report.findings, report.unattested), (vec![], 1));
    assert_eq!(report.first_seq, Some(removed.seq + 1));
}

fn change(dir: &Path, from: &str, to: &str) {
    let path = segments(dir).remove(0);
    let content = fs::read_to_string(&path).unwrap();
    fs::write(&path, content.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_crash_at_any_byte_leaves_a_log_that_verifies_after_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), NOON);
    log.tick(NOON, NOON).unwrap();
    let path = segments(dir.path()).remove(0);
    let durable = fs::read(&path).unwrap().len();
    log.append(entry(1), NOON).unwrap();
    log.append(entry(2), NOON).unwrap();
    drop(log);
    let (content, head) = (fs::read(&path).unwrap(), fs::read(dir.path().join("head.json")).unwrap());
    for len in (durable..content.len()).step_by(7) {
        let copy = tempfile::tempdir().unwrap();
        let copy = copy.path().join("audit");
        crate::files::make_dir(&copy).unwrap();
        let segment = copy.join(path.file_name().unwrap());
        fs::write(&segment, &content[..len]).unwrap();
        fs::write(copy.join("head.json"), &head).unwrap();
        drop(open(&copy, NOON));
        let report =
            verify(&copy, Checks { verifier: Some(&Trust), ..Checks::default() }, &mut |_| ()).unwrap();
        assert_eq!(report.findings, [], "{len} bytes");
    }
}
