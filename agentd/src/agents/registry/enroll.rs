//! Enrolment: compile, install, find a place, govern, store. Whatever fails, or if the caller goes away, everything that
//! was done is taken back.

use std::collections::BTreeMap;

use agentguard_api::report::{AgentState, Enrolled};
use agentguard_audit::{Entry as AuditEntry, codes};
use agentguard_core::ids::{AgentKey, AgentName};
use agentguard_core::spec::{Mode, Spec};
use agentguard_governance::state::State;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Agents, Registry, RegistryError, Running, count, host_facts, stored};
use crate::agents::compile::{Compiled, Draft};
use crate::agents::undo::Undo;
use crate::agents::user::{Owner, User};
use crate::agents::{Registered, Target, host, place, scratch};
use crate::clock;
use crate::config::Degraded;
use crate::governance::{Governance, GovernanceError};
use crate::kernel::{Backend, Kernel};
use crate::record::agents::StoredAgent;

/// What a caller asks for.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// Text of the spec.
    pub spec: String,
    /// As the user named the file.
    pub spec_file: String,
    /// Empty: the spec's, made unique.
    pub name: String,
    /// What the user set.
    pub variables: BTreeMap<String, String>,
    /// Overrides the spec's.
    pub mode: Option<Mode>,
    /// The registered agent that is to start; empty: the spec is used, which nobody registered.
    pub agent: String,
    /// Who asks.
    pub by: String,
    /// What is to be governed.
    pub wanted: place::Wanted,
    /// Whose it was when the caller was found to be allowed to.
    pub owner: Option<Owner>,
}

impl Registry {
    /// Puts processes under a spec.
    pub async fn enroll(self: &Arc<Self>, enrolment: Enrolment) -> Result<Enrolled, RegistryError> {
        let user = place::user_of(&enrolment.wanted).await?;
        let mut agents = self.agents.lock().await;
        let key = agents.take_key()?;
        let mut undo = Undo::default();
        let (draft, name) = self.admit(&mut agents, &enrolment, user, key, &mut undo).await?;
        let compiled = self.compile(&draft, &name).await?;
        self.check_back_end(compiled.mode)?;

        self.install(key, &name, 1, &compiled, &mut undo)?;
        let target = place::settle(&enrolment.wanted, &name, key, &mut undo).await?;
        if let Some(other) = agents.who_governs(&target) {
            return Err(RegistryError::Governed(target.to_string(), other.clone()));
        }
        let tasks = self.govern(key, &target, &mut undo)?;
        // The pid may have gone to another process since the caller was found to be allowed to enroll it.
        enrolment.wanted.is_still(enrolment.owner)?;
        let agent = record_of(&draft, key, name, target, &compiled);
        stored::put_rules(&mut agents.connection, &compiled.rules)?;
        stored::put(&agents.connection, &agent)?;
        undo.keep();

        self.tally.forget(&agent.name);
        self.governance.audit().note(started(&agent, &enrolment.by));
        Ok(self.enrolled(&mut agents, agent, tasks, compiled))
    }

    /// Asks governance, and says under which name and spec it is.
    async fn admit(
        self: &Arc<Self>,
        agents: &mut Agents,
        enrolment: &Enrolment,
        user: User,
        key: AgentKey,
        undo: &mut Undo,
    ) -> Result<(Draft, AgentName), RegistryError> {
        if !enrolment.agent.is_empty() {
            return self.admit_registered(agents, enrolment, user, key, undo).await;
        }
        let spec = Spec::parse(&enrolment.spec, Path::new(&enrolment.spec_file))
            .map_err(crate::agents::compile::CompileError::from)?;
        let name = agents.free_name(&enrolment.name, &spec.agent.name, |_| false)?;
        let wanted = if enrolment.name.is_empty() { spec.agent.name.0.clone() } else { name.0.clone() };
        let (by, hash, given) = (enrolment.by.clone(), spec.sha256(), name.0.clone());
        self.ask(move |governance| governance.admit_unregistered(&wanted, &given, &hash, &by)).await?;
        Ok((draft(enrolment, user), name))
    }

