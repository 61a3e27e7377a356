//! What the writer promises while nothing goes wrong.

use super::*;
use crate::read::{Filter, Records};
use crate::verify::{Anchor, Progress};
use crate::{AuditError, Fsync, Kind};

#[test]
fn an_untouched_log_is_clean_to_its_last_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit");
    written(&path, 40);
    let report = checked(&path);
    assert_eq!(report.findings, []);
    assert!(report.segments > 2 && report.checkpoints > 8, "{report:?}");
    let newest = report.newest.clone().unwrap();
    assert_eq!((report.first_seq, report.records, report.uncovered), (Some(1), newest.seq, 0));
    assert_eq!((report.first_time_ns, report.last_time_ns), (Some(NOON), Some(NOON + 40)));
    let anchor: Anchor = format!("{}:{}", newest.seq, newest.hash).parse().unwrap();
    let checks = Checks { verifier: Some(&Trust), anchor: Some(&anchor), permissions: None };
    assert!(verify(&path, checks, &mut |_| ()).unwrap().is_clean());
}

#[test]
fn progress_ends_at_the_size_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 40);
    let mut last = None;
    verify(dir.path(), Checks::default(), &mut |progress| last = Some(progress)).unwrap();
    let last = last.unwrap();
    assert_eq!(last.done, last.total);
}

#[test]
fn a_log_goes_on_where_it_was_closed() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4 {
        written(dir.path(), round);
    }
    assert_eq!(checked(dir.path()).findings, []);
    let opened = codes_of(dir.path()).iter().filter(|code| *code == "LOG_OPENED").count();
    assert_eq!(opened, 4);
}

#[test]
fn files_are_roots_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit");
    written(&path, 1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(&path), mode(&segments(&path)[0]), mode(&path.join("head.json"))),
        (0o700, 0o600, 0o600)
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let checks = Checks { permissions: Some(nix::unistd::geteuid().as_raw()), ..Checks::default() };
    assert_eq!(problems(&verify(&path, checks, &mut |_| ()).unwrap()), [(Problem::Permissions, None)]);
}

#[test]
fn files_are_of_root_or_of_who_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit");
    written(&path, 1);
    let mut owner = nix::unistd::geteuid().as_raw();
    if owner == 0 {
        owner = 65_534;
        std::os::unix::fs::chown(path.join("head.json"), Some(owner), None).unwrap();
    }
    let found = |reader| {
        let checks = Checks { permissions: Some(reader), ..Checks::default() };
        verify(&path, checks, &mut |_| ()).unwrap().findings
    };
    assert_eq!(found(owner), []);
    let of_others = found(owner - 1);
    let said = format!("it belongs to uid {owner}, who is neither root nor the user who verifies");
    assert!(
        of_others.iter().any(|finding| finding.file == "head.json" && finding.what == said),
        "{of_others:?}"
    );
}

#[test]
fn a_log_that_is_written_to_while_it_is_verified_is_clean() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), NOON);
    (0..40).for_each(|number| drop(log.append(entry(number), NOON).unwrap()));
    log.tick(NOON, NOON).unwrap();
    let mut write = |_: Progress| {
        (0..8).for_each(|number| drop(log.append(entry(number), NOON).unwrap()));
        log.tick(NOON, NOON).unwrap();
    };
    let checks = Checks { verifier: Some(&Trust), ..Checks::default() };
    assert_eq!(verify(dir.path(), checks, &mut write).unwrap().findings, []);
}

#[test]
fn segments_that_are_removed_while_a_log_is_verified_are_no_finding() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = ten_days(dir.path(), NOON);
    (0..6).for_each(|day| drop(log.append(entry(day), NOON + day * DAY_NS).unwrap()));
    log.tick(NOON + 5 * DAY_NS, NOON + 5 * DAY_NS).unwrap();
    let mut remove = |_: Progress| log.tick(NOON + 14 * DAY_NS, NOON + 14 * DAY_NS).unwrap();
    let checks = Checks { verifier: Some(&Trust), ..Checks::default() };
    let report = verify(dir.path(), checks, &mut remove).unwrap();
    assert_eq!(report.findings, []);
    assert!(report.first_seq > Some(1), "{report:?}");
}

