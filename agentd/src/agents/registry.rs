//! The agents of this host: puts processes under a spec, all or nothing, and keeps kernel, store and directory at one.
//!
//! Everything that changes agents goes through one lock, so that a reload and an enrolment never meet half-way. Reading
//! needs no lock: it asks store and kernel.

mod enroll;
mod governed;
mod policy;
mod restore;
mod sweep;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use agentguard_api::report::{AgentState, AgentView, UNREGISTERED};
use agentguard_audit::{Entry as AuditEntry, codes};
use agentguard_bpf::types::limits;
use agentguard_core::ids::{AgentKey, AgentName};
use agentguard_core::rule::Rule;
use rusqlite::Connection;
use tokio::sync::Mutex;

use super::cgroup;
use super::compile::{CompileError, Compiler, Draft};
use super::directory::Directory;
use super::place::PlaceError;
use super::scratch::ScratchError;
use super::{Target, host, scratch, user::User};
use crate::clock;
use crate::config::Degraded;
use crate::export::Tally;
use crate::governance::{Governance, GovernanceError};
use crate::kernel::{Kernel, KernelError};
use crate::policy::{InUse, PolicyFailure};
use crate::record::agents::{self as stored, StoredAgent};
use crate::record::{Store, StoreError};

pub use super::place::Wanted;
pub use enroll::Enrolment;
pub use policy::{Progress, unheard};
pub use sweep::SWEEP_EVERY;

/// Places in the kernel's table of agents; the first is for the canary.
const SLOTS: Range<u32> = 1..limits::MAX_AGENTS.0;

/// Ended agents that are listed.
const LISTED_ENDED: u32 = 50;

/// The agents of this host.
pub struct Registry {
    kernel: Arc<dyn Kernel>,
    store: Store,
    directory: Arc<Directory>,
    policy: Arc<InUse>,
    tally: Arc<Tally>,
    governance: Arc<Governance>,
    compiler: Compiler,
    degraded: Degraded,
    agents: Mutex<Agents>,
    /// How many [`Agents::strangers`] there are.
    strangers: AtomicUsize,
}

/// What does not change while agentd runs.
pub struct Settings {
    /// What becomes of specs that this kernel can not enforce.
    pub degraded: Degraded,
    /// Rules beside those of policy.
    pub guardrails: Vec<Rule>,
}

/// What the lock guards.
struct Agents {
    connection: Connection,
    running: HashMap<AgentName, Running>,
    /// Agents that only the kernel knows: the store was lost, or agentd ended between the two. They keep their rules, and
    /// their places, as long as they have tasks.
    strangers: Vec<AgentKey>,
}

#[derive(Debug, Clone)]
struct Running {
    stored: StoredAgent,
    /// Since when no process of it was seen.
    empty_since: Option<Instant>,
}

/// Why nothing was changed. Each is one line, or one per mistake.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Wrong spec or policy.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// No place.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The kernel refused.
    #[error("kernel: {0}")]
    Kernel(#[from] KernelError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The policy.
    #[error(transparent)]
    Policy(#[from] PolicyFailure),
    /// The name is taken.
    #[error("there is an agent {0} already; choose another name, or release it: agentctl release {0}")]
    Taken(AgentName),
    /// Not a name.
    #[error(
        "`{0}` is no name for an agent; write 1 to 63 letters, digits, `-`, `_` or `.`, the first no sign"
    )]
    Name(String),
    /// Nobody of that name.
    #[error("there is no agent {0}; `agentctl agents` lists them")]
    Unknown(AgentName),
    /// Another agent's.
    #[error("{0} is governed as agent {1}; release that first: agentctl release {1}")]
    Governed(String, AgentName),
    /// The table is full.
    #[error("{} agents run already, which is the most that the kernel's tables hold", SLOTS.len())]
    Full,
    /// The back end can not block and the configuration says that this is not enough.
    #[error(
        "this kernel can not enforce the spec ({0}); use mode \"observe\", or set degraded = \"observe\" in agentd.toml"
    )]
    Degraded(String),
    /// Governance says no.
    #[error(transparent)]
    Governance(#[from] GovernanceError),
    /// No scratch directory.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// A registered agent's variable that a start can not give.
    #[error("variable `{0}` was registered with the agent; leave it out")]
    Variable(String),
    /// It was interrupted.
    #[error("agentd is stopping")]
    Stopping,
}

