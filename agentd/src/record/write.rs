//! The writer: batches records into transactions, and keeps the store within its limits.
//!
//! A transaction costs a disk flush whether it holds one record or thousands, so records wait for company, but never
//! longer than [`COMMIT_EVERY`].

use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use agentguard_core::record::Record;
use rusqlite::{Connection, OptionalExtension, params};

use super::retention::Retention;
use super::row::{self, signed};
use super::{Store, StoreError};
use crate::clock;
use crate::decide::Decided;
use crate::enrich::{ProcessChange, Started};
use crate::pipeline::{Arrow, Counts, Inbox};

/// Records of one transaction.
const COMMIT_RECORDS: usize = 4096;

/// Longest that a record waits for company.
const COMMIT_EVERY: Duration = Duration::from_millis(200);

/// How often limits are looked at.
const RETENTION_EVERY: Duration = Duration::from_secs(10);

/// A failing disk is told this often, not with every batch.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

const INSERT_PROCESS: &str = "INSERT INTO processes (pid, start_ns, parent_pid, parent_start_ns, agent, uid, gid, exe, \
     argv, cwd, first_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

const END_PROCESS: &str = "UPDATE processes SET end_ns = ?3, exit_code = ?4, exit_signal = ?5 \
     WHERE pid = ?1 AND start_ns BETWEEN ?2 / 10000000 * 10000000 AND ?2";

/// The stage.
pub struct Writer {
    connection: Connection,
    retention: Retention,
    next_seq: u64,
    counts: Arc<Counts>,
    complained: Option<Instant>,
}

impl Writer {
    /// Numbers go on where the store left off.
    pub fn new(
        store: &Store,
        limits: &crate::config::Retention,
        counts: Arc<Counts>,
    ) -> Result<Self, StoreError> {
        let connection = store.writer()?;
        connection.pragma_update(None, "cache_size", -super::CACHE_KIB)?;
        let last: Option<i64> = connection
            .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'events'", [], |row| row.get(0))
            .optional()?;
        let next_seq = last.unwrap_or(0).cast_unsigned().saturating_add(1);
        Ok(Self { connection, retention: Retention::new(limits), next_seq, counts, complained: None })
    }

    /// Writes until the stage before ends, and hands on what is written.
    pub fn run(&mut self, records: &Inbox<Decided>, next: &Arrow<Record>) {
        let mut retention_due = Instant::now();
        loop {
            match records.recv_timeout(COMMIT_EVERY) {
                Ok(first) => next.send(self.write(gather(first, records))),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= retention_due {
                // Work that is left over is done at once, but between batches.
                let done = self.retention.sweep(&mut self.connection);
                if done.unwrap_or_else(|error| self.complain(&error)) {
                    retention_due = Instant::now() + RETENTION_EVERY;
                }
            }
        }
    }

    /// One transaction. What can not be written is counted as lost and still handed on, with number 0.
    pub fn write(&mut self, batch: Vec<Decided>) -> Vec<Record> {
        let mut records = Vec::with_capacity(batch.len());
        let mut changes = Vec::new();
        let mut seq = self.next_seq;
        for Decided { mut record, changes: seen, waiting: _ } in batch {
            record.seq = seq;
            seq = seq.saturating_add(1);
            changes.extend(seen.into_iter().map(|change| (record.agent.0.clone(), record.time_ns, change)));
            records.push(record);
        }
        match self.transact(&records, &changes) {
            Ok(()) => self.next_seq = seq,
            Err(error) => {
                self.complain(&error);
                self.counts.lose("store", records.len());
                records.iter_mut().for_each(|record| record.seq = 0);
            }
        }
        records
    }

    fn transact(
        &mut self,
        records: &[Record],
        changes: &[(String, u64, ProcessChange)],
    ) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        for (agent, time_ns, change) in changes {
            match change {
                ProcessChange::Started(started) => start_process(&transaction, agent, *time_ns, started)?,
                ProcessChange::Ended { id, code, signal } => {
                    let times = [signed(id.start_ns), signed(*time_ns)];
                    transaction
                        .prepare_cached(END_PROCESS)?
                        .execute(params![id.pid, times[0], times[1], code, signal])?;
                }
            }
        }
        for record in records {
            row::insert(&transaction, record)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Tells, now and then, and returns true: there is nothing more to do for now.
    fn complain(&mut self, error: &StoreError) -> bool {
        if self.complained.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY) {
            self.complained = Some(Instant::now());
            tracing::error!(%error, "records can not be written; enforcement goes on, records are lost");
        }
        true
    }
}

fn gather(mut batch: Vec<Decided>, records: &Inbox<Decided>) -> Vec<Decided> {
    let deadline = Instant::now() + COMMIT_EVERY;
    while batch.len() < COMMIT_RECORDS {
        match records.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(more) => batch.extend(more),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    batch
}

fn start_process(
    connection: &Connection,
    agent: &str,
    time_ns: u64,
    started: &Started,
) -> Result<(), StoreError> {
    let argv = (!started.argv.is_empty()).then(|| serde_json::to_string(&started.argv)).transpose()?;
    connection.prepare_cached(INSERT_PROCESS)?.execute(params![
        started.id.pid,
        signed(started.id.start_ns),
        started.parent.pid,
        signed(started.parent.start_ns),
        agent,
        started.uid,
        started.gid,
        started.exe.as_deref(),
        argv,
        started.cwd,
        signed(time_ns.min(clock::wall_ns())),
    ])?;
    Ok(())
}
