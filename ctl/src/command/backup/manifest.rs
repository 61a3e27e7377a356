//! What a backup holds, file by file: its first entry, and what a restore holds every other entry against.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Name of the manifest's own entry.
pub(crate) const NAME: &str = "manifest.json";

/// Counts the forms of backups. A newer one may hold what this version would lose.
pub(crate) const FORMAT: u32 = 1;

/// Largest manifest that is read: some hundred bytes a file.
pub(crate) const MAX_BYTES: u64 = 256 << 20;

/// Names of the folders, as entries begin with them.
pub(crate) const STATE: &str = "state";
pub(crate) const CONFIG: &str = "config";
pub(crate) const POLICIES: &str = "policies";

/// Everything about a backup but its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    /// Version of AgentGuard that made it.
    pub(crate) product: String,
    pub(crate) host: String,
    /// RFC 3339.
    pub(crate) time: String,
    /// Whether secrets are in it.
    pub(crate) with_keys: bool,
    /// Where on a host the folders belong.
    pub(crate) folders: BTreeMap<String, PathBuf>,
    /// In the order of the archive: a folder before what is in it.
    pub(crate) entries: Vec<Entry>,
    /// Files with secrets that are on the host and not in it.
    pub(crate) left_out: Vec<String>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// `state/agents/coder/agent.json`.
    pub(crate) path: String,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    #[serde(flatten)]
    pub(crate) what: What,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum What {
    Folder,
    File { bytes: u64, sha256: String },
    Link { target: PathBuf },
}

impl Manifest {
    /// What keeps it from being put back.
    pub(crate) fn mistake(&self) -> Option<String> {
        if let Some((name, path)) = self.folders.iter().find(|(name, path)| {
            !is_plain(Path::new(name), 1)
                || !path.is_absolute()
                || path.components().count() < 3
                || path.components().any(|part| part == Component::ParentDir)
        }) {
            return Some(format!("its folder {name} does not belong at {}", path.display()));
        }
        let mut kinds: BTreeMap<&str, bool> = BTreeMap::new();
        for entry in &self.entries {
            let path = Path::new(&entry.path);
            let parent = path.parent().and_then(Path::to_str).unwrap_or_default();
            let below_folder = kinds.get(parent).copied().unwrap_or(false);
            let is_root = self.folders.contains_key(&entry.path) && entry.what == What::Folder;
            if !is_plain(path, usize::MAX) || !(is_root || below_folder) {
                return Some(format!("its entry {} has no place", entry.path));
            }
            if kinds.insert(&entry.path, entry.what == What::Folder).is_some() {
                return Some(format!("its entry {} is there twice", entry.path));
            }
        }
        let missing = self.folders.keys().find(|name| !kinds.contains_key(name.as_str()));
        missing.map(|name| format!("its folder {name} is missing"))
    }

    /// The name of a folder and the path in it.
    pub(crate) fn place<'p>(&self, path: &'p str) -> Option<(&Path, &'p str)> {
        let (folder, rest) = path.split_once('/').unwrap_or((path, ""));
        self.folders.get(folder).map(|place| (place.as_path(), rest))
    }

    /// How many agents are registered in it.
    pub(crate) fn agents(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| {
                entry.what == What::Folder
                    && entry.path.strip_prefix("state/agents/").is_some_and(|name| !name.contains('/'))
            })
            .count()
    }

    /// How many files, and of how many bytes.
    pub(crate) fn files(&self) -> (usize, u64) {
        self.entries.iter().fold((0, 0), |(files, sum), entry| match entry.what {
            What::File { bytes, .. } => (files + 1, sum + bytes),
            What::Folder | What::Link { .. } => (files, sum),
        })
    }
}

/// Only names, at most so many.
fn is_plain(path: &Path, most: usize) -> bool {
    let mut count = 0;
    let plain = path.components().all(|part| {
        count += 1;
        matches!(part, Component::Normal(_))
    });
    plain
        && count > 0
        && count <= most
        && path.to_str().is_some_and(|text| !text.contains("//") && !text.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(path: &str) -> Entry {
        Entry { path: path.to_owned(), mode: 0o700, uid: 0, gid: 0, what: What::Folder }
    }

    fn file(path: &str) -> Entry {
        let what = What::File { bytes: 1, sha256: "00".to_owned() };
        Entry { path: path.to_owned(), mode: 0o600, uid: 0, gid: 0, what }
    }

    fn manifest(entries: Vec<Entry>) -> Manifest {
        Manifest {
            format: FORMAT,
            product: "0.1.0".to_owned(),
            host: "h".to_owned(),
            time: "2026-03-01T12:00:00Z".to_owned(),
            with_keys: false,
            folders: [(STATE.to_owned(), "/var/lib/agentguard".into())].into(),
            entries,
            left_out: Vec::new(),
        }
    }

    #[test]
    fn entries_have_a_place_below_a_folder() {
        let good = manifest(vec![
            folder("state"),
            folder("state/agents"),
            folder("state/agents/a"),
            file("state/x"),
        ]);
        assert_eq!(good.mistake(), None);
        assert_eq!((good.agents(), good.files()), (1, (1, 1)));
        assert_eq!(good.place("state/agents/a"), Some((Path::new("/var/lib/agentguard"), "agents/a")));
        for entries in [
            vec![],
            vec![folder("state"), file("state/../x")],
            vec![folder("state"), file("/etc/passwd")],
            vec![folder("state"), file("state/a/x")],
            vec![folder("state"), file("state/a"), file("state/a/x")],
            vec![folder("state"), file("state/a"), file("state/a")],
            vec![folder("state"), file("other/x")],
            vec![file("state")],
        ] {
            assert!(manifest(entries.clone()).mistake().is_some(), "{entries:?}");
        }
    }

    #[test]
    fn nothing_goes_into_a_link() {
        let link = Entry { what: What::Link { target: "/etc".into() }, ..folder("state/l") };
        assert!(manifest(vec![folder("state"), link, file("state/l/x")]).mistake().is_some());
    }

    #[test]
    fn a_folder_belongs_to_no_top_of_the_tree() {
        for place in ["/", "/etc", "etc/agentguard", "/var/../etc"] {
            let mut manifest = manifest(vec![folder("state")]);
            manifest.folders.insert(STATE.to_owned(), place.into());
            assert!(manifest.mistake().is_some(), "{place}");
        }
    }
}