impl Registry {
    /// Without agents; [`Registry::restore`] brings back those of the store.
    pub fn new(
        kernel: Arc<dyn Kernel>,
        store: Store,
        directory: Arc<Directory>,
        policy: Arc<InUse>,
        tally: Arc<Tally>,
        governance: Arc<Governance>,
        settings: Settings,
    ) -> Result<Self, StoreError> {
        let connection = store.writer()?;
        let agents = Mutex::new(Agents { connection, running: HashMap::new(), strangers: Vec::new() });
        let Settings { degraded, guardrails } = settings;
        let compiler = Compiler::beside(guardrails);
        let strangers = AtomicUsize::new(0);
        Ok(Self {
            kernel,
            store,
            directory,
            policy,
            tally,
            governance,
            compiler,
            degraded,
            agents,
            strangers,
        })
    }

    /// The policy in use.
    pub fn policy(&self) -> &InUse {
        &self.policy
    }

    /// Governance of this host.
    pub fn governance(&self) -> &Arc<Governance> {
        &self.governance
    }

    /// Agents that run, then the last that ended.
    pub fn list(&self) -> Result<Vec<AgentView>, RegistryError> {
        let agents = stored::list(&self.store.reader()?, LISTED_ENDED)?;
        Ok(agents.iter().map(|agent| self.view(agent)).collect())
    }

    /// Agents that run, as they are stored.
    pub fn running(&self) -> Result<Vec<StoredAgent>, RegistryError> {
        Ok(stored::list(&self.store.reader()?, 0)?)
    }

    /// How many agents only the kernel knows.
    pub fn strangers(&self) -> usize {
        self.strangers.load(Ordering::Relaxed)
    }

    /// Frees an agent's processes.
    pub async fn release(&self, name: &AgentName) -> Result<u32, RegistryError> {
        let mut agents = self.agents.lock().await;
        let running =
            agents.running.get(name).cloned().ok_or_else(|| RegistryError::Unknown(name.clone()))?;
        let processes = self.kernel.tasks_of(running.stored.key).map_or(0, |tasks| tasks.len());
        self.end(&mut agents, running.stored, AgentState::Released)?;
        Ok(u32::try_from(processes).unwrap_or(u32::MAX))
    }

