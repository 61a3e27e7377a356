//! Budgets: what agents spent, in the store, and who is told when a budget nears its end.

use std::sync::{Arc, Mutex, PoisonError};

use agentguard_api::report::{AgentSpend, BudgetReport, Spent};
use agentguard_audit::{Entry as AuditEntry, codes};
use agentguard_core::ids::AgentName;
use agentguard_core::spec::Usd;
use agentguard_governance::budget::{ALERTS, Spend, alert, month};
use agentguard_governance::state::State;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::json;

use super::agents::one_line;
use super::{Governance, GovernanceError, Person, parse};
use crate::clock;
use crate::record::{Store, StoreError};

/// Longest note and key of an entry.
const MAX_NOTE: usize = 256;

/// What was spent. Cheap to clone.
#[derive(Clone)]
pub struct Ledger(Arc<Mutex<Connection>>);

/// One amount.
#[derive(Debug, Clone, Default)]
pub struct Amount {
    /// Whose.
    pub agent: String,
    /// How much.
    pub spend: Spend,
    /// For people.
    pub note: String,
    /// An entry of the same key is taken once; none if empty.
    pub key: String,
}

impl Ledger {
    /// In the store.
    ///
    /// # Errors
    /// When it can not be opened.
    pub fn open(store: &Store) -> Result<Self, StoreError> {
        Ok(Self(Arc::new(Mutex::new(store.writer()?))))
    }

    /// What an agent spent in the month of a moment.
    pub(super) fn spent(&self, agent: &str, wall_ns: u64) -> Result<Spend, StoreError> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let micros: i64 = connection
            .prepare_cached("SELECT coalesce(sum(micros), 0) FROM spend WHERE agent = ?1 AND month = ?2")?
            .query_row(params![agent, month(wall_ns)], |row| row.get(0))?;
        Ok(Spend { micros: micros.cast_unsigned() })
    }

    /// Adds an entry; false if one of its key is there. Returns what was spent before.
    fn add(&self, amount: &Amount, by: &str, wall_ns: u64) -> Result<(Spend, bool), StoreError> {
        let before = self.spent(&amount.agent, wall_ns)?;
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (!amount.key.is_empty()).then(|| one_line(&amount.key, MAX_NOTE));
        let added = connection.execute(
            "INSERT INTO spend (agent, month, time_ns, micros, source, note, key) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
             ON CONFLICT (agent, key) DO NOTHING",
            params![
                amount.agent,
                month(wall_ns),
                wall_ns.cast_signed(),
                amount.spend.micros.cast_signed(),
                by,
                one_line(&amount.note, MAX_NOTE),
                key,
            ],
        )?;
        Ok((before, added > 0))
    }

    /// Agents, what they spent in a month, and in how many entries; the most expensive first.
    fn month(&self, month: &str) -> Result<Vec<(String, Spend, u64)>, StoreError> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statement = connection.prepare_cached(
            "SELECT agent, sum(micros), count(*) FROM spend WHERE month = ?1 GROUP BY agent ORDER BY 2 DESC, 1",
        )?;
        let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<(String, Spend, u64)> {
            let (micros, count): (i64, i64) = (row.get(1)?, row.get(2)?);
            Ok((row.get(0)?, Spend { micros: micros.cast_unsigned() }, count.cast_unsigned()))
        };
        Ok(statement.query_map([month], read)?.collect::<Result<_, _>>()?)
    }

    /// The newest entry's month, to know when another begins.
    pub(super) fn newest_month(&self) -> Result<Option<String>, StoreError> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(connection
            .query_row("SELECT month FROM spend ORDER BY id DESC LIMIT 1", [], |row| row.get(0))
            .optional()?)
    }
}

