//! Proof, not hope, that the kernel path denies: a canary operation that must fail is tried again and again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agentguard_api::report::Canary;

use crate::kernel::Kernel;

/// How often it is tried when nobody asks.
pub const CHECK_EVERY: Duration = Duration::from_secs(30);

/// systemd is told of life only as long as a proof is not older than this: two tries may be late, on a host under load.
const LIFE: Duration = Duration::from_secs(90);

/// Oldest proof that `status` shows.
pub const FRESH: Duration = Duration::from_secs(5);

/// The last proof.
pub struct Health {
    kernel: Arc<dyn Kernel>,
    last: Mutex<Option<(Instant, Result<(), String>)>>,
    /// Of its own, so that a try that hangs can be told from outside.
    proved: Mutex<Option<Instant>>,
}

impl Health {
    /// Nothing is proved yet.
    pub fn new(kernel: Arc<dyn Kernel>) -> Self {
        Self { kernel, last: Mutex::default(), proved: Mutex::default() }
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

    fn proved(&self) -> MutexGuard<'_, Option<Instant>> {
        self.proved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the kernel was seen to deny a moment ago. While it was not, agentd must not look alive.
    pub fn is_proved(&self) -> bool {
        self.proved().is_some_and(|proved| proved.elapsed() < LIFE)
    }

    fn attempt(&self, was_ok: bool) -> Result<(), String> {
        let outcome = match self.kernel.canary() {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err("an operation that must be denied was not denied: agents are not confined".to_owned())
            }
            Err(error) => Err(format!("the canary could not be tried: {error}")),
        };
        *self.proved() = outcome.is_ok().then(Instant::now);
        match &outcome {
            Err(problem) => tracing::error!("{problem}"),
            Ok(()) if !was_ok => tracing::info!("the canary is denied again: agents are confined"),
            Ok(()) => {}
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fake::Fake;

    #[test]
    fn there_is_life_only_after_a_proof_and_none_after_a_canary_that_went_through() {
        let kernel = Arc::new(Fake::default());
        let health = Health::new(kernel.clone());
        assert!(!health.is_proved());
        assert!(health.canary(Duration::ZERO).ok);
        assert!(health.is_proved());
        kernel.state().canary_goes_through = true;
        assert!(!health.canary(Duration::ZERO).ok);
        assert!(!health.is_proved());
    }
}