    async fn admit_registered(
        self: &Arc<Self>,
        agents: &mut Agents,
        enrolment: &Enrolment,
        user: User,
        key: AgentKey,
        undo: &mut Undo,
    ) -> Result<(Draft, AgentName), RegistryError> {
        let (agent, by) = (enrolment.agent.clone(), enrolment.by.clone());
        let admitted = self.ask(move |governance| governance.admit(&agent, &by)).await?;
        // Runs of an agent are numbered, but not with names that are other agents'.
        let mut name = agents.free_name("", &AgentName(admitted.name.clone()), |_| false)?;
        if name.0 != admitted.name {
            let governance = self.governance.clone();
            name = agents.free_name("", &AgentName(admitted.name.clone()), |name| governance.has(name))?;
        }
        let mut variables = admitted.variables;
        for (variable, value) in &enrolment.variables {
            if variables.insert(variable.clone(), value.clone()).is_some_and(|known| known != *value) {
                return Err(RegistryError::Variable(variable.clone()));
            }
        }
        let scratch = match admitted.state {
            State::Sandbox => Some(self.scratch(&name, key, user.uid, undo)?),
            State::Valid | State::Restricted | State::Invalidated => None,
        };
        let signed = admitted.signed;
        let registered = Some(Registered { name: admitted.name, state: admitted.state, signed, scratch });
        let (spec, spec_file) = (admitted.spec, admitted.spec_file);
        Ok((Draft { spec, spec_file, variables, mode: None, user, registered }, name))
    }

    fn scratch(
        &self,
        name: &AgentName,
        key: AgentKey,
        uid: u32,
        undo: &mut Undo,
    ) -> Result<PathBuf, RegistryError> {
        let root = &self.governance.settings().scratch_dir;
        let path = scratch::path(root, name, key);
        scratch::make(root, &path, uid)?;
        let made = path.clone();
        undo.push(move || scratch::remove(&made));
        Ok(path)
    }