#[test]
fn a_second_writer_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _first = open(dir.path(), NOON);
    let second = AuditLog::open(dir.path(), options(), Arc::new(Key("host")), NOON);
    assert!(matches!(second, Err(AuditError::InUse(_))));
}

#[test]
fn a_durable_record_is_attested_and_a_batch_is_at_the_next_tick() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), NOON);
    let batch = log.append(entry(1), NOON).unwrap();
    assert!(log.attested() < batch.seq);
    log.tick(NOON, NOON).unwrap();
    assert_eq!(log.attested(), batch.seq);
    let durable = log.append_durable(entry(2), NOON).unwrap();
    assert_eq!(log.attested(), durable.seq);
    drop(log);
    let always = Options { fsync: Fsync::Always, ..options() };
    let mut log = AuditLog::open(dir.path(), always, Arc::new(Key("host")), NOON).unwrap();
    let receipt = log.append(entry(3), NOON).unwrap();
    assert_eq!(log.attested(), receipt.seq);
}

#[test]
fn without_fsync_a_log_is_still_signed() {
    let dir = tempfile::tempdir().unwrap();
    let never = Options { fsync: Fsync::Never, ..options() };
    let mut log = AuditLog::open(dir.path(), never, Arc::new(Key("host")), NOON).unwrap();
    log.append_durable(entry(1), NOON).unwrap();
    log.close(NOON).unwrap();
    let report = checked(dir.path());
    assert!(report.is_clean() && report.uncovered == 0, "{report:?}");
}

#[test]
fn a_new_day_is_a_new_segment_and_a_quiet_log_grows_no_empty_ones() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), NOON);
    for day in 1..5 {
        log.tick(NOON + day * DAY_NS, NOON + day * DAY_NS).unwrap();
    }
    assert_eq!(segments(dir.path()).len(), 2);
    log.append(entry(1), NOON + 5 * DAY_NS).unwrap();
    log.tick(NOON + 6 * DAY_NS, NOON + 6 * DAY_NS).unwrap();
    assert_eq!(segments(dir.path()).len(), 3);
    assert_eq!(checked(dir.path()).findings, []);
}

#[test]
fn what_is_past_its_time_is_removed_and_that_is_no_tampering() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = ten_days(dir.path(), NOON);
    for day in 0..20 {
        log.append(entry(day), NOON + day * DAY_NS).unwrap();
    }
    watched(&mut log, NOON + 19 * DAY_NS);
    let report = checked(dir.path());
    assert_eq!(report.findings, []);
    assert!(report.first_seq > Some(1) && report.segments >= 9, "{report:?}");
    log.close(NOON + 20 * DAY_NS).unwrap();
    assert!(codes_of(dir.path()).contains(&"LOG_RETENTION".to_owned()));
    // A crash between the record and the last removal leaves more than was announced, never less.
    let mut log = open(dir.path(), NOON + 21 * DAY_NS);
    log.append(entry(1), NOON + 21 * DAY_NS).unwrap();
    fs::remove_file(&segments(dir.path())[0]).unwrap();
    let first = report.first_seq;
    assert_eq!(problems(&checked(dir.path())), [(Problem::MissingStart, Some(1))], "{first:?}");
}

/// A log whose segments are kept for ten days.
fn ten_days(dir: &Path, now_ns: u64) -> AuditLog {
    let short = Options { retention_days: 10, ..options() };
    AuditLog::open(dir, short, Arc::new(Key("host")), now_ns).unwrap()
}

