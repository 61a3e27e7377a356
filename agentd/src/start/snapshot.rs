//! What Prometheus is told, asked for when somebody scrapes.

use std::collections::BTreeMap;

use agentguard_governance::state::State;

use crate::clock;
use crate::control::{self, Daemon};
use crate::export::metrics::Snapshot;

/// Where events can be lost.
const STAGES: [&str; 10] =
    ["ring", "decode", "kernel_calls", "findings", "enrich", "decide", "act", "record", "export", "store"];

/// Takes it whenever it is called.
pub(super) fn of(daemon: Daemon, config_sha256: String) -> impl Fn() -> Snapshot {
    let started_sec = seconds(clock::wall_ns()) - daemon.started.elapsed().as_secs_f64();
    move || Snapshot { config_sha256: config_sha256.clone(), started_sec, ..snapshot(&daemon) }
}

fn snapshot(daemon: &Daemon) -> Snapshot {
    // Each is there from the start: Prometheus sees no increase in a series that is new.
    let mut lost: BTreeMap<String, u64> = STAGES.into_iter().map(|stage| (stage.to_owned(), 0)).collect();
    lost.extend(daemon.counts.lost().into_iter().map(|(stage, count)| (stage.to_owned(), count)));
    let kernel = daemon.kernel.counters().unwrap_or_default();
    lost.insert("ring".to_owned(), kernel.lost);
    let agents = daemon.registry.list().unwrap_or_default();
    let policy = daemon.registry.policy();
    let (waiting, since_ns) = daemon.holds.waiting();
    Snapshot {
        lost,
        queues: daemon.counts.queues(),
        tables: daemon.kernel.tables(),
        lines_left_out: daemon.holds.lines().left_out(),
        approvals_waiting: u64::try_from(waiting).unwrap_or(u64::MAX),
        approvals_oldest_sec: since_ns.map_or(0.0, |since| seconds(clock::boot_ns().saturating_sub(since))),
        kernel,
        programs: daemon.kernel.programs().unwrap_or_default(),
        agents: agents.into_iter().filter(|agent| agent.ended_ns == 0).collect(),
        policy: policy.version().version,
        policy_sha256: policy.get().version().hash().to_owned(),
        backend: control::backend(daemon),
        canary: daemon.health.last(),
        store: daemon.store.status().ok(),
        registered: registered(daemon),
        spent_usd: spent(daemon),
        audit: daemon.registry.governance().audit().standing(),
        followers: u64::try_from(daemon.followers.count()).unwrap_or(u64::MAX),
        notifications: daemon.notifier.outcomes(),
        ..Snapshot::default()
    }
}

#[allow(clippy::cast_precision_loss)] // a metric is no clock
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn registered(daemon: &Daemon) -> BTreeMap<&'static str, u64> {
    let mut states = State::ALL.map(|state| (state.name(), 0)).into_iter().collect::<BTreeMap<_, _>>();
    for state in daemon.registry.governance().states() {
        *states.entry(state.name()).or_default() += 1;
    }
    states
}

fn spent(daemon: &Daemon) -> Vec<(String, f64)> {
    let report = daemon.registry.governance().budget_report("", "");
    let spent = report.map(|report| report.agents).unwrap_or_default();
    spent
        .into_iter()
        .filter(|agent| agent.spent_usd > 0.0)
        .map(|agent| (agent.agent.0, agent.spent_usd))
        .collect()
}
