//! The way of an event through agentd, and the arrows between its stages.
//!
//! Each stage is a thread that ends when the stage before it ends, so a stop drains everything that was sensed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::act::Act;
use crate::decide::Decide;
use crate::enrich::Enrich;
use crate::export::Export;
use crate::kernel::{Kernel, KernelError};
use crate::record::write::Writer;
use crate::sense;
use crate::sense::decode::DecodeError;

/// Batches between the stages that only compute. They keep up with each other, so this only smooths scheduling.
const COMPUTED_BATCHES: usize = 16;

/// Batches that may wait for the disk: 12,288 records of about 1 KiB, so that a flood costs some 12 MiB and no more.
const STORED_BATCHES: usize = 48;

/// Batches that may wait for followers and counters.
const EXPORTED_BATCHES: usize = 64;

/// What the stages are made of.
pub struct Stages {
    /// Names of agents, processes, files and addresses.
    pub enrich: Enrich,
    /// Rules and findings.
    pub decide: Decide,
    /// Incident ids and the log.
    pub act: Act,
    /// The store.
    pub record: Writer,
    /// Followers and metrics.
    pub export: Export,
}

/// The running pipeline.
pub struct Pipeline {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Pipeline {
    /// Starts every stage.
    pub fn start(kernel: Arc<dyn Kernel>, stages: Stages, counts: &Arc<Counts>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let Stages { mut enrich, mut decide, mut act, mut record, mut export } = stages;

        let (sensed, events) = arrow("enrich", COMPUTED_BATCHES, Full::Wait, counts);
        let (enriched, known) = arrow("decide", COMPUTED_BATCHES, Full::Wait, counts);
        let (decided, decisions) = arrow("act", COMPUTED_BATCHES, Full::Wait, counts);
        let (acted, records) = arrow("record", STORED_BATCHES, Full::Lose, counts);
        let (recorded, kept) = arrow("export", EXPORTED_BATCHES, Full::Lose, counts);

        let (stopped, counts) = (stop.clone(), counts.clone());
        let threads = vec![
            stage("sense", move || sense::run(&*kernel, &stopped, &sensed, &counts))?,
            stage("enrich", between(events, enriched, move |batch| enrich.enrich(batch)))?,
            stage("decide", between(known, decided, move |batch| decide.decide(batch)))?,
            stage("act", between(decisions, acted, move |batch| act.act(batch)))?,
            stage("record", move || record.run(&records, &recorded))?,
            stage("export", move || kept.for_each(|batch| export.export(batch)))?,
        ];
        Ok(Self { stop, threads })
    }

    /// Stops sensing and waits until what was sensed is stored.
    pub fn drain(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a stage of the pipeline had panicked");
            }
        }
    }

    /// Whether every stage still runs.
    pub fn is_alive(&self) -> bool {
        self.threads.iter().all(|thread| !thread.is_finished())
    }
}

/// A stage that only computes.
fn between<A, B>(from: Inbox<A>, to: Arrow<B>, mut work: impl FnMut(Vec<A>) -> Vec<B>) -> impl FnOnce() {
    move || from.for_each(|batch| to.send(work(batch)))
}

fn stage(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

/// What a full arrow does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Waits. In front of stages that only compute: while they are behind, the kernel's ring takes up the slack, and what
    /// it can not hold the kernel counts.
    Wait,
    /// Loses the batch and counts it. In front of what depends on a disk or on readers.
    Lose,
}

/// The sending end of a bounded channel between two stages.
pub struct Arrow<T> {
    to: &'static str,
    sender: SyncSender<Vec<T>>,
    waiting: Arc<AtomicUsize>,
    full: Full,
    counts: Arc<Counts>,
}

/// Its receiving end: batches until the stage before ends.
pub struct Inbox<T> {
    receiver: Receiver<Vec<T>>,
    waiting: Arc<AtomicUsize>,
}

/// How full a channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// The stage behind it.
    pub stage: &'static str,
    /// Batches that wait.
    pub batches: usize,
    /// Batches that may.
    pub capacity: usize,
}