#[test]
fn nothing_is_removed_by_a_clock_that_did_not_go_right_for_a_day() {
    const HOUR: u64 = DAY_NS / 24;
    let dir = tempfile::tempdir().unwrap();
    let mut log = ten_days(dir.path(), NOON);
    for day in 0..20 {
        log.append(entry(day), NOON + day * DAY_NS).unwrap();
    }
    log.close(NOON + 19 * DAY_NS).unwrap();
    let kept = segments(dir.path());
    let is_kept = || kept.iter().all(|path| path.exists());
    // It starts years ahead, and is set right after two hours.
    let (ahead, right) = (NOON + 4000 * DAY_NS, NOON + 20 * DAY_NS);
    let mut log = ten_days(dir.path(), ahead);
    log.tick(ahead, 0).unwrap();
    log.tick(ahead + 2 * HOUR, 2 * HOUR).unwrap();
    log.tick(right, 2 * HOUR).unwrap();
    log.tick(right + 23 * HOUR, 25 * HOUR).unwrap();
    // For a moment it is wrong again, and the day begins anew.
    log.tick(ahead, 25 * HOUR).unwrap();
    log.tick(right + 23 * HOUR, 25 * HOUR).unwrap();
    log.tick(right + 46 * HOUR, 48 * HOUR).unwrap();
    assert!(is_kept());
    // A small step is no wrong clock.
    log.tick(right + 47 * HOUR - HOUR / 2, 49 * HOUR).unwrap();
    assert!(!is_kept());
    let report = checked(dir.path());
    assert_eq!(report.findings, []);
    assert!(report.segments > 8, "by the right clock only: {report:?}");
}

#[test]
fn a_segment_from_a_time_to_come_goes_with_what_is_around_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = ten_days(dir.path(), NOON);
    for day in [0, 1, 50_000, 50_001, 2, 3, 4] {
        log.append(entry(day), NOON + day * DAY_NS).unwrap();
    }
    let (first, last) = (segments(dir.path())[0].clone(), segments(dir.path())[6].clone());
    watched(&mut log, NOON + 9 * DAY_NS);
    assert!(first.exists());
    watched(&mut log, NOON + 19 * DAY_NS);
    assert_eq!(
        segments(dir.path())[0],
        last,
        "the newest of the old ones stays until the one behind it is old, too"
    );
    assert_eq!(checked(dir.path()).findings, []);
}

#[test]
fn a_segment_that_a_clock_in_the_past_ended_is_not_taken_for_an_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = ten_days(dir.path(), NOON);
    log.append(entry(1), NOON).unwrap();
    log.append(entry(2), DAY_NS).unwrap();
    log.append(entry(3), NOON + 1).unwrap();
    watched(&mut log, NOON + 1);
    assert_eq!(segments(dir.path()).len(), 4);
    watched(&mut log, NOON + 15 * DAY_NS);
    assert_eq!(segments(dir.path()).len(), 2);
}

#[test]
fn a_clock_that_is_set_back_begins_a_segment_and_its_days_begin_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), NOON + 4000 * DAY_NS);
    for number in 0..3 {
        log.append(entry(number), NOON).unwrap();
    }
    assert_eq!(segments(dir.path()).len(), 2);
    log.append(entry(3), NOON + DAY_NS).unwrap();
    assert_eq!(segments(dir.path()).len(), 3);
    assert_eq!(checked(dir.path()).findings, []);
}

#[test]
fn another_key_signs_from_then_on_and_covers_what_a_revoked_one_signed() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = AuditLog::open(dir.path(), options(), Arc::new(Key("old")), NOON).unwrap();
    log.append(entry(1), NOON).unwrap();
    log.tick(NOON, NOON).unwrap();
    let report = checked(dir.path());
    let revoked = report.findings.iter().filter(|finding| finding.problem == Problem::RevokedKey);
    assert_eq!((revoked.count(), report.covered_seq), (2, 0), "{report:?}");
    log.set_signer(Arc::new(Key("host-2")), NOON).unwrap();
    log.append(entry(2), NOON).unwrap();
    log.close(NOON).unwrap();
    let report = checked(dir.path());
    assert!(report.is_clean() && report.uncovered == 0, "{report:?}");
}

#[test]
fn a_key_that_does_not_sign_is_not_taken_and_records_go_on_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), NOON);
    let error = log.set_signer(Arc::new(Key("broken")), NOON).unwrap_err();
    assert_eq!(error.to_string(), "the audit log cannot be signed: key broken: the card was pulled");
    log.append(entry(1), NOON).unwrap();
    log.close(NOON).unwrap();
    assert_eq!(checked(dir.path()).findings, []);
}

#[test]
fn trying_to_open_with_a_key_that_does_not_sign_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 3);
    let before = codes_of(dir.path());
    for _ in 0..3 {
        assert!(AuditLog::open(dir.path(), options(), Arc::new(Key("broken")), NOON).is_err());
    }
    assert_eq!(codes_of(dir.path()), before);
}

