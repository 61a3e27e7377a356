//! Sense: takes raw records from the kernel, and once a second the sums that the kernel keeps.
//!
//! Runs on a thread of its own, because waiting for the ring blocks. Knows no names and no rules.

mod bytes;
pub mod decode;
pub mod event;
#[cfg(test)]
pub mod sample;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agentguard_core::ids::AgentKey;
use agentguard_core::verdict::{Answer, Reason, Verdict};

use crate::clock;
use crate::kernel::{Kernel, PeerBytes};
use crate::pipeline::{Arrow, Counts};
use event::{Body, Event, ProcessId, Ruling};

/// How long one wait for events may last: also how late a stop or a sum can be.
const WAIT: Duration = Duration::from_millis(100);

/// Sums are fetched this often.
const SUMS_EVERY: Duration = Duration::from_secs(1);

/// Events handed on at once: large enough to make the hand-over cheap, small enough to stay in the cache.
const BATCH: usize = 256;

/// What happens within this time goes on together. The kernel notifies a reader that has caught up, and that costs whoever
/// caused the record more than the record itself; and channels behind are bounded in batches, which batches of one or two
/// events would fill. The ring holds far more than this.
const GATHER: Duration = Duration::from_millis(10);

/// Senses until `stop`, then returns, which ends the stages behind it one by one.
pub fn run(kernel: &dyn Kernel, stop: &AtomicBool, next: &Arrow<Event>, counts: &Counts) {
    let mut sums_due = Instant::now() + SUMS_EVERY;
    while !stop.load(Ordering::Relaxed) {
        sense(kernel, WAIT, next, counts);
        if Instant::now() >= sums_due {
            sums_due = Instant::now() + SUMS_EVERY;
            report_files(kernel, counts);
            next.send(peers(kernel, counts));
        }
        // A request that is held does not wait for others.
        if let Err(error) = kernel.rest(GATHER) {
            counts.kernel_failed("rest", &error);
            std::thread::sleep(GATHER);
        }
    }
    report_files(kernel, counts);
    sense(kernel, Duration::ZERO, next, counts);
    next.send(peers(kernel, counts));
}

/// Hands on what is in the ring, or comes within `wait`.
fn sense(kernel: &dyn Kernel, wait: Duration, next: &Arrow<Event>, counts: &Counts) {
    let mut batch = Vec::new();
    let waited = kernel.next_events(wait, &mut |record| {
        match decode::decode(record) {
            Ok(event) => batch.push(event),
            Err(error) => counts.not_decoded(error),
        }
        if batch.len() >= BATCH {
            next.send(std::mem::take(&mut batch));
        }
    });
    if let Err(error) = waited {
        counts.kernel_failed("next_events", &error);
        std::thread::sleep(wait);
    }
    next.send(batch);
}

/// The records come with the next events.
fn report_files(kernel: &dyn Kernel, counts: &Counts) {
    if let Err(error) = kernel.report_files() {
        counts.kernel_failed("report_files", &error);
    }
}

fn peers(kernel: &dyn Kernel, counts: &Counts) -> Vec<Event> {
    let now = clock::boot_ns();
    let peers = kernel.take_peers().unwrap_or_else(|error| {
        counts.kernel_failed("take_peers", &error);
        Vec::new()
    });
    peers.into_iter().map(|sum| peer_sum(now, &sum)).collect()
}

fn peer_sum(now: u64, sum: &PeerBytes) -> Event {
    let body = Body::PeerIo {
        address: sum.address,
        port: sum.port,
        protocol: sum.protocol,
        sent_bytes: sum.sent_bytes,
        received_bytes: sum.received_bytes,
    };
    plain(now, sum.agent, ProcessId::default(), "peer_io", body)
}

/// An event that agentd makes of a kernel sum: nothing was asked and nothing was decided.
fn plain(time_ns: u64, agent: AgentKey, process: ProcessId, call: &'static str, body: Body) -> Event {
    Event {
        time_ns,
        agent,
        generation: 0,
        process,
        parent: ProcessId::default(),
        tid: process.pid,
        uid: 0,
        gid: 0,
        comm: String::new(),
        call,
        operation: None,
        ruling: Ruling {
            verdict: Verdict::Allow,
            answer: Answer::default_of(Verdict::Allow),
            reason: Reason::Default,
            enforced: false,
        },
        body,
        hold: None,
    }
}
