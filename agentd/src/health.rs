//! Proof, not hope, that the kernel path denies: a canary operation that must fail is tried again and again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agentguard_api::report::Canary;

use crate::kernel::Kernel;

/// How often it is tried when nobody asks.
pub const CHECK_EVERY: Duration = Duration::from_secs(30);

/// Oldest proof that `status` shows.
pub const FRESH: Duration = Duration::from_secs(5);

/// The last proof.
pub struct Health {
    kernel: Arc<dyn Kernel>,
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl Health {
    /// Nothing is proved yet.
    pub fn new(kernel: Arc<dyn Kernel>) -> Self {
        Self { kernel, last: Mutex::new(None) }
    }

    /// The last proof, or a new one if that is older than `max_age`. Blocks for some milliseconds; one at a time.
    pub fn canary(&self, max_age: Duration) -> Canary {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, outcome) = match last.take() {
            Some((at, outcome)) if at.elapsed() < max_age => (at, outcome),
            before => (Instant::now(), self.attempt(before.is_none_or(|(_, outcome)| outcome.is_ok()))),
        };
        let canary = Canary {
            ok: outcome.is_ok(),
            age_ms: u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX),
            problem: outcome.clone().err(),
        };
        *last = Some((at, outcome));
        canary
    }

    /// The last proof as it is, for metrics.
    pub fn last(&self) -> Option<Canary> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|(at, outcome)| Canary {
            ok: outcome.is_ok(),
            age_ms: u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX),
            problem: outcome.clone().err(),
        })
    }

    fn attempt(&self, was_ok: bool) -> Result<(), String> {
        let outcome = match self.kernel.canary() {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err("an operation that must be denied was not denied: agents are not confined".to_owned())
            }
            Err(error) => Err(format!("the canary could not be tried: {error}")),
        };
        match &outcome {
            Err(problem) => tracing::error!("{problem}"),
            Ok(()) if !was_ok => tracing::info!("the canary is denied again: agents are confined"),
            Ok(()) => {}
        }
        outcome
    }
}
