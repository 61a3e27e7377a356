//! Reads the past: records by filter, one record by its name, the lineage of a process.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use agentguard_api::report::Ancestor;
use agentguard_core::ids::{AgentName, IncidentId};
use agentguard_core::record::{Process, Record};
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::StoreError;
use super::filter::Filter;
use super::row::{self, COLUMNS, TABLES, signed};

/// Ancestors told: deeper trees are cut.
const MAX_LINEAGE: usize = 64;

/// Longest look through the past: a filter that matches nothing must not read for ever.
const MAX_SCAN: Duration = Duration::from_secs(30);

/// Numbers of the newest `limit` records that match, oldest first. Only numbers, because the records themselves may not
/// fit into memory.
pub fn newest(connection: &Connection, filter: &Filter, limit: usize) -> Result<VecDeque<i64>, StoreError> {
    let (condition, values) = filter.sql();
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE {condition} ORDER BY e.seq DESC");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = VecDeque::new();
    let deadline = Instant::now() + MAX_SCAN;
    while found.len() < limit
        && Instant::now() < deadline
        && let Some(row) = rows.next()?
    {
        let record = row::read(row)?;
        if filter.matches(&record) {
            found.push_front(signed(record.seq));
        }
    }
    Ok(found)
}

/// The newest records of an agent, newest first.
pub fn of_agent(connection: &Connection, agent: &AgentName, limit: u32) -> Result<Vec<Record>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE e.agent = ?1 ORDER BY e.seq DESC LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![agent.0, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(row::read(row)?);
    }
    Ok(found)
}

/// Number of the newest record, 0 if there is none.
pub fn newest_number(connection: &Connection) -> Result<u64, StoreError> {
    let newest: Option<i64> = connection.query_row("SELECT max(seq) FROM events", [], |row| row.get(0))?;
    Ok(newest.unwrap_or(0).cast_unsigned())
}

/// The newest incident, so that new ones are newer.
pub fn newest_incident(connection: &Connection) -> Result<Option<IncidentId>, StoreError> {
    let newest: Option<String> =
        connection.query_row("SELECT max(incident) FROM decisions", [], |row| row.get(0))?;
    Ok(newest.map(IncidentId))
}

/// A record by its number.
pub fn by_number(connection: &Connection, number: i64) -> Result<Option<Record>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE e.seq = ?1");
    let found = connection.prepare_cached(&sql)?.query_row([number], |row| Ok(row::read(row))).optional()?;
    found.transpose()
}

/// A record by incident id or number.
pub fn by_id(connection: &Connection, id: &str) -> Result<Option<Record>, StoreError> {
    let number: i64 = id.parse().unwrap_or(0);
    let sql = format!(
        "SELECT {COLUMNS} FROM {TABLES} WHERE e.seq = coalesce((SELECT seq FROM decisions WHERE incident = ?1), ?2)"
    );
    let found = connection.query_row(&sql, params![id, number], |row| Ok(row::read(row))).optional()?;
    found.transpose()
}

/// The process itself, then its ancestors as far as they are known.
///
/// Each is told with the program that it ran at the time: a shell that has become something else since was a shell.
pub fn lineage(
    connection: &Connection,
    process: &Process,
    time_ns: u64,
) -> Result<Vec<Ancestor>, StoreError> {
    let mut lineage = Vec::new();
    let mut next = Some((process.pid, process.start_ns));
    while let Some((pid, start_ns)) = next
        && lineage.len() < MAX_LINEAGE
    {
        let Some((ancestor, parent)) = ancestor(connection, pid, start_ns, time_ns)? else { break };
        lineage.push(ancestor);
        next = (parent.0 != 0).then_some(parent);
    }
    if lineage.is_empty() {
        lineage.push(Ancestor {
            pid: process.pid,
            start_ns: process.start_ns,
            uid: process.uid,
            exe: process.exe.clone(),
            argv: Vec::new(),
        });
    }
    Ok(lineage)
}

type Parent = (u32, u64);

/// A start of 0 is not known: then the process is meant that had the pid at that time.
fn ancestor(
    connection: &Connection,
    pid: u32,
    start_ns: u64,
    time_ns: u64,
) -> Result<Option<(Ancestor, Parent)>, StoreError> {
    let found = connection
        .prepare_cached(
            "SELECT pid, start_ns, uid, exe, argv, parent_pid, parent_start_ns FROM processes \
             WHERE pid = ?1 AND (?2 = 0 OR start_ns / 10000000 = ?2 / 10000000) \
             ORDER BY first_ns > ?3, abs(first_ns - ?3), rowid DESC LIMIT 1",
        )?
        .query_row(params![pid, signed(start_ns), signed(time_ns)], |row| {
            let argv: Option<String> = row.get("argv")?;
            let ancestor = Ancestor {
                pid: row.get("pid")?,
                start_ns: row.get::<_, i64>("start_ns")?.cast_unsigned(),
                uid: row.get("uid")?,
                exe: row.get("exe")?,
                argv: argv.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default(),
            };
            let parent = (row.get("parent_pid")?, row.get::<_, i64>("parent_start_ns")?.cast_unsigned());
            Ok((ancestor, parent))
        })
        .optional()?;
    Ok(found)
}
