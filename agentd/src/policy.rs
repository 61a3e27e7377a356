//! The policy in use, and the ones before it. Putting another into force for agents is [`crate::agents::registry`]'s job.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use agentguard_api::report::PolicyVersion;
use agentguard_audit::{Entry as AuditEntry, codes};
use agentguard_policy::history::{Cause, Entry, History, HistoryError};
use agentguard_policy::{PolicyErrors, PolicySet, Version};

use crate::audit::Audit;
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
    /// must stay governed, and a host without any good policy governs nobody. One that somebody went back from stays out of
    /// force, and so does another than before that can not be written down.
    pub fn start(folder: &Path, state_dir: &Path, audit: &Audit) -> Result<Self, PolicyFailure> {
        let history = History::open(&state_dir.join(HISTORY))?;
        let entries = history.entries()?;
        let mut set = match PolicySet::read(folder) {
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
        if let Some(by) = went_back_from(&entries, set.version())
            && let Some(kept) = last_good(&history)
        {
            tracing::warn!(
                "version {} of the policy, which is in {}, is not put into force: {by} went back from it to {}; correct it, or \
                 have it all the same: agentctl policy reload",
                set.version().short(),
                folder.display(),
                kept.version().short()
            );
            set = kept;
        }
        if let Some(before) = entries.first().filter(|before| before.version != *set.version()) {
            let entry = AuditEntry::new(codes::POLICY_HOTRELOAD, "agentd").detail(serde_json::json!({
                "cause": Cause::Start,
                "previous_sha256": before.version.hash(),
                "policy_sha256": set.version().hash(),
            }));
            match (audit.record(entry), last_good(&history)) {
                (Err(error), Some(kept)) => {
                    let (new, old) = (set.version().short().to_owned(), kept.version().short());
                    tracing::error!("{error}: version {old} of the policy stays in force, not {new}");
                    set = kept;
                }
                // There has to be one.
                (Err(error), None) => tracing::error!("{error}, but there is no policy from before"),
                (Ok(()), _) => {}
            }
        }
        let went_on = entries.first().is_some_and(|before| before.version == *set.version());
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

/// Who went back from this version, if that is how the one in force came to be.
fn went_back_from<'e>(entries: &'e [Entry], version: &Version) -> Option<&'e str> {
    match entries {
        [newest, before, ..] if newest.cause == Cause::Rollback && before.version == *version => {
            Some(&newest.by)
        }
        _ => None,
    }
}

fn last_good(history: &History) -> Option<PolicySet> {
    let newest = history.entries().ok()?.into_iter().next()?;
    PolicySet::load(history.files(&newest.version).ok()?).ok()
}

fn packs(version: &Version, history: &History) -> Vec<String> {
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

#[cfg(test)]
mod tests {
    use agentguard_audit::Options;

    use super::*;
    use crate::governance::open_audit;
    use crate::testing::{Home, OTHER_POLICY, POLICY};

    /// What the audit log has about policies: why, and which version.
    fn recorded(home: &Home) -> Vec<String> {
        let mut records: Vec<String> = std::fs::read_dir(home.state().join("audit"))
            .unwrap()
            .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        records.retain(|line| line.contains("POLICY_HOTRELOAD"));
        records
    }

    #[test]
    fn a_start_with_another_policy_is_recorded_and_one_with_the_same_is_not() {
        let home = Home::new();
        let first = home.policy_in_use();
        assert!(!first.went_on() && recorded(&home).is_empty());
        assert!(home.policy_in_use().went_on());
        home.write_policy(OTHER_POLICY);
        let other = home.policy_in_use();
        let records = recorded(&home);
        assert!(!other.went_on() && records.len() == 1, "{records:?}");
        assert!(records[0].contains(other.get().version().hash()) && records[0].contains(r#""start""#));
    }

    #[test]
    fn another_policy_that_can_not_be_recorded_does_not_come_into_force() {
        let home = Home::new();
        let before = home.policy_in_use().get().version().clone();
        home.write_policy(OTHER_POLICY);
        std::fs::rename(home.state().join("audit"), home.path().join("aside")).unwrap();
        std::fs::write(home.state().join("audit"), "no folder").unwrap();
        let policy = home.policy_in_use();
        assert!(policy.went_on() && *policy.get().version() == before);
    }

    #[test]
    fn a_policy_that_somebody_went_back_from_stays_out_of_force_until_it_changes() {
        let home = Home::new();
        home.policy_in_use();
        home.write_policy(OTHER_POLICY);
        let policy = home.policy_in_use();
        let earlier = Arc::new(policy.earlier(None).unwrap());
        policy.replace(earlier.clone(), Cause::Rollback, "root").unwrap();
        for _ in 0..2 {
            let restarted = home.policy_in_use();
            assert!(restarted.went_on() && restarted.get().version() == earlier.version());
        }
        home.write_policy(&format!("{OTHER_POLICY}\n# corrected\n"));
        assert_ne!(home.policy_in_use().get().version(), earlier.version());
        home.write_policy(POLICY);
        assert_eq!(home.policy_in_use().get().version(), earlier.version());
    }

    #[test]
    fn without_an_audit_log_the_first_policy_is_used_all_the_same() {
        let home = Home::new();
        std::fs::create_dir_all(home.state()).unwrap();
        std::fs::write(home.state().join("audit"), "no folder").unwrap();
        let audit = open_audit(&home.state(), Options::default());
        assert!(InUse::start(&home.policy(), &home.state(), &audit).is_ok());
    }
}
