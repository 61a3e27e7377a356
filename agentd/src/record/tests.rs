use std::sync::Arc;

use super::*;
use crate::config::Retention;
use crate::decide::Decided;
use crate::enrich::{ProcessChange, Started};
use crate::pipeline::Counts;
use crate::record::filter::Filter;
use crate::record::write::Writer;
use crate::sense::event::ProcessId;
use crate::testing::{Home, decided, record};
use agentguard_core::record::{Finding, Object};
use agentguard_core::verdict::{Severity, Verdict};

fn limits() -> Retention {
    Retention { max_age_days: 30, max_bytes: 1 << 30 }
}

fn writer(store: &Store) -> Writer {
    Writer::new(store, &limits(), Arc::new(Counts::default())).unwrap()
}

#[test]
fn a_record_comes_back_as_it_was() {
    let home = Home::new();
    let store = Store::open(&home.state()).unwrap();
    let mut denied = record("/srv/secret/key", 1_000, Verdict::Deny);
    denied.findings.push(Finding {
        id: "small.x".to_owned(),
        severity: Severity::High,
        reason: "odd".to_owned(),
        source: None,
    });
    let mut plain = record("", 2_000, Verdict::Allow);
    plain.call = "exit".to_owned();
    plain.operation = None;
    plain.object = Object::Exit { code: 3, signal: 0 };
    let written = writer(&store).write(vec![decided(denied), decided(plain)]);
    let reader = store.reader().unwrap();
    assert_eq!(history::by_id(&reader, "inc-0000001000").unwrap().as_ref(), written.first());
    assert_eq!(history::by_id(&reader, "2").unwrap().unwrap().object, Object::Exit { code: 3, signal: 0 });
    assert_eq!(history::by_id(&reader, "inc-unknown").unwrap(), None);
}

#[test]
fn numbers_go_on_after_a_restart() {
    let home = Home::new();
    let store = Store::open(&home.state()).unwrap();
    writer(&store).write(vec![decided(record("/a", 1, Verdict::Allow))]);
    let store = Store::open(&home.state()).unwrap();
    let second = writer(&store).write(vec![decided(record("/b", 2, Verdict::Allow))]);
    assert_eq!(second[0].seq, 2);
    assert_eq!(store.status().unwrap().records, 2);
}

#[test]
fn a_damaged_file_is_put_aside_and_not_fatal() {
    let home = Home::new();
    let path = home.state().join(FILE);
    std::fs::create_dir_all(home.state()).unwrap();
    std::fs::write(&path, "this is no database, and long enough to be read as one".repeat(100)).unwrap();
    let store = Store::open(&home.state()).unwrap();
    let aside = store.status().unwrap().set_aside.unwrap();
    assert!(std::fs::read_to_string(aside).unwrap().starts_with("this is no database"));
    writer(&store).write(vec![decided(record("/a", 1, Verdict::Allow))]);
    assert_eq!(store.status().unwrap().records, 1);
}

#[test]
fn a_file_of_a_newer_agentd_is_refused() {
    let home = Home::new();
    let store = Store::open(&home.state()).unwrap();
    store.writer().unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Store::open(&home.state()).unwrap_err().to_string();
    assert!(error.contains("newer agentd (format 99)"), "{error}");
}

#[test]
fn only_root_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    Store::open(&home.state()).unwrap();
    let mode = home.state().join(FILE).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
}

#[test]
fn old_records_go_and_new_ones_stay() {
    let home = Home::new();
    let store = Store::open(&home.state()).unwrap();
    let now = clock::wall_ns();
    let day = 86_400_000_000_000;
    let times = [now - 40 * day, now - 31 * day, now - day, now];
    writer(&store).write(times.map(|time| decided(record("/a", time, Verdict::Deny))).into());
    let retention = retention::Retention::new(&limits());
    let mut connection = store.writer().unwrap();
    while !retention.sweep(&mut connection).unwrap() {}
    let left: Vec<i64> = history::newest(&connection, &Filter::default(), 10).unwrap().into();
    assert_eq!(left, [3, 4]);
    let decisions: i64 =
        connection.query_row("SELECT count(*) FROM decisions", [], |row| row.get(0)).unwrap();
    assert_eq!(decisions, 2);
}

