//! Export: gives what was recorded to those who watch: followers, counters, Prometheus.
//!
//! Nobody who watches can slow the pipeline down: a follower that is too slow misses records and is told how many.

pub mod http;
pub mod metrics;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentguard_core::ids::AgentName;
use agentguard_core::record::Record;
use agentguard_core::verdict::Verdict;
use tokio::sync::broadcast;

use crate::audit::Decisions;
use crate::clock;
use metrics::EventCounters;

/// Records that a follower may be behind. At 1 KiB each, 4 MiB that all followers share.
const FOLLOWED: usize = 4096;

/// Agents whose records are counted apart.
const MAX_AGENTS: usize = 4096;

/// The stage.
pub struct Export {
    followers: Followers,
    tally: Arc<Tally>,
    counters: Arc<EventCounters>,
    decisions: Decisions,
}

/// Where followers subscribe.
#[derive(Debug, Clone)]
pub struct Followers(broadcast::Sender<Arc<Record>>);

/// Records by agent since agentd started.
#[derive(Debug, Default)]
pub struct Tally(Mutex<HashMap<AgentName, Tallied>>);

/// One agent's records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tallied {
    /// All.
    pub records: u64,
    /// Denials, also those that were not put into effect.
    pub denied: u64,
}

impl Export {
    /// With those who watch.
    pub fn new(
        followers: Followers,
        tally: Arc<Tally>,
        counters: Arc<EventCounters>,
        decisions: Decisions,
    ) -> Self {
        Self { followers, tally, counters, decisions }
    }

    /// One batch.
    pub fn export(&mut self, batch: Vec<Record>) {
        self.tally.add(&batch);
        self.decisions.write(&batch);
        let now = clock::wall_ns();
        for record in batch {
            self.counters.count(&record);
            // What the disk did not take has no number.
            if record.seq != 0 {
                self.counters.recorded(Duration::from_nanos(now.saturating_sub(record.time_ns)));
            }
            self.followers.tell(record);
        }
    }
}

impl Default for Followers {
    fn default() -> Self {
        Self(broadcast::channel(FOLLOWED).0)
    }
}

impl Followers {
    /// Every record from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Record>> {
        self.0.subscribe()
    }

    /// How many follow.
    pub fn count(&self) -> usize {
        self.0.receiver_count()
    }

    fn tell(&self, record: Record) {
        if self.0.receiver_count() > 0 {
            // It fails only if the last follower has just left.
            let _ = self.0.send(Arc::new(record));
        }
    }
}

impl Tally {
    /// An agent's numbers.
    pub fn of(&self, agent: &AgentName) -> Tallied {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(agent).copied().unwrap_or_default()
    }

    /// A new agent of this name begins at zero.
    pub fn forget(&self, agent: &AgentName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(agent);
    }

    fn add(&self, batch: &[Record]) {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for record in batch {
            if tally.len() >= MAX_AGENTS && !tally.contains_key(&record.agent) {
                continue;
            }
            let tallied = tally.entry(record.agent.clone()).or_default();
            tallied.records = tallied.records.saturating_add(1);
            if record.decision.verdict == Verdict::Deny {
                tallied.denied = tallied.denied.saturating_add(1);
            }
        }
    }
}
