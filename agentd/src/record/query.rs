//! Read-only SQL for users, who are trusted to read but not to be careful: time, rows, memory and tables are limited.

use std::time::{Duration, Instant};

use agentguard_api::report::Row;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, Statement};
use serde_json::Value;

use super::{Store, StoreError};

/// Tables that may be read. `sqlite_schema` goes by its old name.
const TABLES: [&str; 7] =
    ["events", "decisions", "processes", "agents", "rules", "approvals", "sqlite_master"];

/// Rows unless the user says otherwise, and at most.
pub const DEFAULT_ROWS: u32 = 1_000;
/// See [`DEFAULT_ROWS`].
pub const MAX_ROWS: u32 = 100_000;

/// Time unless the user says otherwise, and at most.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// See [`DEFAULT_TIMEOUT`].
pub const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest statement.
const MAX_SQL_BYTES: i32 = 64 << 10;

/// Longest value: more than any that is stored, small enough that none fills the memory.
const MAX_VALUE_BYTES: i32 = 1 << 20;

/// Instructions of SQLite's machine between two looks at the clock: well under a millisecond.
const STEPS: i32 = 10_000;

/// What one query may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    rows: usize,
    time: Duration,
}

/// Why a query gave no (more) rows, as one line.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The statement is not one that may be run, or not SQL.
    #[error("{0}")]
    Refused(String),
    /// It took too long.
    #[error("the query was stopped after {} ms; narrow it, or allow more with --timeout", .0.as_millis())]
    Timeout(Duration),
    /// There are more rows than asked for.
    #[error("there are more than {0} rows; the rest is left out, add LIMIT or allow more with --max-rows")]
    MoreRows(usize),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Limits {
    /// Zero means the default; more than the most is the most.
    pub fn new(rows: u32, timeout_ms: u32) -> Self {
        let rows = if rows == 0 { DEFAULT_ROWS } else { rows.min(MAX_ROWS) };
        let time = if timeout_ms == 0 { DEFAULT_TIMEOUT } else { Duration::from_millis(timeout_ms.into()) };
        Self { rows: usize::try_from(rows).unwrap_or(usize::MAX), time: time.min(MAX_TIMEOUT) }
    }
}

/// Runs one statement and gives each row to `sink` until that returns false.
pub fn run(
    store: &Store,
    sql: &str,
    limits: Limits,
    sink: impl FnMut(Row) -> bool,
) -> Result<(), QueryError> {
    let mut connection = store.reader()?;
    restrict(&mut connection, limits.time).map_err(StoreError::from)?;
    rows(&connection, sql, limits, sink).map_err(|error| match error {
        Failure::Sql(error) => explain(error, limits),
        Failure::Query(error) => error,
    })
}

enum Failure {
    Sql(rusqlite::Error),
    Query(QueryError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

fn restrict(connection: &mut Connection, time: Duration) -> rusqlite::Result<()> {
    connection.pragma_update(None, "query_only", true)?;
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_SQL_LENGTH, MAX_SQL_BYTES),
        (Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
    ] {
        connection.set_limit(limit, value)?;
    }
    connection.authorizer(Some(authorize))?;
    let deadline = Instant::now() + time;
    connection.progress_handler(STEPS, Some(move || Instant::now() >= deadline))
}

fn authorize(context: AuthContext<'_>) -> Authorization {
    let allowed = match context.action {
        AuthAction::Select | AuthAction::Recursive => true,
        AuthAction::Read { table_name, .. } => TABLES.contains(&table_name),
        AuthAction::Function { function_name } => !function_name.eq_ignore_ascii_case("load_extension"),
        _ => false,
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}

fn rows(
    connection: &Connection,
    sql: &str,
    limits: Limits,
    mut sink: impl FnMut(Row) -> bool,
) -> Result<(), Failure> {
    let mut statement = connection.prepare(sql)?;
    if statement.column_count() == 0 {
        return Err(Failure::Query(QueryError::Refused(
            "the statement gives no rows; write SELECT …".into(),
        )));
    }
    let names = names(&statement);
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        if count == limits.rows {
            return Err(Failure::Query(QueryError::MoreRows(count)));
        }
        count += 1;
        let mut out = Row::new();
        for (position, name) in names.iter().enumerate() {
            out.insert(name.clone(), json(row.get_ref(position)?));
        }
        if !sink(out) {
            break;
        }
    }
    Ok(())
}

/// Column names; one that comes twice gets a number, so that no value is hidden.
fn names(statement: &Statement<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in statement.column_names() {
        let mut unique = name.to_owned();
        let mut number = 2;
        while names.contains(&unique) {
            unique = format!("{name}_{number}");
            number += 1;
        }
        names.push(unique);
    }
    names
}

fn json(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
        ValueRef::Blob(bytes) => hex::encode(bytes).into(),
    }
}

fn explain(error: rusqlite::Error, limits: Limits) -> QueryError {
    let only_select = || {
        "only SELECT over events, decisions, processes, agents, rules and approvals is possible".to_owned()
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => return QueryError::Timeout(limits.time),
        Some(ErrorCode::AuthorizationForStatementDenied | ErrorCode::ReadOnly) => {
            return QueryError::Refused(only_select());
        }
        _ => {}
    }
    match &error {
        rusqlite::Error::MultipleStatement => QueryError::Refused("write one statement only".into()),
        rusqlite::Error::SqlInputError { msg, .. } => {
            match msg.contains("prohibited") || msg == "not authorized" {
                true => QueryError::Refused(format!("{msg}; {}", only_select())),
                false => QueryError::Refused(msg.split_whitespace().collect::<Vec<_>>().join(" ")),
            }
        }
        rusqlite::Error::SqliteFailure(_, Some(message)) => QueryError::Refused(message.clone()),
        _ => QueryError::Store(error.into()),
    }
}

#[cfg(test)]
mod tests;
