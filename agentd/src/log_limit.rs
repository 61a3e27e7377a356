//! How many lines of the log agents may cause: a flood of requests fills neither the journal nor the disk, and journald
//! has no reason to leave lines out, which it would do without saying of which agent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agentguard_core::ids::AgentName;

use crate::bounded::Bounded;

/// Lines per agent and second. A person reads fewer, a log pipeline takes as many.
const MAX_LINES_PER_SEC: u32 = 20;

/// Lines of all agents per second. journald by itself takes 10,000 in 30 seconds from a service, and agentd has others
/// to write.
const MAX_LINES_IN_ALL_PER_SEC: u32 = 200;

/// Agents whose lines are limited apart from each other.
const MAX_AGENTS: usize = 1024;

/// How often is told what was left out.
pub const TELL_EVERY: Duration = Duration::from_secs(10);

/// Counts lines by agent. Clones count together.
#[derive(Clone)]
pub struct LogLimit(Arc<Mutex<Counted>>);

struct Counted {
    agents: Bounded<AgentName, Lines>,
    all: Lines,
    left_out: BTreeMap<AgentName, u64>,
    left_out_in_all: u64,
}

/// Lines within one second.
struct Lines {
    second: Instant,
    written: u32,
}

impl Lines {
    fn new() -> Self {
        Self { second: Instant::now(), written: 0 }
    }

    fn is_below(&mut self, limit: u32) -> bool {
        if self.second.elapsed() >= Duration::from_secs(1) {
            *self = Self::new();
        }
        self.written < limit
    }
}

impl Default for LogLimit {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Counted {
            agents: Bounded::new(MAX_AGENTS),
            all: Lines::new(),
            left_out: BTreeMap::new(),
            left_out_in_all: 0,
        })))
    }
}

impl LogLimit {
    /// Whether one more line may be written.
    pub fn allows(&self, agent: &AgentName) -> bool {
        let mut counted = self.counted();
        let Counted { agents, all, left_out, left_out_in_all } = &mut *counted;
        if agents.get(agent).is_none() {
            agents.insert(agent.clone(), Lines::new());
        }
        let Some(lines) = agents.get_mut(agent) else { return false };
        if lines.is_below(MAX_LINES_PER_SEC) && all.is_below(MAX_LINES_IN_ALL_PER_SEC) {
            lines.written += 1;
            all.written += 1;
            return true;
        }
        *left_out_in_all = left_out_in_all.saturating_add(1);
        if let Some(count) = left_out.get_mut(agent) {
            *count = count.saturating_add(1);
        } else if left_out.len() < MAX_AGENTS {
            left_out.insert(agent.clone(), 1);
        }
        false
    }

    /// Tells what was left out since the last call, one line for each agent.
    pub fn tell(&self) {
        let left_out = std::mem::take(&mut self.counted().left_out);
        for (agent, lines) in left_out {
            tracing::warn!(AGENT = %agent, LEFT_OUT = lines,
                "agent {agent}: {lines} more denials and findings were not logged; the store has them");
        }
    }

    /// Lines that were left out since agentd started.
    pub fn left_out(&self) -> u64 {
        self.counted().left_out_in_all
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u32) -> AgentName {
        AgentName(format!("agent-{number}"))
    }

    /// How many lines may be written; all within the second in which each agent's limit began.
    fn allowed(limit: &LogLimit, agents: u32, lines: u32) -> u32 {
        (0..agents)
            .flat_map(|agent| (0..lines).map(move |_| agent))
            .map(|of| u32::from(limit.allows(&name(of))))
            .sum()
    }

    #[test]
    fn a_flood_of_one_agent_leaves_room_for_others_and_what_is_left_out_is_counted() {
        let limit = LogLimit::default();
        let flood = allowed(&limit, 1, 1000);
        assert!(limit.allows(&name(1)), "another agent is still heard");
        let left_out = u64::from(1000 - flood);
        assert_eq!(limit.left_out(), left_out);
        assert_eq!(limit.counted().left_out.get(&name(0)), Some(&left_out));
        limit.tell();
        assert!(limit.counted().left_out.is_empty(), "it is told once");
        assert_eq!(limit.left_out(), left_out, "and stays counted");
    }

    #[test]
    fn all_agents_together_stay_below_what_journald_takes() {
        const { assert!(MAX_LINES_IN_ALL_PER_SEC * 30 < 10_000) };
        let limit = LogLimit::default();
        let begin = Instant::now();
        let written = allowed(&limit, 500, MAX_LINES_PER_SEC);
        let seconds = u32::try_from(begin.elapsed().as_secs()).expect("few") + 2; // those that it touches
        assert!(written <= seconds * MAX_LINES_IN_ALL_PER_SEC, "{written} lines in {seconds} s");
    }
}
