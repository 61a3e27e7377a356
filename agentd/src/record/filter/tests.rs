use std::sync::Arc;

use agentguard_core::record::Object;

use super::*;
use crate::pipeline::Counts;
use crate::record::write::Writer;
use crate::record::{Store, history};
use crate::testing::{Home, decided, record};

fn read(filter: EventFilter) -> Filter {
    Filter::read(filter).unwrap()
}

fn peer(address: &str, name: Option<&str>) -> Record {
    let mut record = record("", 5, Verdict::Allow);
    record.call = "connect".to_owned();
    record.object = Object::Address {
        address: address.parse().unwrap(),
        port: 443,
        protocol: "tcp".to_owned(),
        name: name.map(str::to_owned),
        size: 0,
    };
    record
}

/// The same filter over the store and over the stream must pick the same records.
#[test]
fn history_and_stream_agree() {
    let home = Home::new();
    let store = Store::open(&home.state()).unwrap();
    let mut writer =
        Writer::new(&store, &crate::config::Retention::default(), Arc::new(Counts::default())).unwrap();
    let mut other = record("/srv/other", 6, Verdict::Audit);
    other.agent.0 = "other".to_owned();
    let all = vec![
        record("/srv/secret/a", 1, Verdict::Deny),
        record("/usr/bin/ls", 2, Verdict::Allow),
        other,
        peer("10.1.2.3", None),
        peer("93.184.216.34", Some("www.example.com")),
    ];
    writer.write(all.iter().cloned().map(decided).collect());
    let reader = store.reader().unwrap();
    for (filter, wanted) in [
        (EventFilter::default(), vec![1, 2, 3, 4, 5]),
        (EventFilter { agent: "other".into(), ..EventFilter::default() }, vec![3]),
        (EventFilter { kinds: vec!["network".into()], ..EventFilter::default() }, vec![4, 5]),
        (EventFilter { kinds: vec!["open".into()], ..EventFilter::default() }, vec![1, 2, 3]),
        (EventFilter { verdicts: vec!["deny".into(), "audit".into()], ..EventFilter::default() }, vec![1, 3]),
        (EventFilter { since_ns: 2, until_ns: 5, ..EventFilter::default() }, vec![2, 4, 5]),
        (EventFilter { path: "/srv/**".into(), ..EventFilter::default() }, vec![1, 3]),
        (EventFilter { address: "10.0.0.0/8".into(), ..EventFilter::default() }, vec![4]),
        (EventFilter { address: "*.Example.com".into(), ..EventFilter::default() }, vec![5]),
        (EventFilter { address: "example.com".into(), ..EventFilter::default() }, vec![]),
        (
            EventFilter { rule: "small.secrets".into(), path: "/usr/**".into(), ..EventFilter::default() },
            vec![2],
        ),
    ] {
        let told = format!("{filter:?}");
        let filter = read(filter);
        let stored: Vec<i64> = history::newest(&reader, &filter, 100).unwrap().into();
        assert_eq!(stored, wanted, "{told}");
        let live: Vec<i64> =
            (1..).zip(&all).filter(|(_, record)| filter.matches(record)).map(|(at, _)| at).collect();
        assert_eq!(live, wanted, "{told}");
    }
}

#[test]
fn the_newest_are_told_when_there_are_more_than_asked_for() {
    let home = Home::new();
    let store = Store::open(&home.state()).unwrap();
    let mut writer =
        Writer::new(&store, &crate::config::Retention::default(), Arc::new(Counts::default())).unwrap();
    writer.write((1..=9).map(|time| decided(record("/a", time, Verdict::Allow))).collect());
    let found: Vec<i64> = history::newest(&store.reader().unwrap(), &Filter::default(), 3).unwrap().into();
    assert_eq!(found, [7, 8, 9]);
}

#[test]
fn wrong_filters_say_what_would_be_right() {
    for (filter, part) in [
        (
            EventFilter { verdicts: vec!["denied".into()], ..EventFilter::default() },
            "write allow, audit, hold or deny",
        ),
        (EventFilter { path: "relative".into(), ..EventFilter::default() }, "the path `relative`"),
        (EventFilter { since_ns: 5, until_ns: 2, ..EventFilter::default() }, "ends before it begins"),
        (EventFilter { kinds: vec!["x".into(); 100], ..EventFilter::default() }, "at most 64"),
    ] {
        let error = Filter::read(filter).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
