//! What Prometheus sees. Counters of events are kept; everything else is asked for when somebody scrapes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use agentguard_api::report::{AgentView, Canary, StoreStatus};
use agentguard_core::record::Record;
use agentguard_governance::admission::Code;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::kernel::{Counters, ProgramStats};
use crate::notify::Outcomes;
use crate::record::kind;

/// Counters that the pipeline adds to.
#[derive(Debug)]
pub struct EventCounters {
    events: Family<EventLabels, Counter>,
    findings: Family<FindingLabels, Counter>,
    hold_stages: Family<StageLabels, Histogram, fn() -> Histogram>,
}

/// From a tenth of a millisecond, doubling to three seconds.
fn hold_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 16))
}

impl Default for EventCounters {
    fn default() -> Self {
        Self {
            events: Family::default(),
            findings: Family::default(),
            hold_stages: Family::new_with_constructor(hold_buckets),
        }
    }
}

/// What policy's answer to a held request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldStage {
    /// From the kernel to agentd.
    Reach,
    /// Facts about the process and what it asks for.
    Facts,
    /// Policy.
    Policy,
    /// Putting the answer into the kernel.
    Answer,
}

impl HoldStage {
    const fn name(self) -> &'static str {
        match self {
            Self::Reach => "reach",
            Self::Facts => "facts",
            Self::Policy => "policy",
            Self::Answer => "answer",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    kind: &'static str,
    verdict: &'static str,
    enforced: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FindingLabels {
    severity: String,
}

/// Everything else, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Registered agents by state.
    pub registered: BTreeMap<&'static str, u64>,
    /// What registered agents spent this month, dollars.
    pub spent_usd: Vec<(String, f64)>,
    /// The audit log.
    pub audit: crate::audit::Standing,
    /// Losses by stage.
    pub lost: BTreeMap<String, u64>,
    /// The kernel programs' counters.
    pub kernel: Counters,
    /// Statistics by program.
    pub programs: Vec<ProgramStats>,
    /// Agents that run.
    pub agents: Vec<AgentView>,
    /// Version of the policy.
    pub policy: String,
    /// The back end.
    pub backend: String,
    /// Proof that the kernel path denies.
    pub canary: Option<Canary>,
    /// The store.
    pub store: Option<StoreStatus>,
    /// Followers of events.
    pub followers: u64,
    /// What became of notifications.
    pub notifications: Vec<Outcomes>,
}

impl EventCounters {
    /// One stage of one held request.
    pub fn hold_stage(&self, stage: HoldStage, time: Duration) {
        self.hold_stages.get_or_create(&StageLabels { stage: stage.name() }).observe(time.as_secs_f64());
    }

    /// One record.
    pub fn count(&self, record: &Record) {
        let labels = EventLabels {
            kind: kind(&record.call),
            verdict: record.decision.verdict.name(),
            enforced: if record.decision.enforced { "true" } else { "false" },
        };
        self.events.get_or_create(&labels).inc();
        for finding in &record.findings {
            let severity = format!("{:?}", finding.severity).to_uppercase();
            self.findings.get_or_create(&FindingLabels { severity }).inc();
        }
    }
}

/// Counters of governance. Their names are without `agentguard_`: dashboards for agent governance know them so.
#[derive(Debug, Default)]
pub struct GovernanceCounters {
    starts_allowed: Counter,
    starts_denied: Family<ReasonLabels, Counter>,
    invalidations: Counter,
    reloads_done: Counter,
    reloads_failed: Counter,
    promotions: Counter,
    promotions_denied: Family<ReasonLabels, Counter>,
    alerts: Family<PercentLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PercentLabels {
    percent: u8,
}

impl GovernanceCounters {
    /// Admission decided.
    pub fn started(&self, code: Code) {
        if code == Code::Allow {
            self.starts_allowed.inc();
        } else {
            self.starts_denied.get_or_create(&ReasonLabels { reason: code.name().to_owned() }).inc();
        }
    }

    /// An agent is invalidated.
    pub fn invalidated(&self) {
        self.invalidations.inc();
    }

    /// Another policy is in force, or was refused.
    pub fn policy_reloaded(&self, done: bool) {
        if done {
            self.reloads_done.inc()
        } else {
            self.reloads_failed.inc()
        };
    }

