//! The documents that agentd answers with, as JSON: the schema of `agentctl -o json`. Fields are only ever added.

use std::collections::BTreeMap;

use agentguard_core::approval::{self, Vote};
use agentguard_core::held::Asker;
use agentguard_core::ids::{AgentKey, AgentName, IncidentId};
use agentguard_core::record::Record;
use agentguard_core::rule::{Rule, Source};
use agentguard_core::verdict::{Layer, Severity, Verdict};
use agentguard_governance::admission::Admission;
use agentguard_governance::keys::TrustedKey;
use agentguard_governance::proof::{Envelope, Proof};
use agentguard_governance::state::{Standing, State};
use serde::{Deserialize, Serialize};

/// One row of a query: column to value, in the order of the columns.
pub type Row = serde_json::Map<String, serde_json::Value>;

/// How agentd is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of agentd.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_sec: u64,
    /// Kernel release.
    pub kernel: String,
    /// `lsm`, `fmod-ret` or `tracing`.
    pub backend: String,
    /// What this back end can not enforce, one line each.
    pub limits: Vec<String>,
    /// What is wrong now and needs somebody, one line each. Empty when all is well.
    pub problems: Vec<String>,
    /// The policy in force.
    pub policy: PolicyVersion,
    /// Agents that run.
    pub agents: u32,
    /// The kernel programs' own counters.
    pub kernel_counters: BTreeMap<String, u64>,
    /// Events that agentd itself could not keep, by stage.
    pub lost: BTreeMap<String, u64>,
    /// Proof that the kernel path denies.
    pub canary: Canary,
    /// The store.
    pub store: StoreStatus,
}

/// Which log lines agentd writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLevel {
    /// Now: a level, and levels of modules.
    pub filter: String,
    /// After a restart.
    pub at_start: String,
}

/// Proof that the kernel path denies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// What must be denied was denied.
    pub ok: bool,
    /// Milliseconds since it was tried.
    pub age_ms: u64,
    /// Why it could not be tried, or what went through.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problem: Option<String>,
}

/// The store of records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// File.
    pub path: String,
    /// Records in it.
    pub records: u64,
    /// Size on disk.
    pub bytes: u64,
    /// Oldest record, wall clock; 0 if there is none.
    pub oldest_ns: u64,
    /// Set if the file was damaged at start and put aside: where it is now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub set_aside: Option<String>,
}

/// A held request that waits or waited for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalView {
    /// Incident of the request: what `agentctl approvals approve` takes.
    pub id: IncidentId,
    /// `pending`, `approved`, `denied`, `expired`, `withdrawn` or `revoked`.
    pub state: approval::State,
    /// How bad it would be.
    pub severity: Severity,
    /// Why people are asked.
    pub reason: String,
    /// The rule of policy that asks; absent if the rule that says hold is all there is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub decided_by: Option<String>,
    /// Wall clock.
    pub asked_ns: u64,
    /// Wall clock; then the request is denied.
    pub deadline_ns: u64,
    /// How many different people must approve.
    pub needed: u8,
    /// What people said.
    pub votes: Vec<Vote>,
    /// Over the canonical JSON of what is asked.
    pub sha256: String,
    /// The request.
    pub record: Record,
    /// Who makes it.
    pub asker: Asker,
}

/// An answer that stands in the kernel for requests that are the same as one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantView {
    /// Whether they go on.
    pub allow: bool,
    /// Wall clock; absent if it stands as long as the agent runs under the same rules.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_ns: Option<u64>,
    /// The approval that it comes from; absent if policy alone answered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub approval: Option<ApprovalView>,
}