    /// Governance reads and writes files.
    pub(super) async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Governance) -> Result<T, GovernanceError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let governance = self.governance.clone();
        let answer = tokio::task::spawn_blocking(move || question(&governance)).await;
        Ok(answer.map_err(|_| RegistryError::Stopping)??)
    }

    fn enrolled(&self, agents: &mut Agents, agent: StoredAgent, tasks: u32, compiled: Compiled) -> Enrolled {
        tracing::info!(AGENT = %agent.name, MODE = %agent.mode, RULES_VERSION = agent.version, rules = agent.rules,
            "agent {} is enrolled ({}), mode {}", agent.name, agent.target, agent.mode);
        let mut warnings = compiled.warnings;
        if agent.mode == Mode::Enforce && self.kernel.backend() == Backend::Tracing {
            warnings.extend(self.kernel.limits());
        }
        let cgroup = agent.target.cgroup().map(|path| path.display().to_string());
        let scratch = agent.registered.as_ref().and_then(|registered| registered.scratch.as_ref());
        let scratch = scratch.map(|path| path.display().to_string());
        let enrolled = Enrolled { agent: self.view(&agent), cgroup, scratch, tasks, warnings };
        agents.running.insert(agent.name.clone(), Running { stored: agent, empty_since: None });
        enrolled
    }

    /// On a thread that may be busy for a while.
    pub(super) async fn compile(
        self: &Arc<Self>,
        draft: &Draft,
        name: &AgentName,
    ) -> Result<Compiled, RegistryError> {
        let (registry, draft, name) = (self.clone(), draft.clone(), name.clone());
        let work = move || {
            let host = host_facts(&*registry.kernel);
            registry.compiler.compile(&draft, Some(&name), &host, &registry.policy.get())
        };
        Ok(tokio::task::spawn_blocking(work).await.map_err(|_| RegistryError::Stopping)??)
    }

    /// Tells the directory before the kernel, so that no event refers to rules that are not known.
    fn install(
        &self,
        key: AgentKey,
        name: &AgentName,
        generation: u32,
        compiled: &Compiled,
        undo: &mut Undo,
    ) -> Result<(), RegistryError> {
        let directory = self.directory.clone();
        undo.push(move || directory.ended(key));
        self.directory.announce(key, name, generation, compiled.rules.clone());
        self.kernel.install(key, &compiled.rules(generation))?;
        let kernel = self.kernel.clone();
        undo.push(move || release(&*kernel, key));
        Ok(())
    }

    pub(super) fn govern(
        &self,
        key: AgentKey,
        target: &Target,
        undo: &mut Undo,
    ) -> Result<u32, RegistryError> {
        match target {
            Target::Pid { pid, .. } => Ok(self.kernel.govern_pid(key, *pid)?),
            Target::Run { cgroup, .. } | Target::Cgroup { cgroup } | Target::Unit { cgroup, .. } => {
                self.kernel.govern_cgroup(key, cgroup)?;
                let (kernel, cgroup) = (self.kernel.clone(), cgroup.clone());
                undo.push(move || {
                    if let Err(error) = kernel.forget_cgroup(&cgroup) {
                        tracing::warn!(%error, "a cgroup of a failed enrolment could not be forgotten");
                    }
                });
                Ok(self.kernel.tasks_of(key).map_or(0, |tasks| count(tasks.len())))
            }
        }
    }

    fn check_back_end(&self, mode: Mode) -> Result<(), RegistryError> {
        let blocks = match self.kernel.backend() {
            Backend::Lsm | Backend::FmodRet => true,
            Backend::Tracing => false,
        };
        if blocks || mode == Mode::Observe || self.degraded == Degraded::Observe {
            return Ok(());
        }
        Err(RegistryError::Degraded(self.kernel.limits().join("; ")))
    }
}

fn release(kernel: &dyn Kernel, key: AgentKey) {
    if let Err(error) = kernel.release(key) {
        tracing::error!(%error, slot = key.slot, "rules of a failed enrolment could not be taken back");
    }
}

fn draft(enrolment: &Enrolment, user: User) -> Draft {
    Draft {
        spec: enrolment.spec.clone(),
        spec_file: enrolment.spec_file.clone(),
        variables: enrolment.variables.clone(),
        mode: enrolment.mode,
        user,
        registered: None,
    }
}

fn record_of(
    draft: &Draft,
    key: AgentKey,
    name: AgentName,
    target: Target,
    compiled: &Compiled,
) -> StoredAgent {
    let agent = &compiled.spec.spec().agent;
    StoredAgent {
        key,
        name,
        state: AgentState::Running,
        mode: compiled.mode,
        role: agent.role,
        tier: agent.tier,
        target,
        uid: draft.user.uid,
        user: draft.user.name.clone(),
        home: draft.user.home.clone(),
        spec_file: draft.spec_file.clone(),
        spec: draft.spec.clone(),
        variables: draft.variables.clone(),
        boot_id: host::boot_id(),
        generation: 1,
        version: compiled.rules.version.clone(),
        rules: count(compiled.rules.rules.len()),
        enrolled_ns: clock::wall_ns(),
        ended_ns: 0,
        registered: draft.registered.clone(),
    }
}

fn started(agent: &StoredAgent, by: &str) -> AuditEntry {
    AuditEntry::new(codes::AGENT_STARTED, by).agent(agent.name.0.clone()).detail(serde_json::json!({
        "registered": agent.registered.as_ref().map(|registered| &registered.name),
        "state": agent.registered.as_ref().map(|registered| registered.state),
        "target": agent.target.to_string(),
        "uid": agent.uid,
        "mode": agent.mode,
        "rules": agent.version,
    }))
}