    /// Somebody asked for a promotion.
    pub fn promotion_attempt(&self) {
        self.promotions.inc();
    }

    /// One thing that stood against it, by the rule that says so.
    pub fn promotion_denied(&self, rule: &str) {
        self.promotions_denied.get_or_create(&ReasonLabels { reason: rule.to_owned() }).inc();
    }

    /// A share of a budget is spent.
    pub fn budget_alert(&self, percent: u8) {
        self.alerts.get_or_create(&PercentLabels { percent }).inc();
    }

    fn register(&self, registry: &mut Registry) {
        let mut add = |name, help, counter: &Counter| registry.register(name, help, counter.clone());
        add("agent_starts_allowed", "Starts of agents that admission allowed", &self.starts_allowed);
        add("agent_invalidation_events", "Agents that were invalidated", &self.invalidations);
        add("policy_reload_success", "Policies that were put into force", &self.reloads_done);
        add("policy_reload_failure", "Policies that were refused", &self.reloads_failed);
        add("promotion_attempts", "Promotions that were asked for", &self.promotions);
        let denied = "Starts of agents that admission denied, by its code";
        registry.register("agent_starts_denied", denied, self.starts_denied.clone());
        let denies = "What stood against promotions, by the rule that says so";
        registry.register("promotion_denies", denies, self.promotions_denied.clone());
        let alerts = "Shares of monthly budgets that were passed";
        registry.register("agent_budget_alerts", alerts, self.alerts.clone());
    }
}

/// The page that Prometheus reads, in the OpenMetrics text format.
pub fn page(
    counters: &Arc<EventCounters>,
    governance: &GovernanceCounters,
    snapshot: Snapshot,
) -> Result<String, fmt::Error> {
    let mut root = Registry::default();
    governance.register(&mut root);
    let registry = root.sub_registry_with_prefix("agentguard");
    registry.register(
        "events",
        "Records by kind, verdict and whether it was enforced",
        counters.events.clone(),
    );
    registry.register("findings", "Findings of policy by severity", counters.findings.clone());
    registry.register(
        "hold_stage_seconds",
        "What policy's answers to held requests took",
        counters.hold_stages.clone(),
    );
    registry.register_collector(Box::new(Asked(snapshot)));
    let mut page = String::new();
    text::encode(&mut page, &root)?;
    Ok(page)
}

#[derive(Debug)]
struct Asked(Snapshot);

impl Collector for Asked {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        self.losses(&mut to)?;
        self.agents(&mut to)?;
        self.governance(&mut to)?;
        self.infos(&mut to)?;
        self.notifications(&mut to)?;
        self.health(&mut to)?;
        self.programs(&mut to)
    }
}

impl Asked {
    fn governance(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let states: Vec<_> =
            self.0.registered.iter().map(|(state, count)| ([("state", *state)], float(*count))).collect();
        gauges(to, "registered_agents", "Registered agents, by state", &states)?;
        let spent: Vec<_> =
            self.0.spent_usd.iter().map(|(agent, usd)| ([("agent", agent.as_str())], *usd)).collect();
        gauges(to, "agent_spent_usd", "What registered agents spent this month, dollars", &spent)?;
        let audit = &self.0.audit;
        let newest = audit.newest.as_ref().map_or(0, |newest| newest.seq);
        gauges(
            to,
            "audit_newest_record",
            "Number of the newest record of the audit log",
            &[([], float(newest))],
        )?;
        let ok = if audit.problem.is_none() { 1.0 } else { 0.0 };
        gauges(to, "audit_ok", "1 while the audit log can be written", &[([], ok)])?;
        counters(to, "audit_lost", "Records of the audit log that could not be written", &[([], audit.lost)])
    }

    fn losses(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let lost: Vec<_> =
            self.0.lost.iter().map(|(stage, count)| ([("stage", stage.as_str())], *count)).collect();
        counters(
            to,
            "events_lost",
            "Events that were not recorded, by the stage that they did not reach",
            &lost,
        )?;
        let kernel = self.0.kernel.named().map(|(counter, count)| ([("counter", counter)], count));
        counters(
            to,
            "kernel",
            "The kernel programs' own counters; they go on over a restart of agentd",
            &kernel,
        )
    }

