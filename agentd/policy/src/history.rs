//! The policies that were in force, kept on disk, so that any of them can be put in force again.
//!
//! `<root>/<hash>/…` holds the files of a version, `<root>/history.json` who put which in force and when. Both are
//! written beside their place, flushed and renamed: after a crash there is the old state or the new one. A stored
//! version that no longer has its hash is refused. Putting a policy in force is the caller's business, and comes
//! before [`History::activate`].

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::PolicyErrors;
use crate::files::{PolicyFiles, Version};
use crate::set::PolicySet;

/// Activations that are kept, and with them their versions.
pub const MAX_ENTRIES: usize = 50;
/// The list of activations, newest first.
const LIST: &str = "history.json";
/// Begins the name of what is not complete yet.
const PARTIAL: &str = ".partial-";
/// Hex digits that are enough to name a version.
const MIN_PREFIX: usize = 4;

/// One activation of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Which policy.
    pub version: Version,
    /// Wall clock, nanoseconds since 1970.
    pub time_ns: u64,
    /// Who asked: `uid 0 (root)`, `agentd`.
    pub by: String,
    /// Why.
    pub cause: Cause,
}

/// Why a policy was put in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// agentd started with it.
    Start,
    /// Read again from its directory.
    Reload,
    /// Taken from this history.
    Rollback,
}

/// What can go wrong with the history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The disk.
    #[error("{path}: {source}")]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The list is not what was written.
    #[error("{path}: the policy history is damaged: {source}; move the file away to begin a new one")]
    List {
        /// The file.
        path: PathBuf,
        /// What JSON said.
        #[source]
        source: serde_json::Error,
    },
    /// A stored version is not what was written.
    #[error("{path}: the stored policy does not have the hash in its name; it is not used")]
    Changed {
        /// Its directory.
        path: PathBuf,
    },
    /// A stored version does not load, for example after an upgrade.
    #[error("the stored policy cannot be used:\n{0}")]
    Policy(#[from] PolicyErrors),
    /// No such version.
    #[error("no policy `{0}` in the history; `agentctl policy history` lists them")]
    Unknown(String),
    /// Too few digits.
    #[error("`{0}` names more than one policy in the history; write more of it")]
    Ambiguous(String),
    /// There was never another policy.
    #[error("there is no earlier policy to go back to")]
    NothingEarlier,
}

/// The history in one directory. One process at a time may write it.
#[derive(Debug, Clone)]
pub struct History {
    root: PathBuf,
}

