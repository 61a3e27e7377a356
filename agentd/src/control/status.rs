//! How agentd is.

use agentguard_api::report::{AgentState, Canary, Status};

use super::{Daemon, refusal, store_failed};
use crate::agents::host;
use crate::health::FRESH;
use crate::kernel::Counters;

/// Everything that `agentctl status` shows.
pub(super) fn status(daemon: &Daemon) -> Result<Status, tonic::Status> {
    let canary = daemon.health.canary(FRESH);
    let counters = daemon.kernel.counters().unwrap_or_default();
    let agents = daemon.registry.running().map_err(refusal)?;
    let lost = daemon.counts.lost().into_iter().map(|(stage, count)| (stage.to_owned(), count)).collect();
    let store = daemon.store.status().map_err(store_failed)?;
    let mut problems = problems(&canary, &counters, store.set_aside.as_deref());
    if let Some(problem) = daemon.registry.governance().audit().standing().problem {
        problems
            .push(format!("the audit log can not be written, so nothing is started or promoted: {problem}"));
    }
    match daemon.registry.strangers() {
        0 => {}
        count => problems.push(format!(
            "{count} agents are in the kernel and not in the store; they stay governed until their processes end"
        )),
    }
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_sec: daemon.started.elapsed().as_secs(),
        kernel: host::kernel_release(),
        backend: backend(daemon),
        limits: daemon.kernel.limits(),
        problems,
        policy: daemon.registry.policy().version(),
        agents: agents
            .iter()
            .filter(|agent| agent.state == AgentState::Running)
            .count()
            .try_into()
            .unwrap_or(u32::MAX),
        kernel_counters: counters.named().into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
        lost,
        canary,
        store,
    })
}

/// As configuration and documents spell it.
pub(crate) fn backend(daemon: &Daemon) -> String {
    serde_json::to_value(daemon.kernel.backend())
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn problems(canary: &Canary, counters: &Counters, set_aside: Option<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    problems.extend(canary.problem.clone());
    if counters.no_memory > 0 {
        problems.push(format!("kernel tables were full {} times; each was a denial", counters.no_memory));
    }
    problems.extend(
        set_aside.map(|path| format!("the store was damaged and put aside as {path}; a new one was begun")),
    );
    problems
}