/// Whether an agent still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentState {
    /// Governed now.
    Running,
    /// Its last process ended.
    Finished,
    /// Freed by a person.
    Released,
    /// Ended by agentd: it may not run any more.
    Stopped,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentView {
    /// Name, unique among those that run.
    pub name: AgentName,
    /// Whether it runs.
    pub state: AgentState,
    /// `observe` or `enforce`, as in force.
    pub mode: String,
    /// Role class.
    pub role: String,
    /// 1 to 4.
    pub tier: u8,
    /// What was put under the spec: `run /agents.slice/…`, `unit X`, `cgroup X`, `pid X`.
    pub target: String,
    /// Its place in the kernel.
    pub key: AgentKey,
    /// Processes now.
    pub processes: u32,
    /// User.
    pub uid: u32,
    /// The spec, as the user named it.
    pub spec_file: String,
    /// Version of its rules.
    pub version: String,
    /// Rules in force.
    pub rules: u32,
    /// Wall clock.
    pub enrolled_ns: u64,
    /// Wall clock; 0 while it runs.
    pub ended_ns: u64,
    /// Records of it in the store.
    pub records: u64,
    /// Denials of it in the store.
    pub denied: u64,
    /// The registered agent that it is a run of.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub registered: Option<AgentName>,
    /// `UNREGISTERED`, or the state in which its rules are: `SANDBOX`, `GOVERNED_VALID`, `GOVERNED_RESTRICTED`.
    #[serde(default = "unregistered")]
    pub governance: String,
}

/// Agents that are run without being registered.
pub const UNREGISTERED: &str = "UNREGISTERED";

fn unregistered() -> String {
    UNREGISTERED.to_owned()
}

/// A registered agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegisteredAgent {
    /// Name, unique on the host.
    pub name: AgentName,
    /// Where it stands.
    #[serde(flatten)]
    pub standing: Standing,
    /// Why it is restricted or invalidated.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reason: String,
    /// Counts its specs.
    pub revision: u32,
    /// Of the spec, as its author counts.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// From the spec.
    pub description: String,
    /// Who answers for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owner: Option<String>,
    /// Role class.
    pub role: String,
    /// 1 to 4.
    pub tier: u8,
    /// Over the canonical form of its spec.
    pub spec_sha256: String,
    /// How it was made.
    pub origin: String,
    /// Wall clock.
    pub created_ns: u64,
    /// By whom.
    pub created_by: String,
    /// Wall clock, when anything about it changed.
    pub updated_ns: u64,
    /// Wall clock; from then on it does not start. In the sandbox the end of its time there, else that of its proof.
    pub expires_ns: u64,
    /// What it may cost in a month.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub monthly_budget_usd: Option<f64>,
    /// What it cost this month.
    pub spent_usd: f64,
    /// Names under which it runs now.
    pub running: Vec<AgentName>,
    /// What is wrong with what is stored of it; it does not start.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problem: Option<String>,
}

/// A registered agent with everything that says whether it may start, and whether what runs is what was signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentDetail {
    /// The agent.
    #[serde(flatten)]
    pub agent: RegisteredAgent,
    /// Text of its spec.
    pub spec: String,
    /// Values of variables that a start does not have to give.
    pub variables: BTreeMap<String, String>,
    /// Its proof, if it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub proof: Option<ProofView>,
    /// Whether it may start now, check by check.
    pub admission: Admission,
    /// The policy in force: SHA-256 over its files.
    pub policy_sha256: String,
    /// Where it runs.
    pub instances: Vec<InstanceView>,
}

/// A proof, and what its signature is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofView {
    /// As it is stored.
    pub envelope: Envelope,
    /// What it says.
    pub proof: Proof,
    /// `good`, `wrong`, `revoked` or `unknown`.
    pub signature: String,
}

/// One run of a registered agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceView {
    /// As `agentctl agents` shows it.
    #[serde(flatten)]
    pub agent: AgentView,
    /// The rules that the kernel has for it.
    pub kernel: KernelProof,
}

/// What was read back from the kernel, and whether it is what the spec and the policy make.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KernelProof {
    /// The rules are made of the spec and the policy that the proof names (in the sandbox: that are there now), and every
    /// word of them is in the kernel.
    pub holds: bool,
    /// In the agent's entry of the kernel's table.
    pub spec_sha256: String,
    /// In the agent's entry of the kernel's table.
    pub policy_sha256: String,
    /// What is otherwise, one line each.
    pub differences: Vec<String>,
}