impl History {
    /// Opens or creates the directory and clears away what an earlier crash left half written.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub fn open(root: &Path) -> Result<Self, HistoryError> {
        fs::create_dir_all(root).map_err(at(root))?;
        for entry in fs::read_dir(root).map_err(at(root))? {
            let path = entry.map_err(at(root))?.path();
            if file_name(&path).starts_with(PARTIAL) {
                remove(&path)?;
            }
        }
        Ok(Self { root: root.to_path_buf() })
    }

    /// Activations, newest first.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>, HistoryError> {
        let path = self.root.join(LIST);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|source| HistoryError::List { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(at(&path)(error)),
        }
    }

    /// Writes down that a policy is in force, and keeps its files. Nothing is added when it was in force already.
    ///
    /// # Errors
    /// When the disk refuses; then the history is as it was.
    pub fn activate(&self, set: &PolicySet, entry: Entry) -> Result<(), HistoryError> {
        let mut entries = self.entries()?;
        self.keep(set.files())?;
        if entries.first().is_some_and(|newest| newest.version == entry.version) {
            return Ok(());
        }
        entries.insert(0, entry);
        entries.truncate(MAX_ENTRIES);
        let list = serde_json::to_vec_pretty(&entries)
            .map_err(|source| HistoryError::List { path: self.root.join(LIST), source })?;
        let partial = self.root.join(format!("{PARTIAL}{LIST}"));
        write_flushed(&partial, &list)?;
        self.publish(&partial, LIST)?;
        self.forget_unlisted(&entries)
    }

    /// Loads the policy to go back to: the one named by the first digits of its version, else the last one before
    /// the newest that was another. The caller puts it in force and then calls [`Self::activate`].
    ///
    /// # Errors
    /// When there is none, or the stored one cannot be used any more.
    pub fn rollback(&self, to: Option<&str>) -> Result<PolicySet, HistoryError> {
        let entries = self.entries()?;
        let version = match to {
            Some(name) => find(&entries, name)?,
            None => {
                let newest = entries.first().map(|entry| &entry.version);
                let earlier =
                    entries.iter().map(|entry| &entry.version).find(|version| Some(*version) != newest);
                earlier.ok_or(HistoryError::NothingEarlier)?
            }
        };
        Ok(PolicySet::load(self.files(version)?)?)
    }

    /// The files of a stored version.
    ///
    /// # Errors
    /// When they are not there or are not what was stored.
    pub fn files(&self, version: &Version) -> Result<PolicyFiles, HistoryError> {
        let path = self.root.join(version.hash());
        let files = PolicyFiles::read(&path)?;
        if files.version() == *version { Ok(files) } else { Err(HistoryError::Changed { path }) }
    }

    /// Stores files under their hash, unless they are there and whole.
    fn keep(&self, files: &PolicyFiles) -> Result<(), HistoryError> {
        let version = files.version();
        if self.files(&version).is_ok() {
            return Ok(());
        }
        let partial = self.root.join(format!("{PARTIAL}{}", version.hash()));
        remove(&partial)?;
        for (path, content) in files.iter() {
            let path = partial.join(path);
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory).map_err(at(directory))?;
            }
            write_flushed(&path, content.as_bytes())?;
        }
        for directory in directories(files, &partial) {
            flush_directory(&directory)?;
        }
        remove(&self.root.join(version.hash()))?;
        self.publish(&partial, version.hash())
    }

    fn publish(&self, partial: &Path, name: &str) -> Result<(), HistoryError> {
        let path = self.root.join(name);
        fs::rename(partial, &path).map_err(at(&path))?;
        flush_directory(&self.root)
    }

    fn forget_unlisted(&self, entries: &[Entry]) -> Result<(), HistoryError> {
        let listed: BTreeSet<&str> = entries.iter().map(|entry| entry.version.hash()).collect();
        for entry in fs::read_dir(&self.root).map_err(at(&self.root))? {
            let path = entry.map_err(at(&self.root))?.path();
            let name = file_name(&path);
            if name != LIST && !listed.contains(name) {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

fn find<'e>(entries: &'e [Entry], name: &str) -> Result<&'e Version, HistoryError> {
    let named: BTreeSet<&Version> = entries
        .iter()
        .map(|entry| &entry.version)
        .filter(|version| name.len() >= MIN_PREFIX && version.hash().starts_with(name))
        .collect();
    match named.first() {
        None => Err(HistoryError::Unknown(name.to_owned())),
        Some(_) if named.len() > 1 => Err(HistoryError::Ambiguous(name.to_owned())),
        Some(version) => Ok(version),
    }
}

fn directories(files: &PolicyFiles, root: &Path) -> BTreeSet<PathBuf> {
    let parents = files.iter().filter_map(|(path, _)| root.join(path).parent().map(Path::to_path_buf));
    parents.chain([root.to_path_buf()]).collect()
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn write_flushed(path: &Path, content: &[u8]) -> Result<(), HistoryError> {
    let mut file = File::create(path).map_err(at(path))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(at(path))
}

fn flush_directory(path: &Path) -> Result<(), HistoryError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(at(path))
}

fn remove(path: &Path) -> Result<(), HistoryError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> HistoryError {
    let path = path.to_path_buf();
    move |source| HistoryError::Io { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(reason: &str) -> PolicySet {
        let source = format!(
            "package agentguard.a\nguardrails contains {{\"id\": \"k\", \"class\": \"kernel\", \"verdict\": \"deny\", \
             \"severity\": \"HIGH\", \"reason\": \"{reason}\"}}\n"
        );
        let files = [("a/a.rego".to_owned(), source)];
        PolicySet::load(PolicyFiles::from_contents(Path::new("p"), files).unwrap()).unwrap()
    }

    fn activate(history: &History, set: &PolicySet, time_ns: u64) {
        let version = set.version().clone();
        let entry = Entry { version, time_ns, by: "uid 0 (root)".to_owned(), cause: Cause::Reload };
        history.activate(set, entry).unwrap();
    }

    fn versions(history: &History) -> usize {
        let names = fs::read_dir(&history.root).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.is_dir()).count()
    }

    #[test]
    fn goes_back_to_the_policy_before_and_to_a_named_one() {
        let state = tempfile::tempdir().unwrap();
        let history = History::open(&state.path().join("policy")).unwrap();
        let [one, two, three] = [set("one"), set("two"), set("three")];
        for (time, set) in [&one, &two, &three].into_iter().enumerate() {
            activate(&history, set, time as u64);
        }
        assert_eq!(history.rollback(None).unwrap().version(), two.version());
        let named = history.rollback(Some(one.version().short())).unwrap();
        assert_eq!(named.files().iter().collect::<Vec<_>>(), one.files().iter().collect::<Vec<_>>());
        activate(&history, &named, 9);
        assert_eq!(history.entries().unwrap().len(), 4);
        assert_eq!(history.rollback(None).unwrap().version(), three.version());
    }

    #[test]
    fn there_is_nothing_to_go_back_to_at_first() {
        let state = tempfile::tempdir().unwrap();
        let history = History::open(state.path()).unwrap();
        assert!(matches!(history.rollback(None), Err(HistoryError::NothingEarlier)));
        activate(&history, &set("one"), 1);
        assert!(matches!(history.rollback(None), Err(HistoryError::NothingEarlier)));
        assert!(matches!(history.rollback(Some("beef")), Err(HistoryError::Unknown(_))));
        assert!(matches!(history.rollback(Some("")), Err(HistoryError::Unknown(_))));
    }

    #[test]
    fn a_policy_that_is_in_force_already_is_not_listed_again() {
        let state = tempfile::tempdir().unwrap();
        let history = History::open(state.path()).unwrap();
        let one = set("one");
        for time in 0..3 {
            activate(&history, &one, time);
        }
        assert_eq!(history.entries().unwrap().len(), 1);
    }

    #[test]
    fn only_the_last_activations_and_their_files_are_kept() {
        let state = tempfile::tempdir().unwrap();
        let history = History::open(state.path()).unwrap();
        for time in 0..MAX_ENTRIES + 3 {
            activate(&history, &set(&format!("policy {time}")), time as u64);
        }
        let entries = history.entries().unwrap();
        assert_eq!((entries.len(), versions(&history)), (MAX_ENTRIES, MAX_ENTRIES));
        assert_eq!(entries.first().map(|entry| entry.time_ns), Some(MAX_ENTRIES as u64 + 2));
    }

    #[test]
    fn a_stored_policy_that_was_changed_is_refused_and_mended_when_activated_again() {
        let state = tempfile::tempdir().unwrap();
        let history = History::open(state.path()).unwrap();
        let [one, two] = [set("one"), set("two")];
        activate(&history, &one, 1);
        activate(&history, &two, 2);
        fs::write(state.path().join(one.version().hash()).join("a/a.rego"), "package agentguard.a").unwrap();
        assert!(matches!(history.rollback(None), Err(HistoryError::Changed { .. })));
        activate(&history, &one, 3);
        assert!(history.files(one.version()).is_ok());
    }

    #[test]
    fn what_a_crash_left_behind_is_cleared_away() {
        let state = tempfile::tempdir().unwrap();
        fs::create_dir(state.path().join(".partial-abc")).unwrap();
        fs::write(state.path().join(".partial-history.json"), "[").unwrap();
        let history = History::open(state.path()).unwrap();
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
        assert_eq!(history.entries().unwrap(), []);
    }

    #[test]
    fn a_damaged_list_is_one_clear_line() {
        let state = tempfile::tempdir().unwrap();
        let history = History::open(state.path()).unwrap();
        fs::write(state.path().join(LIST), "[{").unwrap();
        let error = history.entries().unwrap_err().to_string();
        assert!(error.contains("the policy history is damaged"), "{error}");
    }
}
