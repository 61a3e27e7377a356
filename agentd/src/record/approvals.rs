//! Approvals in the store: what people were asked, and what became of it.

use agentguard_core::approval::{Approval, State};
use agentguard_core::held::Asker;
use agentguard_core::ids::IncidentId;
use agentguard_core::record::Record;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;
use super::row::{signed, unsigned};

/// Settled approvals that are listed.
const MAX_SETTLED: u32 = 200;

/// An approval as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredApproval {
    /// The incident of the held request.
    pub id: IncidentId,
    /// The kernel's number of the hold.
    pub hold: u64,
    /// SHA-256 over what was asked.
    pub sha256: String,
    /// For whoever reviews it.
    pub reason: String,
    /// The rule of policy that asks, if one does.
    pub decided_by: Option<String>,
    /// Of the agent's rules.
    pub generation: u32,
    /// Nanoseconds after boot.
    pub asked_ns: u64,
    /// Where it stands.
    pub approval: Approval,
    /// The held request.
    pub record: Record,
    /// Who makes it.
    pub asker: Asker,
}

/// Writes an approval, or what changed about it.
pub fn put(connection: &Connection, stored: &StoredApproval) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO approvals (id, hold, agent, time_ns, state, severity, sha256, reason, decided_by, generation, \
             asked_ns, approval, record, asker) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) \
             ON CONFLICT (id) DO UPDATE SET state = excluded.state, approval = excluded.approval",
        )?
        .execute(params![
            stored.id.0,
            signed(stored.hold),
            stored.record.agent.0,
            signed(stored.record.time_ns),
            stored.approval.state.name(),
            super::row::word(&stored.approval.severity)?,
            stored.sha256,
            stored.reason,
            stored.decided_by,
            stored.generation,
            signed(stored.asked_ns),
            serde_json::to_string(&stored.approval)?,
            serde_json::to_string(&stored.record)?,
            serde_json::to_string(&stored.asker)?,
        ])?;
    Ok(())
}

/// Those that nobody has settled.
pub fn pending(connection: &Connection) -> Result<Vec<StoredApproval>, StoreError> {
    let sql = "SELECT * FROM approvals WHERE state = ?1 ORDER BY time_ns";
    read(connection, sql, params![State::Pending.name()])
}

/// Those that are settled, newest first.
pub fn settled(connection: &Connection) -> Result<Vec<StoredApproval>, StoreError> {
    let sql = "SELECT * FROM approvals WHERE state <> ?1 ORDER BY time_ns DESC LIMIT ?2";
    read(connection, sql, params![State::Pending.name(), MAX_SETTLED])
}

/// The one that this hold asked for.
pub fn of_hold(connection: &Connection, hold: u64) -> Result<Option<StoredApproval>, StoreError> {
    Ok(read(connection, "SELECT * FROM approvals WHERE hold = ?1", params![signed(hold)])?.pop())
}

/// One of them.
pub fn get(connection: &Connection, id: &str) -> Result<Option<StoredApproval>, StoreError> {
    let sql = "SELECT * FROM approvals WHERE id = ?1";
    let found = connection.query_row(sql, [id], |row| Ok(of_row(row))).optional()?;
    found.transpose()
}

fn read(
    connection: &Connection,
    sql: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<Vec<StoredApproval>, StoreError> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(values)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(of_row(row)?);
    }
    Ok(all)
}

fn of_row(row: &Row<'_>) -> Result<StoredApproval, StoreError> {
    Ok(StoredApproval {
        id: IncidentId(row.get("id")?),
        hold: unsigned(row, "hold")?,
        sha256: row.get("sha256")?,
        reason: row.get("reason")?,
        decided_by: row.get("decided_by")?,
        generation: row.get("generation")?,
        asked_ns: unsigned(row, "asked_ns")?,
        approval: serde_json::from_str(&row.get::<_, String>("approval")?)?,
        record: serde_json::from_str(&row.get::<_, String>("record")?)?,
        asker: serde_json::from_str(&row.get::<_, String>("asker")?)?,
    })
}
