//! Requests that wait in the kernel: policy is asked first, and what it leaves open people answer.
//!
//! asked -> facts -> policy -> allow or deny at once, or an approval that waits for people until its deadline. The task
//! that waits turns in the kernel meanwhile, and is frozen when it is a person who answers. Nothing here ever lets a request
//! go on that nobody allowed: whoever is not answered waits.

mod facts;
pub mod freezer;
mod note;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agentguard_api::report::{ApprovalView, GrantView};
use agentguard_audit::{Entry as AuditEntry, codes};
use agentguard_core::approval::{Approval, Change, MAX_BECAUSE, Refused, Reuse, State, Unattended, Vote};
use agentguard_core::canonical;
use agentguard_core::held::Asker;
use agentguard_core::ids::{AgentKey, IncidentId};
use agentguard_core::record::Record;
use agentguard_core::verdict::{Severity, Verdict};
use agentguard_policy::decision::{Answer, Decided};
use agentguard_policy::{HeldFacts, PolicySet, RequestFacts, WantedFacts};
use rusqlite::Connection;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::audit::Audit;
use crate::clock::{self, BootToWall};
use crate::config::HoldLimits;
use crate::decide::Waiting;
use crate::decide::inputs::Inputs;
use crate::export::metrics::{EventCounters, HoldOutcome, HoldStage, Question};
use crate::journal;
use crate::kernel::{Held, HeldRequest, Kernel, KernelError, StandingAnswer};
use crate::log_limit::LogLimit;
use crate::notify::{Event, Notifier};
use crate::policy::InUse;
use crate::record::approvals::{self, StoredApproval};
use crate::record::{Store, StoreError};
use facts::Gatherer;
use freezer::Freezer;

/// How often deadlines, signals and tasks that are gone are looked at.
pub const TICK: Duration = Duration::from_millis(250);

/// While nobody waits for people only every so many ticks look at the kernel: reading its empty tables takes time, too.
const QUIET_TICKS: u32 = 20;

/// A process that was thawed for one of its threads or for a signal runs at least this long before it is frozen again.
const THAWED_FOR: Duration = Duration::from_millis(500);

/// A denied program stays denied for so long: shells try again under every name that their PATH gives it.
const DENIED_SEC: u32 = 5;

const NS_PER_SEC: u64 = 1_000_000_000;

/// A request that waits, and what is known about it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its record.
    pub record: Record,
    /// The kernel's mark and the rules that say hold.
    pub waiting: Waiting,
}

/// Why a person's answer was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// There is no such approval.
    #[error("there is no approval `{0}`; see agentctl approvals list --all")]
    Unknown(String),
    /// It was given too late, or something is missing.
    #[error("approval {0}: {1}")]
    Refused(String, Refused),
    /// The kernel did not take it.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Holds(Arc<Inner>);

struct Inner {
    kernel: Arc<dyn Kernel>,
    policy: Arc<InUse>,
    store: Store,
    notifier: Notifier,
    facts: Gatherer,
    inputs: Mutex<Inputs>,
    lines: LogLimit,
    writer: Mutex<Connection>,
    pending: Mutex<BTreeMap<String, Pending>>,
    freezer: Mutex<Freezer>,
    thawed: Mutex<BTreeMap<u32, Instant>>,
    ticks: AtomicU32,
    limits: HoldLimits,
    counters: Arc<EventCounters>,
    audit: Audit,
}

/// An approval that waits for people, and the request that waits for it.
struct Pending {
    held: Held,
    stored: StoredApproval,
}

/// What denies a request or asks people about it, and why.
struct Said {
    id: String,
    severity: Severity,
    reason: String,
}

impl From<Decided> for Said {
    fn from(decided: Decided) -> Self {
        Self { id: decided.id, severity: decided.severity, reason: decided.reason }
    }
}

