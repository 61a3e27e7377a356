//! How many lines of the log one agent may cause: a flood of requests fills neither the journal nor the disk.

use std::time::{Duration, Instant};

use agentguard_core::ids::AgentName;

use crate::bounded::Bounded;

/// Lines per agent and second. A person reads fewer, a log pipeline takes as many.
const MAX_LINES_PER_SEC: u32 = 20;

/// Agents whose lines are limited apart from each other.
const MAX_AGENTS: usize = 1024;

/// Counts lines by agent.
pub struct LogLimit(Bounded<AgentName, Lines>);

struct Lines {
    second: Instant,
    written: u32,
    left_out: u64,
}

impl Lines {
    fn new() -> Self {
        Self { second: Instant::now(), written: 0, left_out: 0 }
    }
}

impl Default for LogLimit {
    fn default() -> Self {
        Self(Bounded::new(MAX_AGENTS))
    }
}

impl LogLimit {
    /// Whether one more line may be written. What was left out is told by the first line of a later second.
    pub fn allows(&mut self, agent: &AgentName) -> bool {
        if self.0.get(agent).is_none() {
            self.0.insert(agent.clone(), Lines::new());
        }
        let Some(lines) = self.0.get_mut(agent) else { return false };
        if lines.second.elapsed() >= Duration::from_secs(1) {
            if lines.left_out > 0 {
                tracing::warn!(AGENTGUARD_AGENT = %agent, left_out = lines.left_out,
                    "agent {agent}: {} more denials and findings were not logged; the store has them", lines.left_out);
            }
            *lines = Lines::new();
        }
        if lines.written >= MAX_LINES_PER_SEC {
            lines.left_out += 1;
            return false;
        }
        lines.written += 1;
        true
    }
}
