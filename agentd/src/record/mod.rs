//! Record: the store, one SQLite file in the state directory.
//!
//! One thread writes events ([`write`]); agents and their rules are written by a connection of their own ([`agents`]);
//! readers only ever get a read-only connection. Knows no kernel and no socket.

pub mod agents;
pub mod approvals;
pub mod filter;
pub mod history;
pub mod query;
mod retention;
mod row;
pub mod spend;
pub mod write;

pub use row::kind;

use std::path::{Path, PathBuf};
use std::time::Duration;

use agentguard_api::report::StoreStatus;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::clock;
use crate::governance::AUDIT;

/// The file's name in the state directory.
const FILE: &str = "records.db";

/// Tables as they are when a store is new.
const SCHEMA: &str = include_str!("schema.sql");

/// Came with version 2.
const APPROVALS: &str = include_str!("approvals.sql");

/// Came with version 3.
const GOVERNANCE: &str = include_str!("governance.sql");

/// Version of the tables, in the file's header.
const SCHEMA_VERSION: i32 = 3;

/// The two writers wait for each other at most this long; a batch takes some milliseconds.
const BUSY: Duration = Duration::from_secs(5);

/// The write-ahead log is cut back to this after a checkpoint.
const WAL_BYTES: u64 = 64 << 20;

/// Memory for pages of a connection that reads or writes records, which it does in order: more would not help.
const CACHE_KIB: i64 = 4096;

/// Memory for pages of one that stays open and writes a row now and then.
const SMALL_CACHE_KIB: i64 = 512;

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A statement failed.
    #[error("store: {0}")]
    Sql(#[from] rusqlite::Error),
    /// A value in it is not readable.
    #[error("store: a value is not readable: {0}")]
    Value(#[from] serde_json::Error),
    /// The file or its folder can not be used.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file was written by another version.
    #[error("{}: written by a newer agentd (format {found}); install that version, or move the file away", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i32,
    },
}

/// Where the store is. Cheap to clone; each user opens a connection of its own.
#[derive(Debug, Clone)]
pub struct Store {
    path: PathBuf,
    set_aside: Option<PathBuf>,
}

impl Store {
    /// Opens or makes the store. A damaged file is put aside with a loud message: enforcement matters more than history.
    pub fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let path = state_dir.join(FILE);
        std::fs::create_dir_all(state_dir)
            .map_err(|source| StoreError::File { path: state_dir.to_owned(), source })?;
        let mut store = Self { path, set_aside: None };
        match store.prepare() {
            Err(StoreError::Sql(error)) if is_damage(&error) => {
                let aside = store.put_aside()?;
                tracing::error!(%error, "the store {} is damaged; it was put aside as {} and a new one was begun",
                    store.path.display(), aside.display());
                store.set_aside = Some(aside);
                store.prepare()?;
            }
            other => other?,
        }
        Ok(store)
    }

    /// A connection that may write a few rows.
    pub fn writer(&self) -> Result<Connection, StoreError> {
        let connection = Connection::open(&self.path)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "normal")?;
        connection.pragma_update(None, "journal_size_limit", WAL_BYTES.cast_signed())?;
        connection.pragma_update(None, "cache_size", -SMALL_CACHE_KIB)?;
        Ok(connection)
    }

    /// A connection that may only read.
    pub fn reader(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        Ok(connection)
    }

    /// Size and age.
    pub fn status(&self) -> Result<StoreStatus, StoreError> {
        let connection = self.reader()?;
        let (first, last): (Option<i64>, Option<i64>) = connection.query_row(
            "SELECT (SELECT min(seq) FROM events), (SELECT max(seq) FROM events)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        // Numbers are given in order and only the oldest rows go, so this needs no count over the table.
        let records = first.zip(last).map_or(0, |(first, last)| last.saturating_sub(first).saturating_add(1));
        let oldest: Option<i64> = connection
            .query_row("SELECT time_ns FROM events ORDER BY seq LIMIT 1", [], |row| row.get(0))
            .optional()?;
        Ok(StoreStatus {
            path: self.path.display().to_string(),
            records: records.cast_unsigned(),
            bytes: self.bytes(),
            oldest_ns: oldest.unwrap_or(0).cast_unsigned(),
            set_aside: self.set_aside.as_ref().map(|path| path.display().to_string()),
        })
    }

    /// Size on disk, with the log.
    pub fn bytes(&self) -> u64 {
        [self.path.clone(), self.beside("-wal")]
            .iter()
            .filter_map(|path| path.metadata().ok())
            .map(|meta| meta.len())
            .sum()
    }

    fn prepare(&self) -> Result<(), StoreError> {
        let connection = self.writer()?;
        restrict(&self.path)?;
        let found: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match found {
            0 => self.begin(&connection)?,
            1 => connection.execute_batch(&format!(
                "BEGIN; {APPROVALS}; {GOVERNANCE}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT"
            ))?,
            2 => connection.execute_batch(&format!(
                "BEGIN; {GOVERNANCE}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT"
            ))?,
            SCHEMA_VERSION => {
                let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
                if verdict != "ok" {
                    return Err(rusqlite::Error::SqliteFailure(
                        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
                        Some(verdict),
                    )
                    .into());
                }
            }
            found => return Err(StoreError::Format { path: self.path.clone(), found }),
        }
        Ok(())
    }

    fn begin(&self, connection: &Connection) -> Result<(), StoreError> {
        // Must come before the first table.
        connection.pragma_update(None, "auto_vacuum", "incremental")?;
        connection.execute_batch("VACUUM")?;
        // All or nothing: a start that ends in between begins it again.
        let transaction = connection.unchecked_transaction()?;
        transaction.execute_batch(&format!(
            "{SCHEMA}; {APPROVALS}; {GOVERNANCE}; PRAGMA user_version = {SCHEMA_VERSION}"
        ))?;
        // Labels of an earlier store may still be in the kernel: begin above any serial it can have given.
        transaction
            .execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('agents', ?1)", [first_serial()])?;
        spend::add_audited(&transaction, &self.path.with_file_name(AUDIT))?;
        transaction.commit()?;
        Ok(())
    }

    fn put_aside(&self) -> Result<PathBuf, StoreError> {
        let aside = self.beside(&format!(".damaged-{}", clock::wall_ns() / 1_000_000_000));
        let moved = std::fs::rename(&self.path, &aside);
        moved.map_err(|source| StoreError::File { path: self.path.clone(), source })?;
        for suffix in ["-wal", "-shm"] {
            // A log without its file is worth nothing, and would damage the new one.
            let _ = std::fs::remove_file(self.beside(suffix));
        }
        Ok(aside)
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }
}

/// Seconds since 2025: agents are enrolled less often than once a second on average.
fn first_serial() -> i64 {
    (clock::wall_ns() / 1_000_000_000).saturating_sub(1_735_689_600).cast_signed()
}

/// Records tell what agents did; only root reads them without agentd.
fn restrict(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|source| StoreError::File { path: path.to_owned(), source })
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

#[cfg(test)]
mod tests;
