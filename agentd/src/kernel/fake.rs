//! A kernel in memory: keeps what it is told, hands out what a test puts in, and fails on request. For tests only.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use agentguard_core::ids::AgentKey;
use agentguard_core::spec::Mode;
use agentguard_core::tables::Tables;

use super::{
    AgentRules, Backend, Counters, Held, HeldRequest, Inspection, Kernel, KernelError, MadeOf, PeerBytes,
    ProgramStats, StandingAnswer, Table,
};

/// What a test sees and sets.
#[derive(Default)]
pub struct State {
    /// Records that wait.
    pub ring: VecDeque<Vec<u8>>,
    /// Mode and generation of what is installed.
    pub installed: HashMap<AgentKey, (Mode, u32)>,
    /// What that was made of.
    pub made_of: HashMap<AgentKey, MadeOf>,
    /// Its rules.
    pub tables: HashMap<AgentKey, Tables>,
    /// Governed cgroups.
    pub cgroups: HashMap<PathBuf, AgentKey>,
    /// Labels.
    pub labels: HashMap<u32, AgentKey>,
    /// Labels of an agentd with another layout.
    pub left: HashMap<u32, AgentKey>,
    /// The n-th call from now of this name fails.
    pub fail: HashMap<&'static str, u32>,
    /// Sums that wait.
    pub peers: Vec<PeerBytes>,
    /// Requests that wait.
    pub held: Vec<Held>,
    /// Answers to those that waited.
    pub answers: HashMap<u64, bool>,
    /// Standing answers.
    pub standing: HashMap<HeldRequest, StandingAnswer>,
    /// What the canary answers.
    pub canary_goes_through: bool,
    /// Only observes.
    pub is_tracing: bool,
}

/// See the module.
#[derive(Default)]
pub struct Fake(Mutex<State>);

impl Fake {
    /// The state, to look at or to change.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn attempt(&self, call: &'static str) -> Result<MutexGuard<'_, State>, KernelError> {
        let mut state = self.state();
        if let Some(left) = state.fail.get_mut(call) {
            *left -= 1;
            if *left == 0 {
                state.fail.remove(call);
                return Err(KernelError::Full(format!("{call} failed on request")));
            }
        }
        Ok(state)
    }
}

impl Kernel for Fake {
    fn backend(&self) -> Backend {
        if self.state().is_tracing { Backend::Tracing } else { Backend::Lsm }
    }

    fn limits(&self) -> Vec<String> {
        if self.state().is_tracing { vec!["files are not blocked".to_owned()] } else { Vec::new() }
    }

    fn install(&self, agent: AgentKey, rules: &AgentRules<'_>) -> Result<(), KernelError> {
        let mut state = self.attempt("install")?;
        state.installed.insert(agent, (rules.mode, rules.generation));
        state.made_of.insert(agent, rules.made_of);
        state.tables.insert(agent, rules.tables.clone());
        Ok(())
    }

    fn inspect(&self, agent: AgentKey, rules: &AgentRules<'_>) -> Result<Inspection, KernelError> {
        let state = self.attempt("inspect")?;
        let made_of = state.made_of.get(&agent).copied();
        let made_of = made_of.ok_or_else(|| KernelError::Missing(format!("agent {}", agent.slot)))?;
        let same = state.tables.get(&agent) == Some(rules.tables) && made_of == rules.made_of;
        let differences = if same { Vec::new() } else { vec!["the rules".to_owned()] };
        Ok(Inspection { made_of, differences })
    }

    fn agents(&self) -> Result<Vec<AgentKey>, KernelError> {
        Ok(self.attempt("agents")?.installed.keys().copied().collect())
    }

    fn set_mode(&self, agent: AgentKey, mode: Mode) -> Result<(), KernelError> {
        let mut state = self.attempt("set_mode")?;
        let installed = state.installed.get_mut(&agent);
        installed.ok_or_else(|| KernelError::Missing(format!("agent {}", agent.slot)))?.0 = mode;
        Ok(())
    }

    fn govern_cgroup(&self, agent: AgentKey, path: &Path) -> Result<(), KernelError> {
        self.attempt("govern_cgroup")?.cgroups.insert(path.to_owned(), agent);
        Ok(())
    }

