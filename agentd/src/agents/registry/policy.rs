//! Another policy for all agents, or for none.
//!
//! Everything is compiled before anything is installed. If the kernel refuses half-way, the agents that were done get
//! their old rules back.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use agentguard_api::report::PolicyChange;
use agentguard_audit::{Entry as AuditEntry, codes};
use agentguard_governance::state::State;
use agentguard_policy::PolicySet;
use agentguard_policy::history::Cause;

use super::{Agents, Registry, RegistryError, count, draft_of, host_facts, stored};
use crate::agents::compile::Compiled;
use crate::governance::Judged;
use crate::policy::PolicyFailure;
use crate::record::agents::StoredAgent;

/// Hears how many of how many agents were looked at again.
pub type Progress = Arc<dyn Fn(u32, u32) + Send + Sync>;

/// Nobody listens.
pub fn unheard() -> Progress {
    Arc::new(|_, _| ())
}

/// An agent and its next rules.
pub(super) struct Prepared {
    pub(super) agent: StoredAgent,
    pub(super) compiled: Compiled,
}

/// Agents that run, but for those that are about to be stopped, each in the state that it is about to be in.
fn as_they_will_stand(agents: &Agents, judged: &[Judged]) -> Vec<StoredAgent> {
    let next: HashMap<&str, State> = judged.iter().map(|judged| (judged.name(), judged.next())).collect();
    let mut running: Vec<StoredAgent> =
        agents.running.values().map(|running| running.stored.clone()).collect();
    running.retain_mut(|agent| match &mut agent.registered {
        Some(registered) if registered.state.is_promoted() => {
            let Some(next) = next.get(registered.name.as_str()) else { return true };
            registered.state = if next.is_promoted() { *next } else { registered.state };
            next.is_promoted()
        }
        Some(_) | None => true,
    });
    running
}

impl Registry {
    /// Reads the policy again; `progress` hears how many agents were looked at again.
    pub async fn reload_policy(
        self: &Arc<Self>,
        folder: &Path,
        by: &str,
        progress: Progress,
    ) -> Result<PolicyChange, RegistryError> {
        let folder = folder.to_owned();
        let read = move || PolicySet::read(&folder).map_err(PolicyFailure::from);
        let set = tokio::task::spawn_blocking(read).await.map_err(|_| RegistryError::Stopping);
        let changed = match set.and_then(|set| Ok(set?)) {
            Ok(set) => self.put_into_force(set, Cause::Reload, by, progress).await,
            Err(error) => Err(error),
        };
        self.tell_outcome(&changed, by);
        changed
    }

    /// Goes back to an earlier policy; by default to the one before.
    pub async fn roll_back_policy(
        self: &Arc<Self>,
        version: Option<String>,
        by: &str,
        progress: Progress,
    ) -> Result<PolicyChange, RegistryError> {
        let registry = self.clone();
        let read = move || registry.policy.earlier(version.as_deref()).map_err(PolicyFailure::from);
        let set = tokio::task::spawn_blocking(read).await.map_err(|_| RegistryError::Stopping);
        let changed = match set.and_then(|set| Ok(set?)) {
            Ok(set) => self.put_into_force(set, Cause::Rollback, by, progress).await,
            Err(error) => Err(error),
        };
        self.tell_outcome(&changed, by);
        changed
    }

    fn tell_outcome(&self, changed: &Result<PolicyChange, RegistryError>, by: &str) {
        if let Err(error) = changed {
            let failed = AuditEntry::new(codes::POLICY_RELOAD_FAILED, by);
            self.governance.audit().note(failed.detail(serde_json::json!({"problem": error.to_string()})));
        }
        self.governance.counters().policy_reloaded(changed.is_ok());
    }

    async fn put_into_force(
        self: &Arc<Self>,
        set: PolicySet,
        cause: Cause,
        by: &str,
        progress: Progress,
    ) -> Result<PolicyChange, RegistryError> {
        let begun = Instant::now();
        let mut agents = self.agents.lock().await;
        let previous = self.policy.get();
        let set = Arc::new(set);
        let judged = {
            let set = set.clone();
            self.ask(move |governance| governance.judge(&set, None, |done, total| progress(done, total)))
                .await?
        };
        let running = as_they_will_stand(&agents, &judged);
        let prepared = self.prepare(running, &set).await?;
        let mut change = PolicyChange {
            previous: previous.version().short().to_owned(),
            version: set.version().short().to_owned(),
            changed: previous.version() != set.version(),
            agents: 0,
            revalidated: Vec::new(),
            took_ms: 0,
            warnings: prepared.iter().flat_map(|next| next.compiled.warnings.clone()).collect(),
        };
        let entry = AuditEntry::new(codes::POLICY_HOTRELOAD, by).detail(serde_json::json!({
            "cause": cause,
            "previous_sha256": previous.version().hash(),
            "policy_sha256": set.version().hash(),
            "agents": prepared.len(),
            "asked_about": judged.len(),
        }));
        self.ask(move |governance| Ok(governance.audit().record(entry)?)).await?;
        if let Err(error) = self.install_all(&mut agents, &prepared) {
            // Those that were done have the old rules again; here they get the old state, too.
            self.readmit(&mut agents, None).await;
            return Err(error);
        }
        // The rules are in force whatever the disk says to the history.
        if let Err(error) = self.policy.replace(set.clone(), cause, by) {
            let installed = prepared.iter().collect::<Vec<_>>();
            self.install_old(&mut agents, &installed);
            self.readmit(&mut agents, None).await;
            return Err(PolicyFailure::from(error).into());
        }
        change.agents = count(prepared.len());
        let why = format!("policy {}", change.version);
        change.revalidated = self.ask(move |governance| Ok(governance.settle(judged, &set, &why))).await?;
        self.readmit(&mut agents, None).await;
        change.took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            previous = change.previous,
            POLICY = change.version,
            agents = change.agents,
            revalidated = change.revalidated.len(),
            BY = by,
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
    pub(super) fn install_next(&self, agents: &mut Agents, next: &Prepared) -> Result<(), RegistryError> {
        let Prepared { agent, compiled } = next;
        let Some(running) = agents.running.get(&agent.name) else { return Ok(()) };
        let mut changed = running.stored.clone();
        changed.generation = changed.generation.saturating_add(1);
        changed.version = compiled.rules.version.clone();
        changed.rules = count(compiled.rules.rules.len());
        changed.mode = compiled.mode;
        changed.registered.clone_from(&agent.registered);
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
                tracing::error!(AGENT = %next.agent.name, %error,
                    "agent {} keeps the rules of the policy that failed", next.agent.name);
            }
        }
    }
}