/// What stands against an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalView {
    /// `<pack>.<id>`.
    pub id: String,
    /// What is wrong, and what to change.
    pub reason: String,
    /// `restrict` or `invalidate`: what becomes of an agent that is promoted already.
    pub then: String,
    /// Where the rule is written.
    pub source: Source,
}

/// Whether an agent could be promoted, and could start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// Nothing stands against it.
    pub ok: bool,
    /// What policy would say to a promotion by the caller, all of it.
    pub refusals: Vec<RefusalView>,
    /// Whether it may start now.
    pub admission: Admission,
}

/// What came of a promotion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Promotion {
    /// `PROMOTION_SUCCESS` or `PROMOTION_DENIED`.
    pub code: String,
    /// Everything that stands against it.
    pub refusals: Vec<RefusalView>,
    /// The agent as it is now.
    pub agent: RegisteredAgent,
}

/// What another policy made of one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revalidated {
    /// The agent.
    pub agent: AgentName,
    /// Where it stood.
    pub before: State,
    /// Where it stands now.
    pub after: State,
    /// What stands against it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub refusals: Vec<RefusalView>,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// The key, as it is trusted.
    #[serde(flatten)]
    pub key: TrustedKey,
    /// It signs from now on.
    pub active: bool,
    /// Its secret is on this host.
    pub has_secret: bool,
    /// Agents whose proofs it signed.
    pub proofs: u32,
    /// PEM, of Ed25519 only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub public_pem: Option<String>,
}

/// Every key, and what is wrong with the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyList {
    /// Keys in the order in which they came.
    pub keys: Vec<KeyView>,
    /// What is wrong, one line each.
    pub problems: Vec<String>,
}

/// What a change of keys did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// The key.
    pub key: KeyView,
    /// Proofs that were signed anew.
    pub resigned: u32,
    /// Agents that run no more, because their proofs do not hold any more.
    pub stopped: Vec<AgentName>,
}

/// What was spent in a month.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetReport {
    /// `2026-11`.
    pub month: String,
    /// By agent, the most expensive first.
    pub agents: Vec<AgentSpend>,
    /// All together.
    pub spent_usd: f64,
}

/// What one agent spent in a month.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentSpend {
    /// The agent.
    pub agent: AgentName,
    /// Dollars.
    pub spent_usd: f64,
    /// What it may spend.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub monthly_budget_usd: Option<f64>,
    /// Percent of the budget, rounded down.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub percent: Option<u64>,
    /// Highest alert that was passed: 80, 90 or 100.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub alert: Option<u8>,
    /// Entries.
    pub entries: u64,
    /// Where the agent stands.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub state: Option<State>,
}

/// An amount that was added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// The agent's month, with it.
    pub total: AgentSpend,
    /// False if an entry of this key was there already.
    pub added: bool,
    /// The alert that it set off.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub alert: Option<u8>,
}

/// One line of a reload: how far it is, then what changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum PolicyLine {
    /// So many agents were looked at again.
    Progress {
        /// Done.
        done: u32,
        /// Of so many.
        total: u32,
    },
    /// The end.
    Change(PolicyChange),
}

/// An enrolment that worked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// The agent.
    pub agent: AgentView,
    /// Its cgroup, if it has one of its own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cgroup: Option<String>,
    /// Its scratch directory, in the sandbox.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scratch: Option<String>,
    /// Tasks that were governed at once.
    pub tasks: u32,
    /// What the user should know, one line each.
    pub warnings: Vec<String>,
}

/// A release that worked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The agent.
    pub name: AgentName,
    /// Processes that are free now.
    pub processes: u32,
}

/// One line of `events`: a record, or how many were left out because the reader was too slow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EventLine {
    /// A record.
    Record(Box<Record>),
    /// A gap.
    Skipped {
        /// Records that this reader did not get; the store has them.
        skipped: u64,
    },
}

