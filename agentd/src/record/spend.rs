//! What agents spent, in the store; and from the audit log, when the store is a new one: a budget that is spent stays
//! spent when the file that said so is gone.

use std::path::Path;

use agentguard_audit::codes;
use agentguard_audit::read::{Filter, Records};
use agentguard_governance::budget::{Spend, month, month_began_ns};
use rusqlite::{Connection, params};

use super::StoreError;
use super::row::signed;
use crate::clock;

/// One amount, as it was reported.
pub struct Entry<'a> {
    /// Whose: a registered agent.
    pub agent: &'a str,
    /// Wall clock.
    pub time_ns: u64,
    /// How much.
    pub spend: Spend,
    /// Who reported it.
    pub source: &'a str,
    /// For people.
    pub note: &'a str,
    /// An entry of the same key is taken once.
    pub key: Option<&'a str>,
}

/// Adds an entry; false if one of its key is there.
pub fn add(connection: &Connection, entry: &Entry<'_>) -> Result<bool, StoreError> {
    let added = connection
        .prepare_cached(
            "INSERT INTO spend (agent, month, time_ns, micros, source, note, key) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
             ON CONFLICT (agent, key) DO NOTHING",
        )?
        .execute(params![
            entry.agent,
            month(entry.time_ns),
            signed(entry.time_ns),
            signed(entry.spend.micros),
            entry.source,
            entry.note,
            entry.key,
        ])?;
    Ok(added > 0)
}

/// Adds what the audit log says was spent since this month began. What can not be read there is told and left out.
pub(super) fn add_audited(connection: &Connection, audit: &Path) -> Result<(), StoreError> {
    if !audit.is_dir() {
        return Ok(());
    }
    let since_ns = Some(month_began_ns(clock::wall_ns()));
    let codes = vec![codes::BUDGET_SPENT.name.to_owned()];
    let records = match Records::skim(audit, Filter { codes, since_ns, ..Filter::default() }) {
        Ok(records) => records,
        Err(error) => {
            tracing::error!(%error, "what agents spent this month can not be read from the audit log");
            return Ok(());
        }
    };
    let (mut known, mut unreadable) = (0_u32, 0_u32);
    for record in records {
        let Ok(record) = record else {
            unreadable = unreadable.saturating_add(1);
            continue;
        };
        let text = |name: &str| record.detail.get(name).and_then(serde_json::Value::as_str);
        let usd = record.detail.get("usd").and_then(serde_json::Value::as_f64);
        let spend = usd.and_then(|usd| Spend::parse(&format!("{usd:.6}")));
        let (Some(agent), Some(spend)) = (&record.agent, spend) else {
            unreadable = unreadable.saturating_add(1);
            continue;
        };
        let (source, note, key) = (&record.actor, text("note").unwrap_or_default(), text("key"));
        let entry = Entry { agent, time_ns: record.time_ns, spend, source, note, key };
        known = known.saturating_add(u32::from(add(connection, &entry)?));
    }
    if known > 0 {
        tracing::warn!(
            "the store is new: what agents spent this month is from the audit log ({known} amounts)"
        );
    }
    if unreadable > 0 {
        tracing::error!(
            "{unreadable} lines of the audit log can not be read: what they may say was spent is not counted"
        );
    }
    Ok(())
}
