//! What Prometheus sees. Counters of events are kept; everything else is asked for when somebody scrapes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use agentguard_api::report::{AgentView, Canary, StoreStatus};
use agentguard_core::record::Record;
use agentguard_core::verdict::{Severity, Verdict};
use agentguard_governance::admission::Code;
use agentguard_governance::budget;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeLabelSet, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::kernel::{Counters, ProgramStats, Table};
use crate::notify::Outcomes;
use crate::pipeline::Queue;
use crate::record::kind;

const NS_PER_SEC: f64 = 1e9;

/// Counters that the pipeline adds to.
#[derive(Debug)]
pub struct EventCounters {
    events: Family<EventLabels, Counter>,
    findings: Family<FindingLabels, Counter>,
    hold_stages: Family<StageLabels, Histogram, fn() -> Histogram>,
    holds: Family<HoldLabels, Histogram, fn() -> Histogram>,
    decisions: Family<QuestionLabels, Histogram, fn() -> Histogram>,
    lag: Histogram,
}

/// From a tenth of a millisecond, doubling to three seconds.
fn short_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 16))
}

/// From a millisecond, each four times the one before, to 70 minutes: policy answers in the first, people in the last.
fn hold_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 4.0, 12))
}

/// From five milliseconds, doubling to 80 seconds. Records wait up to a fifth of a second for company.
fn lag_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 15))
}

impl Default for EventCounters {
    /// What alerts count is there from the start: Prometheus sees no increase in a series that is new.
    fn default() -> Self {
        let counters = Self {
            events: Family::default(),
            findings: Family::default(),
            hold_stages: Family::new_with_constructor(short_buckets),
            holds: Family::new_with_constructor(hold_buckets),
            decisions: Family::new_with_constructor(short_buckets),
            lag: lag_buckets(),
        };
        for call in ["open", "connect", "exec"] {
            let kind = kind(call);
            let verdict = Verdict::Deny.name();
            drop(counters.events.get_or_create(&EventLabels { kind, verdict, enforced: "true" }));
        }
        for severity in [Severity::Medium, Severity::High, Severity::Critical].map(Severity::name) {
            drop(counters.findings.get_or_create(&FindingLabels { severity }));
        }
        for outcome in HoldOutcome::ALL.map(HoldOutcome::name) {
            drop(counters.holds.get_or_create(&HoldLabels { outcome }));
        }
        counters
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

/// What became of a held request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldOutcome {
    /// Policy let it go on.
    PolicyAllowed,
    /// Policy denied it.
    PolicyDenied,
    /// A person let it go on.
    Approved,
    /// A person denied it.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// Who asked is gone.
    Withdrawn,
}

impl HoldOutcome {
    /// Every outcome.
    pub const ALL: [Self; 6] = [
        Self::PolicyAllowed,
        Self::PolicyDenied,
        Self::Approved,
        Self::Denied,
        Self::Expired,
        Self::Withdrawn,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::PolicyAllowed => "policy_allowed",
            Self::PolicyDenied => "policy_denied",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// What policy is asked about while agents wait or work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// May a held request go on?
    Hold,
    /// Is a request worth a second look?
    Finding,
}

impl Question {
    const fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Finding => "finding",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HoldLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuestionLabels {
    question: &'static str,
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
    severity: &'static str,
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
    /// The pipeline's channels.
    pub queues: Vec<Queue>,
    /// Tables of the kernel programs that can fill up.
    pub tables: Vec<Table>,
    /// Log lines that were left out.
    pub lines_left_out: u64,
    /// Requests that wait for people.
    pub approvals_waiting: u64,
    /// How long the first of them has, seconds.
    pub approvals_oldest_sec: f64,
    /// When agentd started, seconds since 1970.
    pub started_sec: f64,
    /// The kernel programs' counters.
    pub kernel: Counters,
    /// Statistics by program.
    pub programs: Vec<ProgramStats>,
    /// Agents that run.
    pub agents: Vec<AgentView>,
    /// Version of the policy.
    pub policy: String,
    /// Its whole hash.
    pub policy_sha256: String,
    /// Of the configuration in effect.
    pub config_sha256: String,
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

    /// A held request waits no more.
    pub fn held(&self, outcome: HoldOutcome, time: Duration) {
        self.holds.get_or_create(&HoldLabels { outcome: outcome.name() }).observe(time.as_secs_f64());
    }

    /// Policy was asked.
    pub fn decision(&self, question: Question, time: Duration) {
        let labels = QuestionLabels { question: question.name() };
        self.decisions.get_or_create(&labels).observe(time.as_secs_f64());
    }

    /// A record went through the pipeline, so long after the kernel made it.
    pub fn recorded(&self, lag: Duration) {
        self.lag.observe(lag.as_secs_f64());
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
            let severity = finding.severity.name();
            self.findings.get_or_create(&FindingLabels { severity }).inc();
        }
    }
}

/// Counters of governance. Their names are without `agentguard_`: dashboards for agent governance know them so.
#[derive(Debug)]
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

impl Default for GovernanceCounters {
    /// What alerts count is there from the start, as above.
    fn default() -> Self {
        let counters = Self {
            starts_allowed: Counter::default(),
            starts_denied: Family::default(),
            invalidations: Counter::default(),
            reloads_done: Counter::default(),
            reloads_failed: Counter::default(),
            promotions: Counter::default(),
            promotions_denied: Family::default(),
            alerts: Family::default(),
        };
        for code in Code::ALL.into_iter().filter(|code| *code != Code::Allow) {
            let reason = code.name().to_owned();
            drop(counters.starts_denied.get_or_create(&ReasonLabels { reason }));
        }
        for percent in budget::ALERTS {
            drop(counters.alerts.get_or_create(&PercentLabels { percent }));
        }
        counters
    }
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
    let held = "From the begin of a hold to its answer, by what became of it";
    registry.register("hold_seconds", held, counters.holds.clone());
    let decided = "What policy's answers took, by what it was asked about";
    registry.register("decision_seconds", decided, counters.decisions.clone());
    let lag = "From the kernel's time of a record until it is written down";
    registry.register("record_lag_seconds", lag, counters.lag.clone());
    registry.register_collector(Box::new(Asked(snapshot)));
    let mut page = String::new();
    text::encode(&mut page, &root)?;
    Ok(page)
}

/// The same page in the older text format, where a counter is called `_total` also where it is described.
pub fn plain(page: &str) -> String {
    let of_counters: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut plain = String::with_capacity(page.len());
    for line in page.lines().filter(|line| *line != "# EOF") {
        let described =
            ["# HELP ", "# TYPE "].iter().find_map(|what| Some((*what, line.strip_prefix(what)?)));
        match described.and_then(|(what, rest)| rest.split_once(' ').map(|(name, rest)| (what, name, rest))) {
            Some((what, name, rest)) if of_counters.contains(name) => {
                plain.push_str(&format!("{what}{name}_total {rest}\n"));
            }
            _ => plain.push_str(&format!("{line}\n")),
        }
    }
    plain
}

#[derive(Debug)]
struct Asked(Snapshot);

impl Collector for Asked {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        self.losses(&mut to)?;
        self.fill(&mut to)?;
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