impl Holds {
    /// With the approvals that were pending when the last agentd ended. Their requests still wait in the kernel, or are
    /// found to be gone at the first tick.
    pub fn new(
        kernel: Arc<dyn Kernel>,
        policy: Arc<InUse>,
        store: Store,
        notifier: Notifier,
        limits: HoldLimits,
        counters: Arc<EventCounters>,
        audit: Audit,
    ) -> Result<(Self, UnboundedSender<Asked>, UnboundedReceiver<Asked>), StoreError> {
        let writer = store.writer()?;
        let waiting: BTreeMap<u64, Held> =
            kernel.held().unwrap_or_default().into_iter().map(|held| (held.id, held)).collect();
        let mut pending = BTreeMap::new();
        for mut stored in approvals::pending(&writer)? {
            match waiting.get(&stored.hold) {
                Some(held) => {
                    // Nothing can be refused: nobody votes.
                    let _ = stored.approval.apply(Change::Resumed, clock::boot_ns());
                    pending.insert(stored.id.0.clone(), Pending { held: held.clone(), stored });
                }
                None => {
                    // Nothing can be refused: it is pending.
                    let _ = stored.approval.apply(Change::Gone, clock::boot_ns());
                    approvals::put(&writer, &stored)?;
                    notifier.tell(Event::Settled, &view(&stored));
                }
            }
        }
        let mut freezer = Freezer::default();
        let known: std::collections::BTreeSet<u64> = pending.values().map(|one| one.held.id).collect();
        for held in waiting.values().filter(|held| !known.contains(&held.id)) {
            // Nobody knows any more what it asks: thawed, it asks again.
            freezer.thaw(held.pid);
        }
        let (sender, receiver) = unbounded_channel();
        let inner = Inner {
            kernel,
            policy,
            store,
            notifier,
            facts: Gatherer::default(),
            inputs: Mutex::default(),
            lines: LogLimit::default(),
            writer: Mutex::new(writer),
            pending: Mutex::new(pending),
            freezer: Mutex::new(freezer),
            thawed: Mutex::default(),
            ticks: AtomicU32::new(0),
            limits,
            counters,
            audit,
        };
        Ok((Self(Arc::new(inner)), sender, receiver))
    }

    /// Takes what is asked until nobody asks any more. Each question has a thread: one that policy thinks about for long
    /// keeps no other waiting.
    pub async fn run(self, mut asked: UnboundedReceiver<Asked>) {
        while let Some(asked) = asked.recv().await {
            let holds = self.clone();
            tokio::task::spawn_blocking(move || holds.0.consider(asked));
        }
    }

    /// How many log lines requests may cause, held or not.
    pub fn lines(&self) -> LogLimit {
        self.0.lines.clone()
    }

    /// Deadlines, tasks that are gone, signals. Blocks for a moment.
    pub fn tick(&self) {
        self.0.tick();
    }

    /// Approvals, those that wait first; `all` also those that are settled.
    pub fn list(&self, all: bool) -> Result<Vec<ApprovalView>, StoreError> {
        let mut views: Vec<_> = self.0.pending().values().map(|pending| view(&pending.stored)).collect();
        if all {
            let settled = approvals::settled(&self.0.store.reader()?)?;
            views.extend(settled.iter().map(view));
        }
        Ok(views)
    }

    /// How many requests wait for people, and since when the first of them does, in nanoseconds after boot.
    pub fn waiting(&self) -> (usize, Option<u64>) {
        let pending = self.0.pending();
        (pending.len(), pending.values().map(|one| one.held.since_ns).min())
    }

    /// One approval.
    pub fn get(&self, id: &str) -> Result<Option<ApprovalView>, StoreError> {
        if let Some(pending) = self.0.pending().get(id) {
            return Ok(Some(view(&pending.stored)));
        }
        Ok(approvals::get(&self.0.store.reader()?, id)?.as_ref().map(view))
    }

    /// A person's answer.
    pub fn answer(&self, id: &str, vote: Vote) -> Result<ApprovalView, AnswerError> {
        self.0.answer(id, vote)
    }

    /// Ends an approval that is good for later requests, too. What it has let go on already is done.
    pub fn revoke(&self, id: &str, vote: Vote) -> Result<ApprovalView, AnswerError> {
        let reader = self.0.store.reader()?;
        let unknown = || AnswerError::Unknown(id.to_owned());
        let mut stored = approvals::get(&reader, id)?.ok_or_else(unknown)?;
        let change = Change::Revoke(vote);
        let refused = |refused| AnswerError::Refused(id.to_owned(), refused);
        stored.approval.apply(change, clock::boot_ns()).map_err(refused)?;
        for (request, answer) in self.0.kernel.standing()? {
            if answer.hold == stored.hold {
                self.0.kernel.revoke(&request)?;
            }
        }
        self.0.write(&stored);
        Ok(view(&stored))
    }

