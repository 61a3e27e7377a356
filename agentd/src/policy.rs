//! The policy in use, and the ones before it. Putting another into force for agents is [`crate::agents::registry`]'s job.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use agentguard_api::report::PolicyVersion;
use agentguard_policy::history::{Cause, Entry, History, HistoryError};
use agentguard_policy::{PolicyErrors, PolicySet};

use crate::clock;

/// Folder in the state directory.
const HISTORY: &str = "policy";

/// The policy that guardrails and findings come from now.
#[derive(Debug)]
pub struct InUse {
    set: RwLock<Arc<PolicySet>>,
    history: History,
    went_on: bool,
}

/// Why there is no policy to use.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFailure {
    /// It has mistakes.
    #[error(transparent)]
    Wrong(#[from] PolicyErrors),
    /// The history can not be used.
    #[error(transparent)]
    History(#[from] HistoryError),
}

impl InUse {
    /// Reads the policy. If it has mistakes, the last one that had none is used, loudly: an agent that is governed already
    /// must stay governed, and a host without any good policy governs nobody.
    pub fn start(folder: &Path, state_dir: &Path) -> Result<Self, PolicyFailure> {
        let history = History::open(&state_dir.join(HISTORY))?;
        let set = match PolicySet::read(folder) {
            Ok(set) => set,
            Err(errors) => match last_good(&history) {
                Some(set) => {
                    tracing::error!(
                        "the policy in {} has mistakes; version {} is used, which was in force before\n{errors}",
                        folder.display(),
                        set.version().short()
                    );
                    set
                }
                None => return Err(errors.into()),
            },
        };
        let before = history.entries()?.into_iter().next();
        let went_on = before.is_some_and(|before| before.version == *set.version());
        let policy = Self { set: RwLock::new(Arc::new(set)), history, went_on };
        policy.note(&policy.get(), Cause::Start, "agentd")?;
        Ok(policy)
    }

    /// Whether agentd started with the very policy that was in force before.
    pub fn went_on(&self) -> bool {
        self.went_on
    }

    /// What is in use.
    pub fn get(&self) -> Arc<PolicySet> {
        self.set.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Uses another one from now on, and writes that down.
    pub fn replace(&self, set: Arc<PolicySet>, cause: Cause, by: &str) -> Result<(), HistoryError> {
        self.note(&set, cause, by)?;
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = set;
        Ok(())
    }

    /// An earlier one, ready to be put into force.
    pub fn earlier(&self, version: Option<&str>) -> Result<PolicySet, HistoryError> {
        self.history.rollback(version)
    }

    /// Everything that was in force, newest first.
    pub fn history(&self) -> Result<Vec<PolicyVersion>, HistoryError> {
        let running = self.get();
        let entries = self.history.entries()?;
        Ok(entries
            .into_iter()
            .enumerate()
            .map(|(position, entry)| PolicyVersion {
                version: entry.version.short().to_owned(),
                running: position == 0 && entry.version == *running.version(),
                since_ns: entry.time_ns,
                packs: packs(&entry.version, &self.history),
                source: format!("{} by {}", cause(entry.cause), entry.by),
            })
            .collect())
    }

    /// The one in use, as `status` tells it.
    pub fn version(&self) -> PolicyVersion {
        let set = self.get();
        let newest = self.history.entries().ok().and_then(|entries| entries.into_iter().next());
        PolicyVersion {
            version: set.version().short().to_owned(),
            running: true,
            since_ns: newest.as_ref().map_or(0, |entry| entry.time_ns),
            packs: set.packs().map(str::to_owned).collect(),
            source: newest
                .map_or_else(String::new, |entry| format!("{} by {}", cause(entry.cause), entry.by)),
        }
    }

    fn note(&self, set: &PolicySet, cause: Cause, by: &str) -> Result<(), HistoryError> {
        let entry =
            Entry { version: set.version().clone(), time_ns: clock::wall_ns(), by: by.to_owned(), cause };
        self.history.activate(set, entry)
    }
}

fn last_good(history: &History) -> Option<PolicySet> {
    let newest = history.entries().ok()?.into_iter().next()?;
    PolicySet::load(history.files(&newest.version).ok()?).ok()
}

fn packs(version: &agentguard_policy::Version, history: &History) -> Vec<String> {
    let Ok(files) = history.files(version) else { return Vec::new() };
    let mut packs: Vec<String> =
        files.iter().filter_map(|(path, _)| path.split_once('/').map(|(pack, _)| pack.to_owned())).collect();
    packs.dedup();
    packs
}

fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Start => "start",
        Cause::Reload => "reload",
        Cause::Rollback => "rollback",
    }
}