    fn fill(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let of_queues = |value: fn(&Queue) -> usize| -> Vec<_> {
            let queues = self.0.queues.iter();
            queues.map(|queue| ([("stage", queue.stage)], float(value(queue) as u64))).collect()
        };
        let waiting = of_queues(|queue| queue.batches);
        gauges(to, "queue_batches", "Batches of records that wait for a stage", &waiting)?;
        let capacity = of_queues(|queue| queue.capacity);
        gauges(to, "queue_capacity_batches", "Batches of records that may wait for a stage", &capacity)?;
        let of_tables = |value: fn(&Table) -> u64| -> Vec<_> {
            self.0.tables.iter().map(|table| ([("table", table.name)], float(value(table)))).collect()
        };
        let entries = of_tables(|table| table.entries);
        gauges(to, "table_entries", "Entries of tables of the kernel programs", &entries)?;
        let capacity = of_tables(|table| table.capacity);
        gauges(to, "table_capacity", "Entries that these tables have room for", &capacity)?;
        let left_out = [([], self.0.lines_left_out)];
        counters(to, "log_lines_left_out", "Log lines about requests that were left out", &left_out)
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
            &[([("version", self.0.policy.as_str()), ("sha256", self.0.policy_sha256.as_str())], 1.0)],
        )?;
        let config = [([("sha256", self.0.config_sha256.as_str())], 1.0)];
        gauges(to, "config", "Hash of the configuration in effect", &config)?;
        let started = [([], self.0.started_sec)];
        gauges(to, "start_time_seconds", "When agentd started, seconds since 1970", &started)?;
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
        counters(to, "notifications", "Notifications of held requests, by target and outcome", &outcomes)?;
        let queued: Vec<_> = self
            .0
            .notifications
            .iter()
            .map(|of| ([("target", of.target.as_str())], float(of.waiting)))
            .collect();
        gauges(to, "notifications_waiting", "Notifications that were not tried yet, by target", &queued)?;
        let waiting = [([], float(self.0.approvals_waiting))];
        gauges(to, "approvals_waiting", "Held requests that wait for people", &waiting)?;
        let oldest = [([], self.0.approvals_oldest_sec)];
        gauges(to, "approvals_oldest_seconds", "How long the first of them has waited", &oldest)
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
        let seconds: Vec<_> = self
            .0
            .programs
            .iter()
            .map(|program| ([("program", program.name.as_str())], float(program.ns) / NS_PER_SEC))
            .collect();
        counters(
            to,
            "program_runs",
            "Runs of kernel programs while statistics were on",
            &by_program(|of| of.runs),
        )?;
        counters(to, "program_seconds", "Time in kernel programs while statistics were on", &seconds)?;
        let misses = by_program(|of| of.recursion_misses);
        counters(to, "program_recursion_misses", "Runs of kernel programs that the kernel skipped", &misses)
    }
}

fn counters<const N: usize, V: EncodeCounterValue>(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: &[([(&str, &str); N], V)],
) -> fmt::Result {
    let mut metric = to.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        match labels.as_slice() {
            [] => metric.encode_counter::<NoLabelSet, V, u64>(value, None)?,
            _ => metric.encode_family(labels)?.encode_counter::<NoLabelSet, V, u64>(value, None)?,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_older_format_counters_are_described_by_the_name_that_they_have() {
        let governance = GovernanceCounters::default();
        governance.promotion_attempt();
        let page = page(&Arc::default(), &governance, Snapshot::default()).expect("a page");
        assert!(page.contains("# TYPE promotion_attempts counter\npromotion_attempts_total 1\n"), "{page}");
        let plain = plain(&page);
        assert!(
            plain.contains("# TYPE promotion_attempts_total counter\npromotion_attempts_total 1\n"),
            "{plain}"
        );
        assert!(plain.contains("# TYPE agentguard_agents gauge\n"), "{plain}");
        assert!(!plain.contains("# EOF"), "{plain}");
    }
}
