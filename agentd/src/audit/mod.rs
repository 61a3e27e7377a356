//! The audit log of this host, as the rest of agentd writes it: before something takes effect, or beside it.
//!
//! What must not happen unrecorded uses [`Audit::record`] and does not happen if that fails. Everything else uses
//! [`Audit::note`]: it is written when it can be, and counted when it cannot. Enforcement never waits for either.

mod decisions;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agentguard_audit::{AuditError, AuditLog, Entry, Options, Receipt, SignError, Signer};
use agentguard_governance::keys::KeyRing;

use crate::clock;

pub use decisions::Decisions;

/// How often batches are made durable.
pub const TICK: Duration = Duration::from_secs(1);

/// A log that cannot be written is told this often.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Something was not done because it could not be written down.
#[derive(Debug, thiserror::Error)]
#[error("the audit log can not be written, so nothing was changed: {0}")]
pub struct Unrecorded(String);

/// The log. Cheap to clone.
#[derive(Clone)]
pub struct Audit(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    keys: PathBuf,
    options: Options,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    log: Option<AuditLog>,
    problem: Option<String>,
    lost: u64,
    told: Option<Instant>,
}

/// Where the log stands, for status and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Newest record; absent while the log can not be opened.
    pub newest: Option<Receipt>,
    /// Records that could not be written since agentd started.
    pub lost: u64,
    /// Why it can not be written, while it can not.
    pub problem: Option<String>,
}

impl Audit {
    /// Opens the log. One that can not be opened is tried again whenever something is to be written.
    pub fn open(dir: &Path, keys: &Path, options: Options) -> Self {
        let audit = Self(Arc::new(Inner {
            dir: dir.to_owned(),
            keys: keys.to_owned(),
            options,
            state: Mutex::default(),
        }));
        let mut state = audit.state();
        if let Err(error) = audit.opened(&mut state) {
            audit.failed(&mut state, &error);
        }
        drop(state);
        audit
    }

    /// Writes a record down, for good.
    ///
    /// # Errors
    /// When it is not on disk. Whoever asked must not do what it was about to.
    pub fn record(&self, entry: Entry) -> Result<(), Unrecorded> {
        let mut state = self.state();
        let written =
            self.opened(&mut state).and_then(|log| log.append_durable(entry, clock::wall_ns()).map(drop));
        self.settle(&mut state, written)
    }

    /// Writes a record down if that is possible; it is on disk a moment later.
    pub fn note(&self, entry: Entry) {
        let mut state = self.state();
        let written = self.opened(&mut state).and_then(|log| log.append(entry, clock::wall_ns()).map(drop));
        // Counted and told; what it is about has happened already.
        let _ = self.settle(&mut state, written);
    }

    /// What time brings: durability of batches, rotation, retention.
    pub fn tick(&self) {
        let mut state = self.state();
        let ticked = self.opened(&mut state).and_then(|log| log.tick(clock::wall_ns(), clock::boot_ns()));
        match ticked {
            Ok(()) => state.problem = None,
            Err(error) => self.failed(&mut state, &error),
        }
    }

    /// Signs with the key that is in use now.
    pub fn sign_anew(&self) {
        let mut state = self.state();
        let keys = &self.0.keys;
        let signed =
            self.opened(&mut state).and_then(|log| log.set_signer(host_signer(keys)?, clock::wall_ns()));
        if let Err(error) = signed {
            self.failed(&mut state, &error);
        }
    }

    /// Ends the log in order.
    pub fn close(&self) {
        let log = self.state().log.take();
        if let Some(Err(error)) = log.map(|log| log.close(clock::wall_ns())) {
            tracing::error!(%error, "the audit log could not be closed in order");
        }
    }

    /// Where it stands.
    pub fn standing(&self) -> Standing {
        let state = self.state();
        let newest = state.log.as_ref().map(|log| log.newest().clone());
        Standing { newest, lost: state.lost, problem: state.problem.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened<'s>(&self, state: &'s mut State) -> Result<&'s mut AuditLog, AuditError> {
        let Inner { dir, keys, options, .. } = &*self.0;
        match &mut state.log {
            Some(log) => Ok(log),
            none => {
                let log = AuditLog::open(dir, options.clone(), host_signer(keys)?, clock::wall_ns())?;
                Ok(none.insert(log))
            }
        }
    }

    fn settle(&self, state: &mut State, written: Result<(), AuditError>) -> Result<(), Unrecorded> {
        match written {
            Ok(()) => {
                state.problem = None;
                Ok(())
            }
            Err(error) => {
                state.lost = state.lost.saturating_add(1);
                self.failed(state, &error);
                Err(Unrecorded(error.to_string()))
            }
        }
    }

    fn failed(&self, state: &mut State, error: &AuditError) {
        state.problem = Some(error.to_string());
        if state.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            state.told = Some(Instant::now());
            tracing::error!(%error, lost = state.lost,
                "the audit log in {} can not be written: nothing is started or promoted, enforcement goes on",
                self.0.dir.display());
        }
    }
}

/// Signs with the key that was in use when it was made.
struct HostSigner {
    id: String,
    ring: KeyRing,
}

impl Signer for HostSigner {
    fn key_id(&self) -> &str {
        &self.id
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signed = self.ring.sign(message).map(|(_, signature)| signature);
        signed.map_err(|error| SignError { key_id: self.id.clone(), why: error.to_string() })
    }
}

fn host_signer(keys: &Path) -> Result<Arc<dyn Signer>, AuditError> {
    let ring = crate::governance::ring(keys);
    let id = ring.active().map(ToString::to_string).unwrap_or_default();
    Ok(Arc::new(HostSigner { id, ring }))
}