/// The story of one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// What happened.
    pub record: Record,
    /// The process and its ancestors, itself first.
    pub lineage: Vec<Ancestor>,
    /// The rule that decided, as it was in force then; absent if a default decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<Rule>,
    /// Both layers, by the rules that were in force then; absent if those are not kept any more or the record is no
    /// request.
    pub layers: Vec<LayerView>,
    /// The story in sentences.
    pub story: Vec<String>,
    /// How to allow it.
    pub remedy: Remedy,
}

/// A process in a lineage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    /// Process id.
    pub pid: u32,
    /// Start, nanoseconds after boot.
    pub start_ns: u64,
    /// User.
    pub uid: u32,
    /// Executable, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exe: Option<String>,
    /// Arguments, as far as they are known.
    pub argv: Vec<String>,
}

/// What one layer says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerView {
    /// Guardrail, or grant; a default stands in for a layer without a match.
    pub layer: Layer,
    /// Its verdict.
    pub verdict: Verdict,
    /// The rule, unless the default decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<String>,
    /// The rule's words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Severity, of guardrails.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub severity: Option<Severity>,
    /// Where it is written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<Source>,
}

/// How a denied request could be allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remedy {
    /// Whether a spec can allow it.
    pub possible: bool,
    /// In words.
    pub text: String,
    /// The line to add to the spec, with its table.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub spec: Option<String>,
}

/// A policy that is or was in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// First 12 hex digits of its hash.
    pub version: String,
    /// Whether it is in force now.
    pub running: bool,
    /// Since when, wall clock.
    pub since_ns: u64,
    /// Packs in it.
    pub packs: Vec<String>,
    /// Where it was read from, or `rollback`.
    pub source: String,
}

/// A reload or rollback that worked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChange {
    /// In force before.
    pub previous: String,
    /// In force now.
    pub version: String,
    /// Whether anything differs.
    pub changed: bool,
    /// Agents whose rules were replaced.
    pub agents: u32,
    /// Registered agents that policy was asked about again.
    #[serde(default)]
    pub revalidated: Vec<Revalidated>,
    /// How long that took, milliseconds.
    #[serde(default)]
    pub took_ms: u64,
    /// What the user should know, one line each.
    pub warnings: Vec<String>,
}

/// What an agent's rules say to one operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyExplanation {
    /// The agent.
    pub agent: AgentName,
    /// The operation.
    pub operation: String,
    /// The object.
    pub object: String,
    /// The stricter of both layers.
    pub verdict: Verdict,
    /// Whether it would be put into effect in the agent's mode.
    pub enforced: bool,
    /// The layer that decides.
    pub layer: Layer,
    /// Both layers.
    pub layers: Vec<LayerView>,
    /// How to allow it, if it is not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remedy: Option<Remedy>,
}

/// What another policy would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDiff {
    /// In force.
    pub from: String,
    /// The other.
    pub to: String,
    /// Per agent that runs.
    pub agents: Vec<AgentDiff>,
}

/// What another policy would change for one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentDiff {
    /// The agent.
    pub agent: AgentName,
    /// Guardrails that are new.
    pub added: Vec<Rule>,
    /// Guardrails that go.
    pub removed: Vec<Rule>,
    /// Guardrails of the same name that say something else.
    pub changed: Vec<RuleChange>,
}

/// One guardrail before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleChange {
    /// In force.
    pub from: Rule,
    /// The other.
    pub to: Rule,
}

/// One line of a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ReplayLine {
    /// A recorded request that would be decided otherwise.
    Changed {
        /// As it was.
        record: Box<Record>,
        /// The verdict under the other policy.
        verdict: Verdict,
        /// The layer that would decide.
        layer: Layer,
        /// The rule that would decide.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        rule: Option<String>,
        /// Where it is written.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        source: Option<Source>,
    },
    /// The end.
    Summary {
        /// Version of the other policy.
        version: String,
        /// Requests that were decided again.
        replayed: u64,
        /// Those with another verdict.
        changed: u64,
        /// Allowed then, denied by the other.
        newly_denied: u64,
        /// Denied then, allowed by the other.
        newly_allowed: u64,
        /// Records that could not be decided again: their agent or rules are not known any more.
        skipped: u64,
    },
}