#[test]
fn the_oldest_records_go_when_the_store_is_too_large() {
    let home = Home::new();
    let store = Store::open(&home.state()).unwrap();
    let limits = Retention { max_age_days: 30, max_bytes: 1 << 20 };
    let mut writer = Writer::new(&store, &limits, Arc::new(Counts::default())).unwrap();
    let now = clock::wall_ns();
    for batch in 0..8_u64 {
        let records =
            (0..1000).map(|at| decided(record("/a/long/path/name", now + batch * 1000 + at, Verdict::Deny)));
        writer.write(records.collect());
    }
    let retention = retention::Retention::new(&limits);
    let mut connection = store.writer().unwrap();
    while !retention.sweep(&mut connection).unwrap() {}
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    assert!(pages * 4096 <= 2 << 20, "{pages} pages");
    assert_eq!(history::newest_number(&connection).unwrap(), 8000, "the newest stay");
}

#[test]
fn what_can_not_be_written_is_counted_and_still_handed_on() {
    let home = Home::new();
    let store = Store::open(&home.state()).unwrap();
    let counts = Arc::new(Counts::default());
    let mut writer = Writer::new(&store, &limits(), counts.clone()).unwrap();
    store.writer().unwrap().execute_batch("DROP TABLE events").unwrap();
    let records = writer.write(vec![decided(record("/a", 1, Verdict::Allow))]);
    assert_eq!(records[0].seq, 0);
    assert_eq!(counts.lost().get("store"), Some(&1));
}

#[test]
fn lineage_follows_parents_by_pid_and_start() {
    let home = Home::new();
    let store = Store::open(&home.state()).unwrap();
    let started = |pid, start_ns, parent: ProcessId, exe: &str| {
        ProcessChange::Started(Started {
            id: ProcessId { pid, start_ns },
            parent,
            uid: 1000,
            gid: 1000,
            exe: Some(exe.into()),
            argv: vec![exe.to_owned()],
            cwd: None,
        })
    };
    let none = ProcessId::default();
    let shell = ProcessId { pid: 10, start_ns: 70_000_000 };
    let changes = vec![
        started(10, 70_000_000, none, "/usr/bin/bash"),
        // The same pid at another time is another process.
        started(10, 990_000_000, none, "/usr/bin/other"),
        started(4242, 50_000_000_000, shell, "/usr/bin/sh"),
    ];
    let child = record("/a", 1, Verdict::Deny);
    writer(&store).write(vec![Decided { record: child.clone(), changes, waiting: None }]);
    let lineage = history::lineage(&store.reader().unwrap(), &child.process, child.time_ns).unwrap();
    let exes: Vec<_> = lineage.iter().map(|ancestor| ancestor.exe.as_deref().unwrap()).collect();
    assert_eq!(exes, ["/usr/bin/sh", "/usr/bin/bash"]);
}

#[test]
fn lineage_tells_the_program_of_that_time() {
    let home = Home::new();
    let store = Store::open(&home.state()).unwrap();
    let ran = |exe: &str, time_ns| {
        let mut record = record("/a", time_ns, Verdict::Allow);
        record.incident = None;
        let id = ProcessId { pid: record.process.pid, start_ns: record.process.start_ns };
        let started = Started {
            id,
            parent: ProcessId::default(),
            uid: 1000,
            gid: 1000,
            exe: Some(exe.into()),
            argv: Vec::new(),
            cwd: None,
        };
        Decided { record, changes: vec![ProcessChange::Started(started)], waiting: None }
    };
    writer(&store).write(vec![ran("/usr/bin/bash", 1_000), ran("/usr/bin/sleep", 2_000)]);
    let process = record("/a", 1, Verdict::Allow).process;
    let exe = |time_ns| {
        let lineage = history::lineage(&store.reader().unwrap(), &process, time_ns).unwrap();
        lineage[0].exe.clone().unwrap()
    };
    assert_eq!([exe(1_500), exe(2_500), exe(10)], ["/usr/bin/bash", "/usr/bin/sleep", "/usr/bin/bash"]);
}
