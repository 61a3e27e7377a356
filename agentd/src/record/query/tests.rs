use std::sync::Arc;

use super::*;
use crate::pipeline::Counts;
use crate::record::write::Writer;
use crate::testing::{Home, decided, record};
use agentguard_core::verdict::Verdict;

fn store(home: &Home) -> Store {
    let store = Store::open(&home.state()).unwrap();
    let limits = crate::config::Retention::default();
    let mut writer = Writer::new(&store, &limits, Arc::new(Counts::default())).unwrap();
    let records = (1..=20).map(|time| decided(record("/srv/a", time, Verdict::Deny)));
    writer.write(records.collect());
    store
}

fn ask(store: &Store, sql: &str, limits: Limits) -> (Vec<Row>, Result<(), QueryError>) {
    let mut rows = Vec::new();
    let result = run(store, sql, limits, |row| {
        rows.push(row);
        true
    });
    (rows, result)
}

#[test]
fn rows_come_with_their_columns_in_order() {
    let home = Home::new();
    let (rows, result) = ask(
        &store(&home),
        "SELECT seq, path, NULL AS missing, 1.5 AS half FROM events LIMIT 1",
        Limits::new(0, 0),
    );
    result.unwrap();
    assert_eq!(
        serde_json::to_string(&rows).unwrap(),
        r#"[{"seq":1,"path":"/srv/a","missing":null,"half":1.5}]"#
    );
}

#[test]
fn joins_and_counts_over_all_tables_work() {
    let home = Home::new();
    let sql = "WITH d AS (SELECT * FROM decisions WHERE verdict = 'deny') \
               SELECT d.rule, count(*) AS n FROM events e JOIN d USING (seq) \
               LEFT JOIN processes p ON p.pid = e.pid LEFT JOIN agents a ON a.name = e.agent \
               LEFT JOIN rules r ON r.id = d.rule GROUP BY d.rule";
    let (rows, result) = ask(&store(&home), sql, Limits::new(0, 0));
    result.unwrap();
    assert_eq!(rows[0]["n"], 20);
}

#[test]
fn columns_of_the_same_name_are_kept_apart() {
    let home = Home::new();
    let (rows, _) = ask(&store(&home), "SELECT 1 AS a, 2 AS a", Limits::new(0, 0));
    assert_eq!(serde_json::to_string(&rows[0]).unwrap(), r#"{"a":1,"a_2":2}"#);
}

#[test]
fn every_way_to_write_or_to_look_elsewhere_is_refused_in_one_line() {
    let home = Home::new();
    let store = store(&home);
    for sql in [
        "DELETE FROM events",
        "UPDATE decisions SET verdict = 'allow'",
        "INSERT INTO rules VALUES (1, 1, 1, 1, 1, 1, 1, 1, 1, 1)",
        "DROP TABLE events",
        "CREATE TABLE x (y)",
        "CREATE TEMP TABLE x (y)",
        "ATTACH '/etc/passwd' AS x",
        "PRAGMA writable_schema = 1",
        "PRAGMA user_version",
        "VACUUM INTO '/tmp/copy'",
        "SELECT * FROM rulesets",
        "SELECT * FROM sqlite_sequence",
        "SELECT * FROM pragma_database_list",
        "SELECT load_extension('x')",
        "BEGIN",
        "SELECT 1; DELETE FROM events",
        "SELEC 1",
        "",
        "SELECT * FROM nowhere",
    ] {
        let (rows, result) = ask(&store, sql, Limits::new(0, 0));
        let error = result.expect_err(sql);
        assert!(matches!(error, QueryError::Refused(_)), "{sql}: {error}");
        assert_eq!(error.to_string().lines().count(), 1, "{sql}: {error}");
        assert!(rows.is_empty(), "{sql}");
    }
    let (rows, _) = ask(&store, "SELECT count(*) AS n FROM events", Limits::new(0, 0));
    assert_eq!(rows[0]["n"], 20);
}

#[test]
fn a_query_that_never_ends_is_stopped() {
    let home = Home::new();
    let sql = "WITH RECURSIVE forever(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM forever) SELECT max(n) FROM forever";
    let began = Instant::now();
    let (_, result) = ask(&store(&home), sql, Limits::new(0, 200));
    assert!(matches!(result, Err(QueryError::Timeout(_))), "{result:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn rows_beyond_the_limit_are_left_out_and_told() {
    let home = Home::new();
    let (rows, result) = ask(&store(&home), "SELECT seq FROM events", Limits::new(5, 0));
    assert_eq!(rows.len(), 5);
    assert!(matches!(result, Err(QueryError::MoreRows(5))), "{result:?}");
    let (rows, result) = ask(&store(&home), "SELECT seq FROM events", Limits::new(20, 0));
    assert_eq!(rows.len(), 20);
    result.unwrap();
}

#[test]
fn a_huge_value_is_refused() {
    let home = Home::new();
    for sql in ["SELECT hex(zeroblob(100000000))", "SELECT randomblob(2000000000)"] {
        let (_, result) = ask(&store(&home), sql, Limits::new(0, 0));
        assert!(result.is_err(), "{sql}");
    }
}
