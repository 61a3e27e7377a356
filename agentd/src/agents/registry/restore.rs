//! After a restart of agentd: the kernel went on enforcing by itself; here agentd learns again whom it governs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use agentguard_api::report::AgentState;

use super::{Agents, Registry, RegistryError, Running, count, draft_of, scratch, stored};
use crate::agents::undo::Undo;
use crate::agents::{Target, host, systemd, user};
use crate::record::agents::StoredAgent;

impl Registry {
    /// Brings back the agents of the store. Returns how many. One that can not be brought back keeps the rules that the
    /// kernel has, and is named in the log.
    pub async fn restore(self: &Arc<Self>) -> Result<u32, RegistryError> {
        let mut agents = self.agents.lock().await;
        let mut restored = 0;
        for agent in stored::list(&agents.connection, 0)? {
            if !self.lives(&agent).await {
                self.end(&mut agents, agent, AgentState::Finished)?;
                continue;
            }
            let name = agent.name.clone();
            // In the registry whatever happens next, so that its slot and name stay taken and it can be released.
            agents.running.insert(name.clone(), Running { stored: agent.clone(), empty_since: None });
            let agent = match self.standing_now(agent.clone()).await {
                Ok(agent) => agent,
                Err(why) => {
                    self.stop(&mut agents, &name, &why).await;
                    continue;
                }
            };
            let is_promoted =
                agent.registered.as_ref().is_some_and(|registered| registered.state.is_promoted());
            match self.restore_one(&mut agents, agent).await {
                Ok(()) => restored += 1,
                // What is signed now is not what the kernel has.
                Err(error) if is_promoted => self.stop(&mut agents, &name, &error.to_string()).await,
                Err(error) => tracing::error!(AGENT = %name, %error,
                    "agent {name} keeps the rules it had; correct this, then: agentctl policy reload"),
            }
        }
        self.keep_strangers(&mut agents)?;
        let used: Vec<_> = agents.running.values().filter_map(Running::scratch).collect();
        scratch::remove_others(&self.governance.settings().scratch_dir, &used);
        Ok(restored)
    }

    /// Whoever is in the kernel and not in the store goes on under the rules that the kernel has; nobody may get their place.
    fn keep_strangers(&self, agents: &mut Agents) -> Result<(), RegistryError> {
        let known: Vec<_> = agents.running.values().map(|running| running.stored.key).collect();
        agents.strangers = self.kernel.agents()?.into_iter().filter(|key| !known.contains(key)).collect();
        self.strangers.store(agents.strangers.len(), Ordering::Relaxed);
        if let Some(newest) = agents.strangers.iter().map(|stranger| stranger.serial).max() {
            stored::serials_go_on_after(&agents.connection, newest)?;
            tracing::error!(
                "{} agents are in the kernel and not in the store; they stay governed by the rules they have until their \
                 processes end",
                agents.strangers.len()
            );
        }
        Ok(())
    }

    /// Labels what an agentd with maps of another layout governed, once its agents are back, and ends its programs. Returns
    /// the processes.
    pub async fn take_over(&self) -> Vec<u32> {
        let agents = self.agents.lock().await;
        let keys: Vec<_> = agents.running.values().map(|running| running.stored.key).collect();
        self.kernel.take_over(&keys).unwrap_or_else(|error| {
            tracing::error!(%error, "the kernel programs of the agentd before go on enforcing beside those of this one; \
                correct this, then: systemctl restart agentd");
            Vec::new()
        })
    }

    /// Whether anything of it can be left since this boot.
    async fn lives(&self, agent: &StoredAgent) -> bool {
        if agent.boot_id != host::boot_id() {
            return false;
        }
        if self.kernel.tasks_of(agent.key).is_ok_and(|tasks| !tasks.is_empty()) {
            return true;
        }
        match &agent.target {
            Target::Pid { pid, start_ticks } => user::is_still(*pid, *start_ticks),
            Target::Run { cgroup, .. } => super::cgroup::is_populated(cgroup),
            Target::Cgroup { cgroup } => cgroup.is_dir(),
            Target::Unit { unit, cgroup } => {
                cgroup.is_dir() || !systemd::has_ended(unit).await.unwrap_or(false)
            }
        }
    }

    async fn restore_one(
        self: &Arc<Self>,
        agents: &mut Agents,
        agent: StoredAgent,
    ) -> Result<(), RegistryError> {
        // Events from before the restart may still be in the ring, decided by the rules of that time.
        if let Some(before) = stored::rules(&agents.connection, &agent.version)? {
            self.directory.announce(agent.key, &agent.name, agent.generation, Arc::new(before));
        }
        let compiled = self.compile(&draft_of(&agent), &agent.name).await?;
        let mut next = agent;
        // Under the same rules and policy everything goes on: answers that stand, addresses that were resolved.
        if !self.policy.went_on() || next.version != compiled.rules.version {
            next.generation = next.generation.saturating_add(1);
        }
        next.version = compiled.rules.version.clone();
        next.rules = count(compiled.rules.rules.len());
        stored::put_rules(&mut agents.connection, &compiled.rules)?;
        self.directory.announce(next.key, &next.name, next.generation, compiled.rules.clone());
        self.kernel.install(next.key, &compiled.rules(next.generation))?;
        stored::put(&agents.connection, &next)?;
        let mut undo = Undo::default();
        let governed = match &next.target {
            // Its number may be somebody else's by now, and its children have labels.
            Target::Pid { pid, start_ticks } if !user::is_still(*pid, *start_ticks) => Ok(0),
            target => self.govern(next.key, target, &mut undo),
        };
        // Labels that are there stay, whether or not new ones could be given.
        undo.keep();
        agents.running.insert(next.name.clone(), Running { stored: next, empty_since: None });
        governed.map(|_| ())
    }
}
