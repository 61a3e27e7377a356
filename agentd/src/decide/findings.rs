//! Asks policy about requests that are worth a second look although no rule stops them: command lines, byte counts,
//! connections, files.
//!
//! A finding blocks nothing, and what was denied or answered needs none. Rego costs some hundred microseconds, so answers are
//! remembered, and there is a budget: an agent that makes many different requests gets fewer second looks, never a slower
//! pipeline. Files have a budget of their own, because a build opens thousands.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentguard_core::ids::AgentName;
use agentguard_core::operation::{AddressOp, Operation, PathOp};
use agentguard_core::record::{Decision, Finding, Object, Record};
use agentguard_core::verdict::{Reason, Verdict};
use agentguard_policy::RequestFacts;

use super::inputs::Inputs;
use crate::agents::directory::InForce;
use crate::bounded::Bounded;
use crate::export::metrics::{EventCounters, Question};
use crate::pipeline::Counts;
use crate::policy::InUse;

/// Answers remembered.
const MAX_ANSWERS: usize = 4096;

/// Agents whose connections are counted.
const MAX_AGENTS: usize = 1024;

/// Time that may go into evaluations each second, for files and for everything else: 6 % of one CPU each. Of time and not
/// of evaluations, because these take 0.3 ms on one machine and thirty times that on another.
const BUDGET_PER_SEC: Duration = Duration::from_millis(60);

/// `connections` in the request are those of this long.
const CONNECTIONS_NS: u64 = 60_000_000_000;

/// Times of connections kept per agent; a larger number of connections is told as this one.
const MAX_CONNECTIONS: usize = 1024;

/// Findings by request.
pub(super) struct Findings {
    policy: Arc<InUse>,
    policy_version: String,
    answers: Bounded<u64, Arc<[Finding]>>,
    inputs: Inputs,
    hasher: RandomState,
    connections: Bounded<AgentName, Vec<u64>>,
    second: Instant,
    files_spent: Duration,
    others_spent: Duration,
    counts: Arc<Counts>,
    counters: Arc<EventCounters>,
}

impl Findings {
    pub(super) fn new(policy: Arc<InUse>, counts: Arc<Counts>, counters: Arc<EventCounters>) -> Self {
        Self {
            policy,
            policy_version: String::new(),
            answers: Bounded::new(MAX_ANSWERS),
            inputs: Inputs::default(),
            hasher: RandomState::new(),
            connections: Bounded::new(MAX_AGENTS),
            second: Instant::now(),
            files_spent: Duration::ZERO,
            others_spent: Duration::ZERO,
            counts,
            counters,
        }
    }

    /// What policy finds in a record.
    pub(super) fn of(&mut self, record: &Record, rules: &Arc<InForce>) -> Vec<Finding> {
        if !deserves_a_look(record) {
            return Vec::new();
        }
        let connections = self.connections(record);
        let policy = self.policy.get();
        if policy.version().short() != self.policy_version {
            self.answers.clear();
            self.policy_version = policy.version().short().to_owned();
        }
        let question = self.question(record, connections);
        if let Some(known) = self.answers.get(&question) {
            return known.to_vec();
        }
        if *self.spent(&record.object) >= BUDGET_PER_SEC {
            self.counts.lose("findings", 1);
            return Vec::new();
        }
        let start = Instant::now();
        let mut request = RequestFacts::from(record);
        request.connections = connections;
        let input = self.inputs.of(rules);
        let found: Vec<Finding> = match policy.findings(&input, &request) {
            Ok(found) => found.into_iter().map(to_core).collect(),
            Err(error) => {
                tracing::warn!(AGENT = %record.agent, %error, "policy could not be asked for findings");
                self.counts.lose("findings", 1);
                Vec::new()
            }
        };
        let took = start.elapsed();
        self.counters.decision(Question::Finding, took);
        *self.spent(&record.object) += took;
        self.answers.insert(question, found.as_slice().into());
        found
    }

    /// A hash over what must be the same for the same answer: everything but the time, and connections by their order
    /// of magnitude. Seeded by chance, so that an agent can not make two requests look the same.
    fn question(&self, record: &Record, connections: u64) -> u64 {
        let who = (&record.agent, &record.decision.version, &record.call, connections.next_power_of_two());
        match &record.object {
            Object::Address { address, port, protocol, name, size } => {
                self.hasher.hash_one((who, address, port, protocol, name, size))
            }
            Object::File { path, .. } => self.hasher.hash_one((who, record.operation, path)),
            Object::Exec { path, cwd, argv, truncated, .. } => {
                self.hasher.hash_one((who, path, cwd, argv, truncated))
            }
            other => self.hasher.hash_one((who, format!("{other:?}"))),
        }
    }

    /// Connections of this agent in the last minute, this one included.
    fn connections(&mut self, record: &Record) -> u64 {
        if record.call != "connect" {
            return 0;
        }
        if self.connections.get(&record.agent).is_none() {
            self.connections.insert(record.agent.clone(), Vec::new());
        }
        let Some(times) = self.connections.get_mut(&record.agent) else { return 1 };
        let since = record.time_ns.saturating_sub(CONNECTIONS_NS);
        times.retain(|time| *time >= since);
        if times.len() < MAX_CONNECTIONS {
            times.push(record.time_ns);
        }
        u64::try_from(times.len()).unwrap_or(u64::MAX)
    }

    /// What was spent in this second on requests of this kind.
    fn spent(&mut self, object: &Object) -> &mut Duration {
        if self.second.elapsed() >= Duration::from_secs(1) {
            self.second = Instant::now();
            (self.files_spent, self.others_spent) = (Duration::ZERO, Duration::ZERO);
        }
        match object {
            Object::File { .. } => &mut self.files_spent,
            _ => &mut self.others_spent,
        }
    }
}

fn deserves_a_look(record: &Record) -> bool {
    let Decision { verdict, reason, .. } = &record.decision;
    // What was answered had policy's first look.
    if *verdict == Verdict::Deny || *reason == Reason::Answered {
        return false;
    }
    match &record.object {
        Object::Exec { .. } | Object::FileIo { .. } | Object::PeerIo { .. } => true,
        Object::Address { .. } => record.operation == Some(Operation::Address(AddressOp::Connect)),
        Object::File { .. } => matches!(
            record.operation,
            Some(Operation::Path(PathOp::Read | PathOp::Write | PathOp::Create | PathOp::Exec))
        ),
        Object::Resolved { .. }
        | Object::Class { .. }
        | Object::Fork { .. }
        | Object::Exit { .. }
        | Object::Credentials { .. } => false,
    }
}

fn to_core(found: agentguard_policy::Finding) -> Finding {
    Finding { id: found.id, severity: found.severity, reason: found.reason, source: Some(found.source) }
}
