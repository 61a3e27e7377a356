//! Tells people outside that a held request waits for them, or waits no more: by webhooks and commands.
//!
//! ```text
//! tell ─▶ a bounded queue per target ─▶ its worker: body ─▶ attempts, with longer and longer pauses
//! ```
//!
//! Nobody who decides waits for any of it: telling puts into a queue, and a full queue loses its oldest. What waits here
//! when agentd stops is lost. Must never know how a request is answered.

mod body;
mod command;
mod webhook;

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agentguard_api::report::ApprovalView;
use agentguard_core::verdict::Severity;

use crate::config::notify::{Target, To};
use command::Command;
use webhook::Webhook;

pub use crate::config::notify::Event;
pub use webhook::SecretError;

/// Notifications that wait for one target; beyond, the oldest go. A few KiB each, shared by all targets.
const QUEUE: usize = 256;

/// Attempts at one notification.
const ATTEMPTS: u32 = 5;

/// Before the second attempt; doubled before each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A receiver that asks for a longer pause is tried again after this one: others wait behind.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The handle of those who have something to tell. Cheap to clone; without targets it does nothing.
#[derive(Clone, Default)]
pub struct Notifier(Arc<Vec<Arc<Queue>>>);

/// What became of the notifications of one target since agentd started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcomes {
    /// Its place in the configuration, from 1, and the host or program: `1-hooks.example.com`.
    pub target: String,
    /// Not tried yet.
    pub waiting: u64,
    /// Taken by the receiver.
    pub delivered: u64,
    /// Given up.
    pub failed: u64,
    /// Never tried: the queue was full.
    pub dropped: u64,
}

/// Why a body was not taken.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Another attempt may do, after this pause if the receiver asks for one.
    #[error("{0}")]
    Passing(String, Option<Duration>),
    /// No other attempt will do.
    #[error("{0}")]
    Final(String),
}

/// Something that happened, for every target that wants to know.
struct Told {
    event: Event,
    view: ApprovalView,
}

struct Queue {
    name: String,
    severities: BTreeSet<Severity>,
    on: BTreeSet<Event>,
    waiting: Mutex<Waiting>,
    wake: tokio::sync::Notify,
    delivered: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    told: VecDeque<Arc<Told>>,
    /// It was full and has not been empty since: one line says so, not one for each that is lost.
    is_losing: bool,
}

enum Way {
    Command(Command),
    Webhook(Box<Webhook>),
}

/// Takes what waits for one target to it, one after the other.
struct Worker {
    queue: Arc<Queue>,
    target: Target,
    way: Way,
    host: String,
    first_pause: Duration,
}

/// Says whether every target can be used.
///
/// # Errors
/// When a secret can not.
pub fn check(targets: &[Target]) -> Result<(), SecretError> {
    targets.iter().try_for_each(|target| Way::to(target).map(drop))
}

impl Notifier {
    /// A worker for each target, on this runtime.
    ///
    /// # Errors
    /// When a secret can not be used.
    pub fn start(targets: &[Target], host: &str) -> Result<Self, SecretError> {
        Self::with_pauses(targets, host, FIRST_PAUSE)
    }

    fn with_pauses(targets: &[Target], host: &str, first_pause: Duration) -> Result<Self, SecretError> {
        let mut workers = Vec::new();
        for (place, target) in (1_usize..).zip(targets) {
            workers.push(Worker {
                queue: Arc::new(Queue::new(place, target)),
                way: Way::to(target)?,
                target: target.clone(),
                host: host.to_owned(),
                first_pause,
            });
        }
        let queues = workers.iter().map(|worker| worker.queue.clone()).collect();
        for worker in workers {
            tokio::spawn(worker.work());
        }
        Ok(Self(Arc::new(queues)))
    }