    fn agents(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut modes = BTreeMap::from([("enforce", 0.0), ("observe", 0.0)]);
        for agent in &self.0.agents {
            if let Some(count) = modes.get_mut(agent.mode.as_str()) {
                *count += 1.0;
            }
        }
        let modes: Vec<_> = modes.into_iter().map(|(mode, count)| ([("mode", mode)], count)).collect();
        gauges(to, "agents", "Agents that run, by mode", &modes)?;
        let by_agent = |value: fn(&AgentView) -> u32| -> Vec<_> {
            self.0
                .agents
                .iter()
                .map(|agent| ([("agent", agent.name.0.as_str())], f64::from(value(agent))))
                .collect()
        };
        gauges(to, "agent_rules", "Rules in force, by agent", &by_agent(|agent| agent.rules))?;
        gauges(to, "agent_processes", "Processes, by agent", &by_agent(|agent| agent.processes))
    }

    fn infos(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let version = env!("CARGO_PKG_VERSION");
        gauges(to, "build", "Version of agentd", &[([("version", version)], 1.0)])?;
        gauges(
            to,
            "policy",
            "Version of the policy in force",
            &[([("version", self.0.policy.as_str())], 1.0)],
        )?;
        gauges(to, "backend", "Enforcement back end", &[([("backend", self.0.backend.as_str())], 1.0)])?;
        gauges(to, "followers", "Readers that follow events", &[([], float(self.0.followers))])
    }

    fn notifications(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let outcomes: Vec<_> = self
            .0
            .notifications
            .iter()
            .flat_map(|of| {
                [("delivered", of.delivered), ("failed", of.failed), ("dropped", of.dropped)]
                    .map(|(outcome, count)| ([("target", of.target.as_str()), ("outcome", outcome)], count))
            })
            .collect();
        counters(to, "notifications", "Notifications of held requests, by target and outcome", &outcomes)
    }

    fn health(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(canary) = &self.0.canary {
            let ok = if canary.ok { 1.0 } else { 0.0 };
            gauges(to, "canary_ok", "1 if what must be denied was denied at the last try", &[([], ok)])?;
            let age = float(canary.age_ms) / 1000.0;
            gauges(to, "canary_age_seconds", "Time since the last try", &[([], age)])?;
        }
        if let Some(store) = &self.0.store {
            gauges(to, "store_records", "Records in the store", &[([], float(store.records))])?;
            gauges(to, "store_bytes", "Size of the store on disk", &[([], float(store.bytes))])?;
        }
        Ok(())
    }

    fn programs(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let by_program = |value: fn(&ProgramStats) -> u64| -> Vec<_> {
            self.0
                .programs
                .iter()
                .map(|program| ([("program", program.name.as_str())], value(program)))
                .collect()
        };
        counters(
            to,
            "program_runs",
            "Runs of kernel programs while statistics were on",
            &by_program(|of| of.runs),
        )?;
        counters(
            to,
            "program_nanoseconds",
            "Time in kernel programs while statistics were on",
            &by_program(|of| of.ns),
        )?;
        let misses = by_program(|of| of.recursion_misses);
        counters(to, "program_recursion_misses", "Runs of kernel programs that the kernel skipped", &misses)
    }
}

fn counters<const N: usize>(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: &[([(&str, &str); N], u64)],
) -> fmt::Result {
    let mut metric = to.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        match labels.as_slice() {
            [] => metric.encode_counter::<NoLabelSet, _, u64>(value, None)?,
            _ => metric.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(value, None)?,
        }
    }
    Ok(())
}

fn gauges<const N: usize>(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: &[([(&str, &str); N], f64)],
) -> fmt::Result {
    let mut metric = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        match labels.as_slice() {
            [] => metric.encode_gauge(value)?,
            _ => metric.encode_family(labels)?.encode_gauge(value)?,
        }
    }
    Ok(())
}

/// Prometheus counts in floating point; exact up to 2^53.
#[allow(clippy::cast_precision_loss)]
fn float(value: u64) -> f64 {
    value as f64
}