    /// Ends an agent everywhere. The kernel first: if that fails the agent is as it was.
    fn end(
        &self,
        agents: &mut Agents,
        mut stored: StoredAgent,
        state: AgentState,
    ) -> Result<(), RegistryError> {
        if let Some(cgroup) = stored.target.cgroup() {
            // A cgroup that is gone needs no forgetting.
            if let Err(error) = self.kernel.forget_cgroup(cgroup) {
                tracing::debug!(%error, "a cgroup could not be forgotten");
            }
        }
        match self.kernel.release(stored.key) {
            // After a reboot or an unload the kernel has never heard of it.
            Ok(()) | Err(KernelError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
        self.directory.ended(stored.key);
        if let Target::Run { cgroup, scope: None, .. } = &stored.target {
            cgroup::remove(cgroup);
        }
        if let Some(scratch) = stored.registered.as_ref().and_then(|registered| registered.scratch.as_ref()) {
            scratch::remove(scratch);
        }
        stored.state = state;
        stored.ended_ns = clock::wall_ns();
        agents.running.remove(&stored.name);
        let word = match state {
            AgentState::Running => "running",
            AgentState::Finished => "finished",
            AgentState::Released => "released",
            AgentState::Stopped => "stopped",
        };
        tracing::info!(AGENT = %stored.name, STATE = word, "agent {} is {word}", stored.name);
        let ended = AuditEntry::new(codes::AGENT_ENDED, "agentd").agent(stored.name.0.clone());
        self.governance.audit().note(ended.detail(serde_json::json!({"how": word})));
        Ok(stored::put(&agents.connection, &stored)?)
    }

    fn view(&self, agent: &StoredAgent) -> AgentView {
        let runs = agent.state == AgentState::Running;
        let processes = if runs { self.kernel.tasks_of(agent.key).map_or(0, |tasks| tasks.len()) } else { 0 };
        let tally = self.tally.of(&agent.name);
        AgentView {
            name: agent.name.clone(),
            state: agent.state,
            mode: agent.mode.name().to_owned(),
            role: agent.role.name().to_owned(),
            tier: agent.tier,
            target: agent.target.to_string(),
            key: agent.key,
            processes: u32::try_from(processes).unwrap_or(u32::MAX),
            uid: agent.uid,
            spec_file: agent.spec_file.clone(),
            version: agent.version.clone(),
            rules: agent.rules,
            enrolled_ns: agent.enrolled_ns,
            ended_ns: agent.ended_ns,
            records: tally.records,
            denied: tally.denied,
            registered: agent.registered.as_ref().map(|registered| AgentName(registered.name.clone())),
            governance: agent
                .registered
                .as_ref()
                .map_or(UNREGISTERED, |registered| registered.state.name())
                .to_owned(),
        }
    }
}

impl Agents {
    /// The agent that governs this cgroup: two in one would each be right about half of its tasks.
    fn who_governs(&self, target: &Target) -> Option<&AgentName> {
        let cgroup = target.cgroup()?;
        let mut running = self.running.values().map(|running| &running.stored);
        running.find(|other| other.target.cgroup() == Some(cgroup)).map(|other| &other.name)
    }

    fn free_slot(&self) -> Option<u32> {
        let taken = |slot: u32| {
            self.running.values().any(|running| running.stored.key.slot == slot)
                || self.strangers.iter().any(|stranger| stranger.slot == slot)
        };
        SLOTS.into_iter().find(|slot| !taken(*slot))
    }

    /// The wanted name, or the spec's made unique by a number.
    fn free_name(
        &self,
        wanted: &str,
        spec: &AgentName,
        is_taken: impl Fn(&str) -> bool,
    ) -> Result<AgentName, RegistryError> {
        if !wanted.is_empty() {
            let name = valid_name(wanted)?;
            return if self.running.contains_key(&name) { Err(RegistryError::Taken(name)) } else { Ok(name) };
        }
        let numbered = (2..).map(|number: u32| AgentName(format!("{spec}-{number}")));
        let mut names = std::iter::once(spec.clone()).chain(numbered);
        let is_free = |name: &AgentName| !self.running.contains_key(name) && !is_taken(&name.0);
        names.find(is_free).ok_or(RegistryError::Full)
    }

    fn take_key(&self) -> Result<AgentKey, RegistryError> {
        let slot = self.free_slot().ok_or(RegistryError::Full)?;
        Ok(AgentKey { slot, serial: stored::take_serial(&self.connection)? })
    }
}

/// Names become names of scopes and cgroups, so they hold nothing that means anything there.
fn valid_name(name: &str) -> Result<AgentName, RegistryError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if first && name.len() <= 63 && name.bytes().all(plain) {
        Ok(AgentName(name.to_owned()))
    } else {
        Err(RegistryError::Name(name.to_owned()))
    }
}

/// The draft that a stored agent was made of.
fn draft_of(agent: &StoredAgent) -> Draft {
    Draft {
        spec: agent.spec.clone(),
        spec_file: agent.spec_file.clone(),
        variables: agent.variables.clone(),
        mode: Some(agent.mode),
        user: User { uid: agent.uid, name: agent.user.clone(), home: agent.home.clone() },
        registered: agent.registered.clone(),
    }
}

fn count(rules: usize) -> u32 {
    u32::try_from(rules).unwrap_or(u32::MAX)
}

/// Facts about this host now.
fn host_facts(kernel: &dyn Kernel) -> agentguard_policy::HostFacts {
    host::facts(kernel.backend())
}

#[cfg(test)]
mod governed_tests;
#[cfg(test)]
mod tests;
