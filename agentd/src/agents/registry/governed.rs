//! Runs of registered agents: what governance decides about an agent is put into effect on every run of it.
//!
//! A run keeps what it was started as: one that began in the sandbox stays in it. One that was started on a proof goes on only
//! as long as that proof holds.

use std::sync::Arc;
use std::time::Duration;

use agentguard_api::report::{AgentState, InstanceView, KernelProof};
use agentguard_core::ids::{AgentKey, AgentName};
use agentguard_governance::admission::FoundProof;
use agentguard_governance::state::State;

use super::policy::Prepared;
use super::{Agents, Registry, RegistryError, Running, draft_of, host_facts, stored};
use crate::agents::{Target, systemd, user};
use crate::governance::{Governance, GovernanceError};
use crate::kernel::{KernelError, kill, open_process};
use crate::record::agents::StoredAgent;

/// Rounds of killing: a task that forks while it is killed is met in the next.
const MAX_ROUNDS: u32 = 50;
/// Between two rounds.
const ROUND: Duration = Duration::from_millis(20);

impl Running {
    pub(super) fn scratch(&self) -> Option<&std::path::Path> {
        self.stored.registered.as_ref()?.scratch.as_deref()
    }
}

impl Registry {
    /// Changes a registered agent, and puts that into effect on its runs.
    ///
    /// # Errors
    /// When governance says no; then nothing changed.
    pub async fn govern_agent<T: Send + 'static>(
        self: &Arc<Self>,
        name: Option<String>,
        change: impl FnOnce(&Governance) -> Result<T, GovernanceError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let registry = self.clone();
        // Of its own: a client that leaves half-way must not leave what runs behind.
        let work = tokio::spawn(async move {
            let mut agents = registry.agents.lock().await;
            let changed = registry.ask(change).await;
            // Also if it failed: part of it may be done.
            registry.readmit(&mut agents, name.as_deref()).await;
            changed
        });
        work.await.map_err(|_| RegistryError::Stopping)?
    }

    /// Asks policy again about one agent or about all, without another policy: what was spent, or another month.
    pub async fn revalidate(self: &Arc<Self>, name: Option<String>, why: &str) -> Result<(), RegistryError> {
        let (policy, why) = (self.policy.get(), why.to_owned());
        let only = name.clone();
        self.govern_agent(name, move |governance| {
            let judged = governance.judge(&policy, only.as_deref(), |_, _| ())?;
            governance.settle(judged, &policy, &why);
            Ok(())
        })
        .await
    }

    /// Looks at every run of registered agents again: proofs end, files change.
    pub async fn readmit_all(self: &Arc<Self>) {
        let mut agents = self.agents.lock().await;
        self.readmit(&mut agents, None).await;
    }

    pub(super) async fn readmit(self: &Arc<Self>, agents: &mut Agents, only: Option<&str>) {
        let runs: Vec<StoredAgent> = agents
            .running
            .values()
            .map(|running| &running.stored)
            .filter(|run| {
                run.registered
                    .as_ref()
                    .is_some_and(|registered| only.is_none_or(|only| only == registered.name))
            })
            .cloned()
            .collect();
        for run in runs {
            let before = run.registered.clone();
            let name = run.name.clone();
            match self.standing_now(run).await {
                Err(why) => self.stop(agents, &name, &why).await,
                Ok(run) if run.registered != before => self.change_state(agents, run).await,
                Ok(_) => {}
            }
        }
    }

    /// A run as governance sees it now, or why it has to stop.
    pub(super) async fn standing_now(self: &Arc<Self>, mut run: StoredAgent) -> Result<StoredAgent, String> {
        let Some(registered) = &mut run.registered else { return Ok(run) };
        let name = registered.name.clone();
        let asked = self.ask(move |governance| Ok(governance.still_holds(&name))).await;
        let now = asked.map_err(|error| error.to_string())??;
        match (registered.state, now.state) {
            (State::Sandbox, _) => {}
            (_, State::Sandbox | State::Invalidated) => {
                return Err(format!("its agent is {} now", now.state));
            }
            (_, State::Valid | State::Restricted) if registered.signed != now.signed => {
                return Err("another spec of its agent is signed now".to_owned());
            }
            (_, State::Valid | State::Restricted) => registered.state = now.state,
        }
        Ok(run)
    }

    /// The rules of another state. A run that can not get them is stopped: it must not go on under those of the old one.
    async fn change_state(self: &Arc<Self>, agents: &mut Agents, run: StoredAgent) {
        let name = run.name.clone();
        let changed = match self.compile(&draft_of(&run), &name).await {
            Ok(compiled) => self.install_next(agents, &Prepared { agent: run, compiled }),
            Err(error) => Err(error),
        };
        match changed {
            Ok(()) => tracing::info!(AGENT = %name, "agent {name} goes on under other rules"),
            Err(error) => self.stop(agents, &name, &error.to_string()).await,
        }
    }

    /// Ends every process of a run. Until the last is gone, its rules hold.
    pub(super) async fn stop(&self, agents: &mut Agents, name: &AgentName, why: &str) {
        let Some(run) = agents.running.get(name).map(|running| running.stored.clone()) else { return };
        tracing::warn!(AGENT = %name, "agent {name} is stopped: {why}");
        if let Target::Unit { unit, .. } = &run.target
            && let Err(error) = systemd::stop_unit(unit).await
        {
            tracing::warn!(AGENT = %name, %error, "systemd was not told to stop {unit}: it may start it again, ungoverned");
        }
        let mut is_gone = false;
        for _ in 0..MAX_ROUNDS {
            if let Target::Run { cgroup, .. } = &run.target {
                // Kills who forks meanwhile, too. Before Linux 5.14 there is no such file; the rounds do it then.
                let _ = std::fs::write(cgroup.join("cgroup.kill"), "1");
            }
            // If the kernel can not tell now who is left, the next round asks again.
            if self.kill_all(run.key).is_ok_and(|left| left == 0) {
                is_gone = true;
                break;
            }
            tokio::time::sleep(ROUND).await;
        }
        if !is_gone {
            tracing::error!(AGENT = %name, "agent {name} has processes that do not end; it stays governed");
            return;
        }
        if let Err(error) = self.end(agents, run, AgentState::Stopped) {
            tracing::error!(AGENT = %name, %error, "agent {name} was stopped, but could not be ended");
        }
    }

    /// Kills every process that a run has now. How many these were.
    fn kill_all(&self, key: AgentKey) -> Result<usize, KernelError> {
        let mut left = self.kernel.tasks_of(key)?;
        left.retain(|pid| user::is_alive(*pid));
        let opened: Vec<_> = left.iter().filter_map(|pid| Some((pid, open_process(*pid).ok()?))).collect();
        // Asked once more with all of them open: a number that has gone to somebody else since the first time is not theirs.
        let still = self.kernel.tasks_of(key)?;
        for (_, process) in opened.iter().filter(|(pid, _)| still.contains(pid)) {
            // One that could not be ended is still there in the next round.
            let _ = kill(process);
        }
        Ok(left.len())
    }

    /// The runs of a registered agent, each with what the kernel has for it.
    ///
    /// # Errors
    /// When the store or the register can not be read.
    pub fn instances(&self, name: &str) -> Result<Vec<InstanceView>, RegistryError> {
        let runs = self.runs_of(name)?;
        let mut instances: Vec<InstanceView> =
            runs.iter().map(|run| InstanceView { kernel: self.prove(run), agent: self.view(run) }).collect();
        // A run that ended meanwhile has no rules to compare any more.
        let left: Vec<_> = self.runs_of(name)?.into_iter().map(|run| run.key).collect();
        instances.retain(|instance| left.contains(&instance.agent.key));
        Ok(instances)
    }

    fn runs_of(&self, name: &str) -> Result<Vec<StoredAgent>, RegistryError> {
        let mut runs = stored::list(&self.store.reader()?, 0)?;
        runs.retain(|run| run.registered.as_ref().is_some_and(|registered| registered.name == name));
        Ok(runs)
    }

    /// Names of the runs of each registered agent.
    ///
    /// # Errors
    /// When the store can not be read.
    pub fn runs(&self) -> Result<Vec<(String, AgentName)>, RegistryError> {
        let runs = stored::list(&self.store.reader()?, 0)?;
        Ok(runs.into_iter().filter_map(|run| Some((run.registered?.name, run.name))).collect())
    }

    /// Reads the rules of a run back from the kernel, makes them anew from what was signed, and compares.
    fn prove(&self, run: &StoredAgent) -> KernelProof {
        let refused = |what: String| KernelProof { differences: vec![what], ..KernelProof::default() };
        let Some(registered) = &run.registered else {
            return refused("it is of no registered agent".to_owned());
        };
        let stored = match self.governance.stored(&registered.name) {
            Ok(stored) => stored,
            Err(error) => return refused(error.to_string()),
        };
        // In the sandbox nothing is signed: the spec that is there is what must run.
        let signed = match &stored.proof {
            FoundProof::Read { proof, .. } if registered.state.is_promoted() => {
                Some((proof.spec_sha256.clone(), proof.policy_sha256.clone()))
            }
            FoundProof::Read { .. } | FoundProof::Missing | FoundProof::Unreadable(_) => None,
        };
        // A run in the sandbox keeps the spec that it began with.
        let spec = if registered.state.is_promoted() { stored.spec } else { run.spec.clone() };
        let draft = super::Draft { spec, ..draft_of(run) };
        let host = host_facts(&*self.kernel);
        let compiled = match self.compiler.compile(&draft, Some(&run.name), &host, &self.policy.get()) {
            Ok(compiled) => compiled,
            Err(error) => return refused(error.to_string()),
        };
        let read = match self.kernel.inspect(run.key, &compiled.rules(run.generation)) {
            Ok(read) => read,
            Err(error) => return refused(error.to_string()),
        };
        let (spec, policy) = (hex::encode(read.made_of.spec_sha256), hex::encode(read.made_of.policy_sha256));
        let mut differences = read.differences;
        if let Some((signed_spec, signed_policy)) = signed {
            if spec != signed_spec {
                differences.push("the spec that the rules were made of is not the signed one".to_owned());
            }
            if policy != signed_policy {
                differences.push("the policy that the rules were made of is not the signed one".to_owned());
            }
        }
        KernelProof { holds: differences.is_empty(), spec_sha256: spec, policy_sha256: policy, differences }
    }
}
