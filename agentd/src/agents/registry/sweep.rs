//! Ends agents that have ended by themselves, so that their slots are free again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use agentguard_api::report::AgentState;

use super::{Registry, Running, cgroup};
use crate::agents::{Target, systemd};

/// How often it is looked.
pub const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// An agent without processes is finished after this long: a shell may be between two commands.
const FINISHED_AFTER: Duration = Duration::from_secs(10);

impl Registry {
    /// One look at every agent.
    pub async fn sweep(self: &Arc<Self>) {
        let mut agents = self.agents.lock().await;
        let mut finished = Vec::new();
        for running in agents.running.values_mut() {
            if self.has_ended(running) {
                finished.push(running.stored.clone());
            }
        }
        agents.strangers.retain(|stranger| {
            let is_gone = self.kernel.tasks_of(*stranger).is_ok_and(|tasks| tasks.is_empty());
            !(is_gone && self.kernel.release(*stranger).is_ok())
        });
        self.strangers.store(agents.strangers.len(), Ordering::Relaxed);
        for agent in finished {
            let name = agent.name.clone();
            if let Target::Unit { unit, .. } = &agent.target
                && !systemd::has_ended(unit).await.unwrap_or(false)
            {
                continue; // it waits to be started again
            }
            if let Err(error) = self.end(&mut agents, agent, AgentState::Finished) {
                tracing::warn!(AGENT = %name, %error, "agent {name} has no processes left, but could not be ended");
            }
        }
    }

    /// A unit that was started again has another cgroup. The kernel labels who comes into it; that packets are looked at there
    /// is left to do.
    fn follow(&self, running: &Running) {
        let (Target::Cgroup { cgroup } | Target::Unit { cgroup, .. }) = &running.stored.target else {
            return;
        };
        if let Err(error) = self.kernel.govern_cgroup(running.stored.key, cgroup) {
            tracing::warn!(AGENT = %running.stored.name, %error, "a cgroup could not be followed");
        }
    }

    fn has_ended(&self, running: &mut Running) -> bool {
        let target = &running.stored.target;
        if target.cgroup().is_some_and(cgroup::is_populated) {
            running.empty_since = None;
            self.follow(running);
            return false;
        }
        // A task that left the cgroup keeps its label. If the kernel can not tell, nothing has ended.
        let is_empty = self.kernel.tasks_of(running.stored.key).is_ok_and(|tasks| tasks.is_empty());
        // Somebody else's cgroup may be filled again while it is there.
        let waits = match target {
            Target::Run { .. } | Target::Pid { .. } => false,
            Target::Cgroup { cgroup } | Target::Unit { cgroup, .. } => cgroup.is_dir(),
        };
        if !is_empty || waits {
            running.empty_since = None;
            return false;
        }
        running.empty_since.get_or_insert_with(Instant::now).elapsed() >= FINISHED_AFTER
    }
}
