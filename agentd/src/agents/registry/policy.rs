//! Another policy for all agents, or for none.
//!
//! Everything is compiled before anything is installed. If the kernel refuses half-way, the agents that were done get
//! their old rules back.

use std::path::Path;
use std::sync::Arc;

use agentguard_api::report::PolicyChange;
use agentguard_policy::PolicySet;
use agentguard_policy::history::Cause;

use super::{Agents, Registry, RegistryError, count, draft_of, host_facts, stored};
use crate::agents::compile::Compiled;
use crate::policy::PolicyFailure;
use crate::record::agents::StoredAgent;

/// An agent and its next rules.
struct Prepared {
    agent: StoredAgent,
    compiled: Compiled,
}

impl Registry {
    /// Reads the policy again.
    pub async fn reload_policy(
        self: &Arc<Self>,
        folder: &Path,
        by: &str,
    ) -> Result<PolicyChange, RegistryError> {
        let folder = folder.to_owned();
        let read = move || PolicySet::read(&folder).map_err(PolicyFailure::from);
        let set = tokio::task::spawn_blocking(read).await.map_err(|_| RegistryError::Stopping)??;
        self.put_into_force(set, Cause::Reload, by).await
    }

    /// Goes back to an earlier policy; by default to the one before.
    pub async fn roll_back_policy(
        self: &Arc<Self>,
        version: Option<String>,
        by: &str,
    ) -> Result<PolicyChange, RegistryError> {
        let registry = self.clone();
        let read = move || registry.policy.earlier(version.as_deref()).map_err(PolicyFailure::from);
        let set = tokio::task::spawn_blocking(read).await.map_err(|_| RegistryError::Stopping)??;
        self.put_into_force(set, Cause::Rollback, by).await
    }

    async fn put_into_force(
        self: &Arc<Self>,
        set: PolicySet,
        cause: Cause,
        by: &str,
    ) -> Result<PolicyChange, RegistryError> {
        let mut agents = self.agents.lock().await;
        let previous = self.policy.get();
        let set = Arc::new(set);
        let running = agents.running.values().map(|running| running.stored.clone()).collect();
        let prepared = self.prepare(running, &set).await?;
        let mut change = PolicyChange {
            previous: previous.version().short().to_owned(),
            version: set.version().short().to_owned(),
            changed: previous.version() != set.version(),
            agents: 0,
            warnings: prepared.iter().flat_map(|next| next.compiled.warnings.clone()).collect(),
        };
        self.install_all(&mut agents, &prepared)?;
        // The rules are in force whatever the disk says to the history.
        if let Err(error) = self.policy.replace(set, cause, by) {
            let installed = prepared.iter().collect::<Vec<_>>();
            self.install_old(&mut agents, &installed);
            return Err(PolicyFailure::from(error).into());
        }
        change.agents = count(prepared.len());
        tracing::info!(
            previous = change.previous,
            version = change.version,
            agents = change.agents,
            by,
            "policy {} is in force",
            change.version
        );
        Ok(change)
    }

    /// New rules for every agent, before any of them is told.
    async fn prepare(
        self: &Arc<Self>,
        running: Vec<StoredAgent>,
        set: &Arc<PolicySet>,
    ) -> Result<Vec<Prepared>, RegistryError> {
        let (registry, set) = (self.clone(), set.clone());
        let work = move || {
            let host = host_facts(&*registry.kernel);
            running
                .into_iter()
                .map(|agent| {
                    let compiled =
                        registry.compiler.compile(&draft_of(&agent), Some(&agent.name), &host, &set)?;
                    Ok(Prepared { agent, compiled })
                })
                .collect()
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| RegistryError::Stopping)?
    }

    fn install_all(&self, agents: &mut Agents, prepared: &[Prepared]) -> Result<(), RegistryError> {
        let mut done = Vec::new();
        for next in prepared {
            if let Err(error) = self.install_next(agents, next) {
                self.install_old(agents, &done);
                return Err(error);
            }
            done.push(next);
        }
        Ok(())
    }

    /// The next generation of one agent's rules.
    fn install_next(&self, agents: &mut Agents, next: &Prepared) -> Result<(), RegistryError> {
        let Prepared { agent, compiled } = next;
        let Some(running) = agents.running.get(&agent.name) else { return Ok(()) };
        let mut changed = running.stored.clone();
        changed.generation = changed.generation.saturating_add(1);
        changed.version = compiled.rules.version.clone();
        changed.rules = count(compiled.rules.rules.len());
        changed.mode = compiled.mode;
        stored::put_rules(&mut agents.connection, &compiled.rules)?;
        self.directory.announce(agent.key, &agent.name, changed.generation, compiled.rules.clone());
        self.kernel.install(agent.key, &compiled.rules(changed.generation))?;
        stored::put(&agents.connection, &changed)?;
        if let Some(running) = agents.running.get_mut(&agent.name) {
            running.stored = changed;
        }
        Ok(())
    }

    /// Gives agents the rules of the policy that is still in use. If even that fails, the new rules stay, loudly.
    fn install_old(&self, agents: &mut Agents, done: &[&Prepared]) {
        let host = host_facts(&*self.kernel);
        let policy = self.policy.get();
        for next in done {
            let agent = next.agent.clone();
            let old = self.compiler.compile(&draft_of(&agent), Some(&agent.name), &host, &policy);
            let back = old
                .map_err(RegistryError::from)
                .and_then(|compiled| self.install_next(agents, &Prepared { agent, compiled }));
            if let Err(error) = back {
                tracing::error!(AGENTGUARD_AGENT = %next.agent.name, %error,
                    "agent {} keeps the rules of the policy that failed", next.agent.name);
            }
        }
    }
}
