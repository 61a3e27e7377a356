//! Keeps the store within its limits: the oldest records go, in small pieces, so that writing never waits long.

use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use super::row::signed;
use crate::clock;

/// Records of one piece: some milliseconds, and never much more than is needed.
const PIECE: i64 = 1_000;

/// Pages given back to the file system after each piece.
const VACUUM_PAGES: u32 = 5_000;

/// Rows of processes, whatever their age: ancestors are never seen to end.
const MAX_PROCESSES: i64 = 500_000;

/// Settled approvals, whatever their age: policy's denials are among them, and an agent may cause many.
const MAX_APPROVALS: i64 = 100_000;

const NS_PER_DAY: u64 = 86_400_000_000_000;

/// The limits.
pub(super) struct Retention {
    max_age_ns: u64,
    max_bytes: u64,
}

impl Retention {
    pub(super) fn new(limits: &crate::config::Retention) -> Self {
        Self {
            max_age_ns: u64::from(limits.max_age_days).saturating_mul(NS_PER_DAY),
            max_bytes: limits.max_bytes,
        }
    }

    /// Removes one piece of what is too old or too much. Returns true if nothing is left to do.
    pub(super) fn sweep(&self, connection: &mut Connection) -> Result<bool, StoreError> {
        let oldest = signed(clock::wall_ns().saturating_sub(self.max_age_ns));
        connection.execute(
            "DELETE FROM approvals WHERE state <> 'pending' \
             AND (time_ns < ?1 OR rowid <= (SELECT max(rowid) FROM approvals) - ?2)",
            [oldest, MAX_APPROVALS],
        )?;
        let by_age = self.piece(connection, Some(oldest))?;
        let by_size =
            if self.used_bytes(connection)? > self.max_bytes { self.piece(connection, None)? } else { 0 };
        if by_age + by_size == 0 {
            return Ok(true);
        }
        self.follow(connection)?;
        give_back(connection)?;
        Ok(by_age < PIECE && by_size < PIECE && self.used_bytes(connection)? <= self.max_bytes)
    }

    /// Bytes in use, without pages that are already free.
    fn used_bytes(&self, connection: &Connection) -> Result<u64, StoreError> {
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let pages = pragma("page_count")?.saturating_sub(pragma("freelist_count")?);
        Ok(pages.saturating_mul(pragma("page_size")?).cast_unsigned())
    }

    /// The oldest records, only those from before `time_ns` if it is given.
    fn piece(&self, connection: &mut Connection, time_ns: Option<i64>) -> Result<i64, StoreError> {
        let transaction = connection.transaction()?;
        let last: Option<i64> = transaction
            .query_row(
                "SELECT max(seq) FROM (SELECT seq, time_ns FROM events ORDER BY seq LIMIT ?1) \
                 WHERE ?2 IS NULL OR time_ns < ?2",
                params![PIECE, time_ns],
                |row| row.get(0),
            )
            .optional()?
            .flatten();
        let Some(last) = last else { return Ok(0) };
        transaction.execute("DELETE FROM decisions WHERE seq <= ?1", [last])?;
        let removed = transaction.execute("DELETE FROM events WHERE seq <= ?1", [last])?;
        transaction.commit()?;
        Ok(i64::try_from(removed).unwrap_or(i64::MAX))
    }

    /// What only the removed records spoke of goes with them.
    fn follow(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let transaction = connection.transaction()?;
        let oldest: Option<i64> = transaction
            .query_row("SELECT time_ns FROM events ORDER BY seq LIMIT 1", [], |row| row.get(0))
            .optional()?;
        let oldest = oldest.unwrap_or_else(|| signed(clock::wall_ns()));
        transaction.execute("DELETE FROM processes WHERE end_ns < ?1", [oldest])?;
        transaction.execute(
            "DELETE FROM processes WHERE rowid <= (SELECT max(rowid) FROM processes) - ?1 AND end_ns IS NULL \
             AND first_ns < ?2",
            [MAX_PROCESSES, oldest],
        )?;
        transaction.execute("DELETE FROM agents WHERE state <> 'running' AND ended_ns < ?1", [oldest])?;
        let stale = "SELECT version FROM rulesets WHERE used_ns < ?1 \
                     AND version NOT IN (SELECT version FROM agents WHERE state = 'running')";
        transaction.execute(&format!("DELETE FROM rules WHERE version IN ({stale})"), [oldest])?;
        transaction.execute(
            "DELETE FROM rulesets WHERE used_ns < ?1 \
             AND version NOT IN (SELECT version FROM agents WHERE state = 'running')",
            [oldest],
        )?;
        transaction.commit()?;
        Ok(())
    }
}

/// Gives free pages back to the file system. SQLite frees one page per step, so the statement must be read to its end.
fn give_back(connection: &Connection) -> Result<(), StoreError> {
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}
