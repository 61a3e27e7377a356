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
use crate::record::{Store, StoreError, spend};

/// Longest note and key of an entry, characters.
const MAX_NOTE: usize = 256;
const MAX_KEY: usize = 256;

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

impl Amount {
    fn key(&self) -> Option<&str> {
        (!self.key.is_empty()).then_some(self.key.as_str())
    }

    /// Two keys must not become one on their way into the store.
    ///
    /// # Errors
    /// When it has a key that would.
    fn check_key(&self) -> Result<(), GovernanceError> {
        if one_line(&self.key, MAX_KEY) == self.key {
            return Ok(());
        }
        Err(GovernanceError::Invalid(format!(
            "the key must be one line of 1 to {MAX_KEY} characters, without blanks at its ends or two in a row"
        )))
    }
}

impl Ledger {
    /// In the store.
    ///
    /// # Errors
    /// When it can not be opened.
    pub fn open(store: &Store) -> Result<Self, StoreError> {
        let connection = store.writer()?;
        // Whoever is told that an amount was added does not report it again: it must outlive a loss of power.
        connection.pragma_update(None, "synchronous", "full")?;
        Ok(Self(Arc::new(Mutex::new(connection))))
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
        let added = spend::add(
            &connection,
            &spend::Entry {
                agent: &amount.agent,
                time_ns: wall_ns,
                spend: amount.spend,
                source: by,
                note: &one_line(&amount.note, MAX_NOTE),
                key: amount.key(),
            },
        )?;
        Ok((before, added))
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
        amount.check_key()?;
        let stored = self.register.load(&amount.agent)?;
        let budget = parse(&stored).ok().and_then(|spec| spec.economics.monthly_budget_usd);
        let now = clock::wall_ns();
        let (before, added) = self.ledger.add(amount, &by.name, now)?;
        let after = if added { before.plus(amount.spend) } else { before };
        let passed = budget.and_then(|budget| alert(before, after, budget));
        let name = &amount.agent;
        if added {
            // All that it takes to begin the ledger anew.
            let detail = json!({
                "usd": amount.spend.dollars(),
                "month_usd": after.dollars(),
                "note": one_line(&amount.note, MAX_NOTE),
                "key": amount.key(),
            });
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::{World, root, world};
    use super::*;

    fn spend(world: &World, usd: &str, key: &str) -> Result<Spent, GovernanceError> {
        let (spend, key) = (Spend::parse(usd).unwrap(), key.to_owned());
        let amount = Amount { agent: "tester".to_owned(), spend, note: "a  model".to_owned(), key };
        world.governance.spend(&amount, &root())
    }

    #[test]
    fn a_key_that_would_not_be_kept_as_it_is_is_refused() {
        let world = world();
        let (long, longer) = ("ä".repeat(256), "ä".repeat(257));
        for key in [longer.as_str(), " ", " a", "a ", "a\n", "a\tb", "a  b"] {
            let error = spend(&world, "1", key).unwrap_err();
            assert!(matches!(error, GovernanceError::Invalid(_)), "{key:?}: {error}");
        }
        for key in ["", "", long.as_str(), "a b"] {
            assert!(spend(&world, "1", key).unwrap().added, "{key:?}");
        }
        assert!(!spend(&world, "1", &long).unwrap().added);
        assert_eq!(world.governance.budget_report("", "").unwrap().spent_usd, 4.0);
    }

    #[test]
    fn what_was_taken_outlives_a_loss_of_power() {
        const FULL: i64 = 2;
        let world = world();
        let connection = world.governance.ledger.0.lock().unwrap();
        let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        assert_eq!(synchronous, FULL);
    }

    #[test]
    fn a_store_that_is_put_aside_forgets_no_spending() {
        let world = world();
        spend(&world, "7.000001", "a").unwrap();
        spend(&world, "2.5", "").unwrap();
        let before = world.governance.budget_report("", "").unwrap();
        let (home, file) = (world.home.state(), world.home.state().join("records.db"));
        let world = world.again_with(|| {
            fs::write(&file, "this is no database, and long enough to be read as one".repeat(100)).unwrap();
        });
        assert!(fs::read_dir(&home).unwrap().any(|entry| {
            entry.unwrap().file_name().to_string_lossy().starts_with("records.db.damaged-")
        }));
        assert_eq!(world.governance.budget_report("", "").unwrap(), before);
        assert!(!spend(&world, "7.000001", "a").unwrap().added, "its key is known");
        assert_eq!(spend(&world, "0.5", "b").unwrap().alert, Some(100));
        // Removed by hand, it is the same.
        let world = world.again_with(|| fs::remove_file(&file).unwrap());
        assert_eq!(world.governance.budget_report("", "").unwrap().spent_usd, 10.000_001);
        // And nothing is added to a store that is there.
        let world = world.again_with(|| ());
        assert_eq!(world.governance.budget_report("", "").unwrap().agents[0].entries, 3);
    }
}