/// A bounded channel into the stage `to`.
pub fn arrow<T>(to: &'static str, batches: usize, full: Full, counts: &Arc<Counts>) -> (Arrow<T>, Inbox<T>) {
    let (sender, receiver) = sync_channel(batches);
    let waiting = counts.watch(to, batches);
    let inbox = Inbox { receiver, waiting: waiting.clone() };
    (Arrow { to, sender, waiting, full, counts: counts.clone() }, inbox)
}

impl<T> Inbox<T> {
    /// The next batch, if one comes in time.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Vec<T>, RecvTimeoutError> {
        let batch = self.receiver.recv_timeout(timeout)?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Ok(batch)
    }
}

impl<T> Iterator for Inbox<T> {
    type Item = Vec<T>;

    fn next(&mut self) -> Option<Vec<T>> {
        let batch = self.receiver.recv().ok()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(batch)
    }
}

impl<T> Arrow<T> {
    /// Hands a batch on. What can not be handed on is counted as lost before the stage `to`.
    pub fn send(&self, batch: Vec<T>) {
        if batch.is_empty() {
            return;
        }
        // Before it is sent: whoever takes it counts it out.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let lost = match self.full {
            Full::Wait => self.sender.send(batch).map_err(|refused| refused.0),
            Full::Lose => self.sender.try_send(batch).map_err(|refused| match refused {
                TrySendError::Full(batch) | TrySendError::Disconnected(batch) => batch,
            }),
        };
        if let Err(batch) = lost {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counts.lose(self.to, batch.len());
        }
    }
}

/// What did not get through, by stage, and what waits to. Read by metrics and `status`.
#[derive(Debug, Default)]
pub struct Counts {
    lost: Mutex<BTreeMap<&'static str, u64>>,
    queues: Mutex<BTreeMap<&'static str, (Arc<AtomicUsize>, usize)>>,
}

impl Counts {
    /// A count of what waits in front of a stage.
    fn watch(&self, stage: &'static str, capacity: usize) -> Arc<AtomicUsize> {
        let waiting = Arc::new(AtomicUsize::new(0));
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.insert(stage, (waiting.clone(), capacity));
        waiting
    }

    /// Every channel, by stage.
    pub fn queues(&self) -> Vec<Queue> {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = |(stage, (waiting, capacity)): (&&'static str, &(Arc<AtomicUsize>, usize))| {
            // One more than fits waits to be sent, where the stage before it waits.
            let batches = waiting.load(Ordering::Relaxed).min(*capacity);
            Queue { stage, batches, capacity: *capacity }
        };
        queues.iter().map(queue).collect()
    }

    /// Events lost before a stage.
    pub fn lose(&self, stage: &'static str, events: usize) {
        if events == 0 {
            return;
        }
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let count = lost.entry(stage).or_default();
        // The first loss is news; the rest is in the metrics.
        if *count == 0 {
            tracing::warn!(stage, events, "events are lost; see agentguard_events_lost_total");
        }
        *count = count.saturating_add(u64::try_from(events).unwrap_or(u64::MAX));
    }

    /// A record of the ring that was not understood.
    pub fn not_decoded(&self, error: DecodeError) {
        tracing::debug!(%error, "a kernel record was not understood");
        self.lose("decode", 1);
    }

    /// A kernel call that failed and will be tried again.
    pub fn kernel_failed(&self, call: &'static str, error: &KernelError) {
        tracing::debug!(call, %error, "the kernel interface failed");
        self.lose("kernel_calls", 1);
    }

    /// Losses by stage so far.
    pub fn lost(&self) -> BTreeMap<&'static str, u64> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_tells_how_full_it_is_and_loses_what_does_not_fit() {
        let counts = Arc::new(Counts::default());
        let (arrow, mut inbox) = arrow("record", 2, Full::Lose, &counts);
        let depth = || counts.queues().first().map(|queue| (queue.stage, queue.batches, queue.capacity));
        assert_eq!(depth(), Some(("record", 0, 2)));
        (0..5).for_each(|number| arrow.send(vec![number]));
        assert_eq!(depth(), Some(("record", 2, 2)));
        assert_eq!(counts.lost().get("record"), Some(&3));
        assert_eq!(inbox.next(), Some(vec![0]));
        assert_eq!(inbox.recv_timeout(Duration::ZERO), Ok(vec![1]));
        assert_eq!(depth(), Some(("record", 0, 2)));
        drop(arrow);
        assert_eq!(inbox.next(), None);
    }
}