#[test]
fn an_entry_that_cannot_be_written_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), NOON);
    assert!(log.append(Entry::new(codes::DECISION_DENY, "x".repeat(5000)), NOON).is_err());
    log.append(entry(1), NOON).unwrap();
    log.close(NOON).unwrap();
    let report = checked(dir.path());
    assert!(report.is_clean() && report.lost == 1, "{report:?}");
}

#[test]
fn a_filter_finds_records_and_a_limit_the_newest_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), NOON);
    for number in 0..30 {
        let code = if number % 3 == 0 { codes::ADMISSION_ALLOW } else { codes::DECISION_DENY };
        let agent = if number % 2 == 0 { "even" } else { "odd" };
        log.append(Entry::new(code, "agentd").agent(agent).detail(json!({"n": number})), NOON + number)
            .unwrap();
    }
    drop(log);
    let found = |filter: Filter| -> Vec<i64> {
        let records = Records::of(dir.path(), filter).unwrap().map(|record| record.unwrap());
        records.filter_map(|record| record.detail["n"].as_i64()).collect()
    };
    let agent = Some("even".to_owned());
    let even = Filter { kinds: vec![Kind::Admission], agent, ..Filter::default() };
    assert_eq!(found(even.clone()), [0, 6, 12, 18, 24]);
    let times = Filter { since_ns: Some(NOON + 6), until_ns: Some(NOON + 18), ..even.clone() };
    assert_eq!(found(times), [6, 12, 18]);
    let codes = vec!["DECISION_DENY".to_owned()];
    let late =
        Filter { codes, since_ns: Some(NOON + 28), actor: Some("agentd".to_owned()), ..Filter::default() };
    assert_eq!(found(late), [28, 29]);
    let (newest, unreadable) = Records::newest(dir.path(), &even, 2).unwrap();
    let numbers: Vec<_> = newest.iter().map(|record| record.detail["n"].as_i64().unwrap()).collect();
    assert_eq!((numbers, unreadable.len()), (vec![18, 24], 0));
}

#[test]
fn skimming_reads_what_a_filter_wants_and_only_segments_from_its_time_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), NOON);
    for day in 0..5 {
        log.append(entry(day), NOON + day * DAY_NS).unwrap();
        log.append(Entry::new(codes::BUDGET_SPENT, "agentd").detail(json!({"n": day})), NOON + day * DAY_NS)
            .unwrap();
    }
    // A clock in the past ended the newest segment.
    drop(log);
    drop(open(dir.path(), DAY_NS));
    fs::write(&segments(dir.path())[1], "not looked at, but for its ends").unwrap();
    let wanted = Filter {
        codes: vec!["BUDGET_SPENT".to_owned()],
        since_ns: Some(NOON + 3 * DAY_NS),
        ..Filter::default()
    };
    let skimmed = Records::skim(dir.path(), wanted).unwrap();
    let (found, unreadable): (Vec<_>, Vec<_>) = skimmed.partition(Result::is_ok);
    let days: Vec<_> =
        found.into_iter().map(|record| record.unwrap().detail["n"].as_u64().unwrap()).collect();
    assert_eq!((days, unreadable.len()), (vec![3, 4], 1), "what has no ends may be of any time");
}

#[test]
fn an_unreadable_line_is_named_and_the_others_are_read() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 3);
    let path = segments(dir.path()).remove(0);
    let text = fs::read_to_string(&path).unwrap().replacen("ssh_keys", "ssh_kexs", 1);
    fs::write(&path, text + "{}\n").unwrap();
    let (records, unreadable) = Records::newest(dir.path(), &Filter::default(), 100).unwrap();
    assert!(records.len() > 3);
    assert!(
        unreadable[0]
            .to_string()
            .ends_with("the record was changed: it does not have the hash of what it says")
    );
    assert_eq!(unreadable.len(), 2);
    assert!(unreadable[0].to_string().contains("audit-00000000000000000001.ndjson:"), "{unreadable:?}");
}

#[test]
fn the_log_may_be_used_from_any_thread() {
    fn is_send<T: Send>() {}
    is_send::<AuditLog>();
    is_send::<std::sync::Mutex<AuditLog>>();
}