    /// The answers that stand for an agent now, in the order in which they end.
    pub fn grants(&self, agent: AgentKey, generation: u32) -> Result<Vec<GrantView>, AnswerError> {
        let (now, wall) = (clock::boot_ns(), BootToWall::now());
        let reader = self.0.store.reader()?;
        let mut standing = self.0.kernel.standing()?;
        standing.retain(|(request, answer)| {
            request.agent == agent && answer.generation == generation && answer.expires_ns > now
        });
        standing.sort_by_key(|(_, answer)| answer.expires_ns);
        let grant = |(_, answer): (HeldRequest, StandingAnswer)| {
            Ok(GrantView {
                allow: answer.allow,
                expires_ns: (answer.expires_ns != u64::MAX).then(|| wall.wall(answer.expires_ns)),
                approval: approvals::of_hold(&reader, answer.hold)?.as_ref().map(view),
            })
        };
        standing.into_iter().map(grant).collect()
    }
}

impl Inner {
    fn pending(&self) -> MutexGuard<'_, BTreeMap<String, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn freezer(&self) -> MutexGuard<'_, Freezer> {
        self.freezer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn thawed(&self) -> MutexGuard<'_, BTreeMap<u32, Instant>> {
        self.thawed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn consider(&self, asked: Asked) {
        let held = match self.kernel.held_request(asked.waiting.mark.id) {
            Ok(Some(held)) => held,
            Ok(None) => return,
            Err(error) => return tracing::error!(%error, "a held request can not be looked up; it waits"),
        };
        if self.pending().values().any(|pending| pending.held.id == held.id) {
            return; // an agentd before this one asked already
        }
        self.counters.hold_stage(HoldStage::Reach, waited(&held));
        let policy = self.policy.get();
        let facts = self.timed(HoldStage::Facts, || {
            self.facts.gather(&asked.record, &held, policy.wanted(), &self.store)
        });
        let start = Instant::now();
        let (answer, decided) = self.timed(HoldStage::Policy, || self.ask_policy(&policy, &asked, &facts));
        self.counters.decision(Question::Hold, start.elapsed());
        match answer {
            Answer::Allow => self.follow(&held, asked.waiting.generation, true, reuse(decided.as_ref())),
            Answer::Deny => {
                self.deny(asked, &held, &policy, reuse(decided.as_ref()), decided.map(Said::from));
            }
            Answer::Ask if self.asks_too_much(&held) => {
                let severity = severity(&asked, decided.map(|decided| decided.severity));
                let reason =
                    format!("{} requests of this agent wait for people already", self.limits.most_of_agent);
                let said = Said { id: "holds.most_of_agent".to_owned(), severity, reason };
                self.deny(asked, &held, &policy, Reuse::Once, Some(said));
            }
            Answer::Ask => self.ask_people(asked, held, &policy, decided),
        }
    }

    /// Nobody reads a thousand approvals, and whoever is told of each does not see the one that matters.
    fn asks_too_much(&self, held: &Held) -> bool {
        let pending = self.pending();
        let same = pending.values().filter(|one| one.held.request.agent == held.request.agent);
        same.count() >= usize::try_from(self.limits.most_of_agent).unwrap_or(usize::MAX)
    }

    fn timed<T>(&self, stage: HoldStage, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        self.counters.hold_stage(stage, start.elapsed());
        done
    }

    /// What policy says. Where it says nothing the rule's own verdict tells what that means; where it can not be asked,
    /// people are.
    fn ask_policy(&self, policy: &PolicySet, asked: &Asked, facts: &HeldFacts) -> (Answer, Option<Decided>) {
        let Some(rules) = &asked.waiting.rules else { return (Answer::Ask, None) };
        let request = RequestFacts::from(&asked.record);
        let input = self.inputs.lock().unwrap_or_else(PoisonError::into_inner).of(rules);
        match policy.decide(&input, &request, facts) {
            Ok(Some(decided)) => (decided.answer, Some(decided)),
            Ok(None) if asked.waiting.verdict == Verdict::Evaluate => (Answer::Allow, None),
            Ok(None) => (Answer::Ask, None),
            Err(error) => {
                tracing::error!(AGENT = %asked.record.agent, %error, "policy could not be asked; people are");
                (Answer::Ask, None)
            }
        }
    }

    /// An answer without people, put into effect.
    fn follow(&self, held: &Held, generation: u32, allow: bool, reuse: Reuse) {
        let effect = self.timed(HoldStage::Answer, || self.put_into_effect(held, generation, allow, reuse));
        if let Err(error) = effect {
            tracing::error!(%error, "the answer to a held request did not reach the kernel; it waits");
            return;
        }
        let outcome = if allow { HoldOutcome::PolicyAllowed } else { HoldOutcome::PolicyDenied };
        self.counters.held(outcome, waited(held));
    }

    /// A denial without people. Told to the process and looked into while it still waits, and written down like a
    /// person's once it goes on.
    fn deny(&self, asked: Asked, held: &Held, policy: &PolicySet, reuse: Reuse, said: Option<Said>) {
        let (id, reason) = said.as_ref().map_or(("", ""), |said| (&said.id, &said.reason));
        note::tell(held.pid, &asked.record, id, reason);
        let severity = severity(&asked, said.as_ref().map(|said| said.severity));
        if self.lines.allows(&asked.record.agent) {
            journal::held_denied(&asked.record, severity, id, reason);
        }
        let vote = Vote {
            by: "policy".to_owned(),
            allow: false,
            because: reason.chars().take(MAX_BECAUSE).collect(),
            reuse: Reuse::Once,
            time_ns: clock::wall_ns(),
        };
        let now = clock::boot_ns();
        let mut approval = Approval::ask(severity, now + 1, 1);
        let voted = approval.apply(Change::Vote(vote), now);
        let asker = self.facts.asker(&asked.record, held, WantedFacts::FOR_PEOPLE);
        self.follow(held, asked.waiting.generation, false, reuse);
        if voted.is_ok() {
            self.write(&stored(asked, held, policy, approval, said, asker));
        }
    }

    fn put_into_effect(
        &self,
        held: &Held,
        generation: u32,
        allow: bool,
        reuse: Reuse,
    ) -> Result<bool, KernelError> {
        let denied_start = held.is_exec && !allow;
        let expires_ns = match reuse {
            Reuse::Once if denied_start => Some(clock::boot_ns() + u64::from(DENIED_SEC) * NS_PER_SEC),
            Reuse::Once => None,
            Reuse::Seconds(seconds) => Some(clock::boot_ns() + u64::from(seconds) * NS_PER_SEC),
            Reuse::Session => Some(u64::MAX),
        };
        if let Some(expires_ns) = expires_ns {
            let answer = StandingAnswer { allow, expires_ns, generation, hold: held.id };
            self.kernel.stand(&held.request, answer)?;
        }
        self.kernel.answer(held.id, allow)
    }

    fn ask_people(&self, asked: Asked, held: Held, policy: &PolicySet, decided: Option<Decided>) {
        let severity = severity(&asked, decided.as_ref().map(|decided| decided.severity));
        let deadline =
            decided.as_ref().and_then(|decided| decided.deadline_sec).unwrap_or(self.limits.deadline_sec);
        let set = self.limits.reviewers.get(&severity).copied();
        let needed = decided.as_ref().and_then(|decided| decided.reviewers).or(set).unwrap_or(1);
        let patience_ns = u64::from(deadline).saturating_mul(NS_PER_SEC);
        let mut approval = Approval::ask(severity, held.since_ns.saturating_add(patience_ns), needed);
        if decided.as_ref().is_some_and(|decided| decided.unattended == Unattended::Renew) {
            approval.renewal_ns = patience_ns;
        }
        let asker = self.facts.asker(&asked.record, &held, WantedFacts::FOR_PEOPLE);
        let stored = stored(asked, &held, policy, approval, decided.map(Said::from), asker);
        journal::waits(&stored);
        self.write(&stored);
        let (pid, view) = (held.pid, view(&stored));
        let mut pending = self.pending();
        pending.insert(stored.id.0.clone(), Pending { held, stored });
        // Before anybody else sees it: nobody shall hear that it is settled, and then that it waits.
        self.notifier.tell(Event::Asked, &view);
        drop(pending);
        self.freezer().freeze(pid);
    }

    /// A store that fails loses the history of an approval, never the request: that waits in the kernel.
    fn write(&self, stored: &StoredApproval) {
        self.audit.note(audited(stored));
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = approvals::put(&writer, stored) {
            tracing::error!(%error, id = %stored.id, "an approval was not written down");
        }
    }

    fn answer(&self, id: &str, vote: Vote) -> Result<ApprovalView, AnswerError> {
        let mut pending = self.pending();
        let Some(one) = pending.get_mut(id) else {
            drop(pending);
            let settled = approvals::get(&self.store.reader()?, id)?;
            return Err(match settled {
                Some(settled) => {
                    AnswerError::Refused(id.to_owned(), Refused::Settled(settled.approval.state))
                }
                None => AnswerError::Unknown(id.to_owned()),
            });
        };
        let refused = |refused| AnswerError::Refused(id.to_owned(), refused);
        let state = one.stored.approval.apply(Change::Vote(vote), clock::boot_ns()).map_err(refused)?;
        let view = view(&one.stored);
        if state == State::Pending {
            self.write(&one.stored);
        } else if let Some(one) = pending.remove(id) {
            drop(pending);
            self.settle(&one);
        }
        Ok(view)
    }

    /// A settled approval, put into effect and written down.
    fn settle(&self, one: &Pending) {
        let (stored, held) = (&one.stored, &one.held);
        let state = stored.approval.state;
        let allow = state == State::Approved;
        if matches!(state, State::Denied | State::Expired) {
            let because = stored.approval.votes.last().map(|vote| vote.because.as_str()).unwrap_or_default();
            let why = if state == State::Expired { "nobody answered in time" } else { because };
            let why = if why.is_empty() { stored.reason.as_str() } else { why };
            note::tell(
                held.pid,
                &stored.record,
                stored.record.decision.rule.as_deref().unwrap_or("default"),
                why,
            );
        }
        if state != State::Withdrawn {
            let reuse = if allow { stored.approval.reuse() } else { Reuse::Once };
            if let Err(error) = self.put_into_effect(held, stored.generation, allow, reuse) {
                tracing::error!(%error, id = %stored.id, "an answer did not reach the kernel; the request waits");
            }
        }
        if let Some(outcome) = outcome(state) {
            self.counters.held(outcome, waited(held));
        }
        self.write(stored);
        self.thaw(held.pid);
        self.notifier.tell(Event::Settled, &view(stored));
        journal::settled(stored);
    }

    fn thaw(&self, pid: u32) {
        self.freezer().thaw(pid);
        self.thawed().insert(pid, Instant::now());
    }

    fn tick(&self) {
        let tick = self.ticks.fetch_add(1, Ordering::Relaxed);
        if self.pending().is_empty() && !tick.is_multiple_of(QUIET_TICKS) {
            return;
        }
        let now = clock::boot_ns();
        let waiting = match self.kernel.held() {
            Ok(held) => held.into_iter().map(|held| held.id).collect::<std::collections::BTreeSet<_>>(),
            Err(error) => return tracing::error!(%error, "held requests can not be looked up"),
        };
        let mut pending = self.pending();
        for one in pending.values_mut() {
            let change = if waiting.contains(&one.held.id) { Change::Tick } else { Change::Gone };
            // Neither can be refused.
            let _ = one.stored.approval.apply(change, now);
        }
        let settled: Vec<_> =
            pending.extract_if(.., |_, one| one.stored.approval.state != State::Pending).collect();
        let pids: std::collections::BTreeSet<u32> = pending.values().map(|one| one.held.pid).collect();
        drop(pending);
        settled.iter().for_each(|(_, one)| self.settle(one));
        self.thawed().retain(|_, since| since.elapsed() < THAWED_FOR);
        for pid in pids {
            if freezer::has_signal(pid) {
                self.thaw(pid);
            } else if !self.thawed().contains_key(&pid) {
                self.freezer().freeze(pid);
            }
        }
    }
}

/// How long a request has waited.
fn waited(held: &Held) -> Duration {
    Duration::from_nanos(clock::boot_ns().saturating_sub(held.since_ns))
}

fn outcome(state: State) -> Option<HoldOutcome> {
    match state {
        State::Approved => Some(HoldOutcome::Approved),
        State::Denied => Some(HoldOutcome::Denied),
        State::Expired => Some(HoldOutcome::Expired),
        State::Withdrawn => Some(HoldOutcome::Withdrawn),
        State::Pending | State::Revoked => None,
    }
}

fn reuse(decided: Option<&Decided>) -> Reuse {
    decided.and_then(|decided| decided.reuse_sec).map_or(Reuse::Once, Reuse::Seconds)
}

fn severity(asked: &Asked, said: Option<Severity>) -> Severity {
    said.or(asked.record.decision.severity).unwrap_or(Severity::High)
}

fn stored(
    asked: Asked,
    held: &Held,
    policy: &PolicySet,
    approval: Approval,
    said: Option<Said>,
    asker: Asker,
) -> StoredApproval {
    let sha256 = fingerprint(&asked, held, policy, &asker);
    let Asked { record, waiting } = asked;
    StoredApproval {
        id: record.incident.clone().unwrap_or_else(|| IncidentId(format!("hold-{}", held.id))),
        hold: held.id,
        sha256,
        reason: said.as_ref().map_or_else(|| record.decision.message.clone(), |said| said.reason.clone()),
        decided_by: said.map(|said| said.id),
        generation: waiting.generation,
        asked_ns: held.since_ns,
        approval,
        record,
        asker,
    }
}

/// As the audit log has it: what was asked, and who said what.
fn audited(stored: &StoredApproval) -> AuditEntry {
    let approval = &stored.approval;
    let code = match approval.state {
        State::Pending => codes::APPROVAL_ASKED,
        State::Approved => codes::APPROVAL_APPROVED,
        State::Denied => codes::APPROVAL_DENIED,
        State::Expired => codes::APPROVAL_EXPIRED,
        State::Withdrawn => codes::APPROVAL_WITHDRAWN,
        State::Revoked => codes::APPROVAL_REVOKED,
    };
    let by = approval.votes.last().map_or("agentd", |vote| &vote.by);
    AuditEntry::new(code, by).agent(stored.record.agent.0.clone()).detail(serde_json::json!({
        "incident": stored.id,
        "sha256": stored.sha256,
        "severity": approval.severity,
        "call": stored.record.call,
        "object": stored.record.object,
        "reason": stored.reason,
        "decided_by": stored.decided_by,
        "needed": approval.needed,
        "votes": approval.votes,
    }))
}

/// Over what was asked, and under which spec and policy: an approval is good for nothing else.
fn fingerprint(asked: &Asked, held: &Held, policy: &PolicySet, asker: &Asker) -> String {
    let Asked { record, waiting } = asked;
    let spec = waiting.rules.as_ref().map(|rules| canonical::sha256(&rules.input.agent.spec));
    canonical::sha256(&serde_json::json!({
        "under": { "spec_sha256": spec, "policy": policy.version() },
        "agent": record.agent,
        "version": record.decision.version,
        "exe": record.process.exe,
        "exe_sha256": asker.process.sha256,
        "program_sha256": asker.sha256,
        "call": record.call,
        "operation": record.operation,
        "object": record.object,
        "kernel_request": held.request.hash.map(|word| format!("{word:016x}")),
    }))
}

fn view(stored: &StoredApproval) -> ApprovalView {
    let wall = BootToWall::now();
    ApprovalView {
        id: stored.id.clone(),
        state: stored.approval.state,
        severity: stored.approval.severity,
        reason: stored.reason.clone(),
        decided_by: stored.decided_by.clone(),
        asked_ns: wall.wall(stored.asked_ns),
        deadline_ns: wall.wall(stored.approval.deadline_ns),
        needed: stored.approval.needed,
        votes: stored.approval.votes.clone(),
        sha256: stored.sha256.clone(),
        record: stored.record.clone(),
        asker: stored.asker.clone(),
    }
}

#[cfg(test)]
mod tests;