    /// Tells every target that wants to know. Never blocks, never fails.
    pub fn tell(&self, event: Event, view: &ApprovalView) {
        let mut told = None;
        for queue in self.0.iter() {
            if queue.on.contains(&event) && queue.severities.contains(&view.severity) {
                let told = told.get_or_insert_with(|| Arc::new(Told { event, view: view.clone() }));
                queue.put(told.clone());
            }
        }
    }

    /// What became of them, by target.
    pub fn outcomes(&self) -> Vec<Outcomes> {
        self.0.iter().map(|queue| queue.outcomes()).collect()
    }
}

impl Queue {
    fn new(place: usize, target: &Target) -> Self {
        let whom = match &target.to {
            To::Command { program, .. } => program.file_name().unwrap_or_default().to_string_lossy(),
            To::Webhook { url, .. } => url.host_str().unwrap_or_default().into(),
        };
        Self {
            name: format!("{place}-{whom}"),
            severities: target.severities.clone(),
            on: target.on.clone(),
            waiting: Mutex::default(),
            wake: tokio::sync::Notify::new(),
            delivered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, told: Arc<Told>) {
        let mut waiting = self.waiting();
        waiting.told.push_back(told);
        let lost = if waiting.told.len() > QUEUE { waiting.told.pop_front() } else { None };
        let begins = lost.is_some() && !std::mem::replace(&mut waiting.is_losing, lost.is_some());
        drop(waiting);
        self.wake.notify_one();
        if lost.is_some() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        if begins {
            tracing::warn!(
                "notifications to {} come faster than it takes them: the oldest of {QUEUE} are dropped",
                self.name
            );
        }
    }

    async fn next(&self) -> Arc<Told> {
        loop {
            {
                let mut waiting = self.waiting();
                if let Some(told) = waiting.told.pop_front() {
                    return told;
                }
                waiting.is_losing = false;
            }
            self.wake.notified().await;
        }
    }

    fn outcomes(&self) -> Outcomes {
        Outcomes {
            target: self.name.clone(),
            waiting: u64::try_from(self.waiting().told.len()).unwrap_or(u64::MAX),
            delivered: self.delivered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }
}

impl Worker {
    async fn work(self) {
        loop {
            let told = self.queue.next().await;
            let (id, event) = (&told.view.id, told.event.name());
            match self.deliver(&told).await {
                Ok(()) => {
                    self.queue.delivered.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!("{} was told that approval {id} is {event}", self.queue.name);
                }
                Err(failure) => {
                    self.queue.failed.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(
                        AGENT = %told.view.record.agent, INCIDENT = %id,
                        "{} was not told that approval {id} is {event}: {failure}", self.queue.name,
                    );
                }
            }
        }
    }

    async fn deliver(&self, told: &Told) -> Result<(), Failure> {
        let body = body::write(self.target.format, &self.host, told.event, &told.view)
            .map_err(|error| Failure::Final(format!("the body can not be written: {error}")))?;
        let mut pause = self.first_pause;
        let mut attempt = 1;
        loop {
            let asked = match self.way.send(&body).await {
                Err(Failure::Passing(_, asked)) if attempt < ATTEMPTS => asked,
                ended => return ended,
            };
            tokio::time::sleep(asked.map_or(pause, |asked| asked.clamp(pause, LONGEST_PAUSE.max(pause))))
                .await;
            pause = pause.saturating_mul(2);
            attempt += 1;
        }
    }
}

impl Way {
    fn to(target: &Target) -> Result<Self, SecretError> {
        Ok(match &target.to {
            To::Command { program, arguments } => {
                Self::Command(Command::new(program.clone(), arguments.clone(), target.timeout))
            }
            To::Webhook { url, secret_file } => {
                Self::Webhook(Box::new(Webhook::new(url.clone(), secret_file.as_deref(), target.timeout)?))
            }
        })
    }

    async fn send(&self, body: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Command(command) => command.run(body).await,
            Self::Webhook(webhook) => webhook.post(body).await,
        }
    }
}

#[cfg(test)]
mod tests;