impl Governance {
    /// Adds to what a registered agent spent, and tells whom it concerns. Whether the budget is spent policy says: the caller
    /// asks it again when the last alert comes.
    pub fn spend(&self, amount: &Amount, by: &Person) -> Result<Spent, GovernanceError> {
        let stored = self.register.load(&amount.agent)?;
        let budget = parse(&stored).ok().and_then(|spec| spec.economics.monthly_budget_usd);
        let now = clock::wall_ns();
        let (before, added) = self.ledger.add(amount, &by.name, now)?;
        let after = if added { before.plus(amount.spend) } else { before };
        let passed = budget.and_then(|budget| alert(before, after, budget));
        let name = &amount.agent;
        if added {
            let detail = json!({"usd": amount.spend.dollars(), "month_usd": after.dollars(), "note": one_line(&amount.note, MAX_NOTE)});
            self.audit
                .note(AuditEntry::new(codes::BUDGET_SPENT, &by.name).agent(name.clone()).detail(detail));
        }
        if let (Some(percent), Some(budget)) = (passed, budget) {
            self.counters.budget_alert(percent);
            let code = if percent >= 100 { codes::BUDGET_EXHAUSTED } else { codes::BUDGET_ALERT };
            let detail =
                json!({"percent": percent, "spent_usd": after.dollars(), "budget_usd": budget.dollars()});
            self.audit.note(AuditEntry::new(code, "agentd").agent(name.clone()).detail(detail));
            tracing::warn!(
                AGENT = name,
                percent,
                "agent {name} has spent {percent} % of its budget of {budget} this month ({:.2} USD)",
                after.dollars()
            );
        }
        let total = self.agent_spend(name, after, 0, budget, Some(stored.entry.standing.state));
        Ok(Spent { total, added, alert: passed })
    }

    /// What was spent in a month, by every agent or by one.
    pub fn budget_report(&self, agent: &str, wanted: &str) -> Result<BudgetReport, GovernanceError> {
        let month = if wanted.is_empty() { month(clock::wall_ns()) } else { wanted.to_owned() };
        if !is_month(&month) {
            return Err(GovernanceError::Invalid(format!(
                "`{month}` is no month; write one such as 2026-11"
            )));
        }
        let mut spent = self.ledger.month(&month)?;
        if wanted.is_empty() {
            // Who has not spent anything yet has a budget, too.
            for name in self.register.names()? {
                if !spent.iter().any(|(known, _, _)| *known == name) {
                    spent.push((name, Spend::default(), 0));
                }
            }
        }
        spent.retain(|(name, _, _)| agent.is_empty() || name == agent);
        let total = spent.iter().fold(Spend::default(), |sum, (_, spend, _)| sum.plus(*spend));
        let agents = spent
            .into_iter()
            .map(|(name, spend, entries)| {
                let stored = self.register.load(&name).ok();
                let budget =
                    stored.as_ref().and_then(|stored| parse(stored).ok()?.economics.monthly_budget_usd);
                self.agent_spend(
                    &name,
                    spend,
                    entries,
                    budget,
                    stored.map(|stored| stored.entry.standing.state),
                )
            })
            .collect();
        Ok(BudgetReport { month, agents, spent_usd: total.dollars() })
    }

    /// Whether another month has begun since the last amount: what was restricted for its spending may go on.
    pub fn month_changed(&self, since: &str) -> Option<String> {
        let now = month(clock::wall_ns());
        let newest = self.ledger.newest_month().ok().flatten();
        (now != since && newest.is_some()).then_some(now)
    }

    fn agent_spend(
        &self,
        name: &str,
        spend: Spend,
        entries: u64,
        budget: Option<Usd>,
        state: Option<State>,
    ) -> AgentSpend {
        let percent = budget.map(|budget| spend.percent_of(budget));
        AgentSpend {
            agent: AgentName(name.to_owned()),
            spent_usd: spend.dollars(),
            monthly_budget_usd: budget.map(Usd::dollars),
            percent,
            alert: percent
                .and_then(|percent| ALERTS.into_iter().rev().find(|alert| percent >= u64::from(*alert))),
            entries,
            state,
        }
    }
}

fn is_month(text: &str) -> bool {
    let mut parts = text.split('-');
    let digits = |part: Option<&str>, count: usize| {
        part.is_some_and(|part| part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    digits(parts.next(), 4) && digits(parts.next(), 2) && parts.next().is_none()
}