    fn govern_pid(&self, agent: AgentKey, pid: u32) -> Result<u32, KernelError> {
        self.attempt("govern_pid")?.labels.insert(pid, agent);
        Ok(1)
    }

    fn forget_cgroup(&self, path: &Path) -> Result<(), KernelError> {
        self.attempt("forget_cgroup")?.cgroups.remove(path);
        Ok(())
    }

    fn release(&self, agent: AgentKey) -> Result<(), KernelError> {
        let mut state = self.attempt("release")?;
        if state.installed.remove(&agent).is_none() {
            return Err(KernelError::Missing(format!("agent slot {} is not in the kernel", agent.slot)));
        }
        state.labels.retain(|_, label| *label != agent);
        Ok(())
    }

    fn take_over(&self, agents: &[AgentKey]) -> Result<Vec<u32>, KernelError> {
        let mut state = self.attempt("take_over")?;
        let left = std::mem::take(&mut state.left);
        for (pid, agent) in left.iter().filter(|(_, agent)| agents.contains(agent)) {
            state.labels.insert(*pid, *agent);
        }
        Ok(left.into_keys().collect())
    }

    fn label_of(&self, pid: u32) -> Result<Option<AgentKey>, KernelError> {
        Ok(self.attempt("label_of")?.labels.get(&pid).copied())
    }

    fn tasks_of(&self, agent: AgentKey) -> Result<Vec<u32>, KernelError> {
        let state = self.attempt("tasks_of")?;
        let labelled =
            state.labels.iter().chain(&state.left).filter(|(_, label)| **label == agent).map(|(pid, _)| *pid);
        Ok(labelled.filter(|pid| crate::agents::user::is_alive(*pid)).collect())
    }

    fn take_peers(&self) -> Result<Vec<PeerBytes>, KernelError> {
        Ok(std::mem::take(&mut self.attempt("take_peers")?.peers))
    }

    fn report_files(&self) -> Result<(), KernelError> {
        self.attempt("report_files").map(drop)
    }

    fn counters(&self) -> Result<Counters, KernelError> {
        Ok(Counters { emitted: 7, ..Counters::default() })
    }

    fn programs(&self) -> Result<Vec<ProgramStats>, KernelError> {
        Ok(vec![ProgramStats { name: "file_open".to_owned(), runs: 3, ns: 900, recursion_misses: 1 }])
    }

    fn tables(&self) -> Vec<Table> {
        Vec::new()
    }

    fn canary(&self) -> Result<bool, KernelError> {
        Ok(!self.attempt("canary")?.canary_goes_through)
    }

    fn rest(&self, timeout: Duration) -> Result<(), KernelError> {
        std::thread::sleep(timeout);
        Ok(())
    }

    fn held(&self) -> Result<Vec<Held>, KernelError> {
        Ok(self.attempt("held")?.held.clone())
    }

    fn held_request(&self, id: u64) -> Result<Option<Held>, KernelError> {
        Ok(self.attempt("held_request")?.held.iter().find(|held| held.id == id).cloned())
    }

    fn answer(&self, id: u64, allow: bool) -> Result<bool, KernelError> {
        let mut state = self.attempt("answer")?;
        let waits = state.held.iter().any(|held| held.id == id);
        state.held.retain(|held| held.id != id);
        if waits {
            state.answers.insert(id, allow);
        }
        Ok(waits)
    }

    fn stand(&self, request: &HeldRequest, answer: StandingAnswer) -> Result<(), KernelError> {
        self.attempt("stand")?.standing.insert(*request, answer);
        Ok(())
    }

    fn standing(&self) -> Result<Vec<(HeldRequest, StandingAnswer)>, KernelError> {
        Ok(self.attempt("standing")?.standing.iter().map(|(request, answer)| (*request, *answer)).collect())
    }

    fn revoke(&self, request: &HeldRequest) -> Result<(), KernelError> {
        self.attempt("revoke")?.standing.remove(request);
        Ok(())
    }

    fn next_events(&self, timeout: Duration, sink: &mut dyn FnMut(&[u8])) -> Result<(), KernelError> {
        let waiting = std::mem::take(&mut self.attempt("next_events")?.ring);
        if waiting.is_empty() {
            std::thread::sleep(timeout.min(Duration::from_millis(5)));
        }
        waiting.iter().for_each(|record| sink(record));
        Ok(())
    }
}
