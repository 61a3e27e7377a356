//! The files of a policy, in memory, with the hash that names them.
//!
//! A policy is every `*.rego` file and the `data.json` of one directory tree. Everything else in it (specs,
//! documentation) is not policy. This module knows nothing about Rego.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{PolicyError, PolicyErrors};

/// Files of one policy; a set of hand-written rules stays far below.
const MAX_FILES: usize = 256;
/// Bytes of one file, as regorus allows by default.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Bytes of all files, so that a message and a stored version stay small.
const MAX_TOTAL_BYTES: u64 = 8 << 20;
/// Directories below the root: pack, and room for one level in a pack.
const MAX_DEPTH: usize = 3;
/// The only data document; its keys become `data.<key>`.
pub(crate) const DATA_FILE: &str = "data.json";

/// Name of a policy: SHA-256 over paths and contents.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(String);

/// Hex digits of a version as users see it.
const SHORT_VERSION: usize = 12;

impl Version {
    /// All 64 hex digits.
    pub fn hash(&self) -> &str {
        &self.0
    }

    /// The first 12 hex digits, which is how records and users name a version.
    pub fn short(&self) -> &str {
        self.0.get(..SHORT_VERSION).unwrap_or(&self.0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// A policy's files by path relative to its root, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyFiles {
    root: PathBuf,
    files: BTreeMap<String, String>,
}

impl PolicyFiles {
    /// Reads a directory. Names that begin with a dot are passed over, as editors and ConfigMaps leave them.
    ///
    /// # Errors
    /// When a file cannot be read, is not text, or a limit is passed.
    pub fn read(root: &Path) -> Result<Self, PolicyErrors> {
        let mut files = Self { root: root.to_path_buf(), files: BTreeMap::new() };
        files.read_directory(root, "", 0)?;
        if files.files.is_empty() {
            return Err(PolicyError::new(root, 0, "no policy here; expected <pack>/<pack>.rego").into());
        }
        Ok(files)
    }

    /// Takes files that travelled by content, such as a caller's directory. `root` only serves to name them.
    ///
    /// # Errors
    /// When a path leaves the root, is no policy file, appears twice, or a limit is passed.
    pub fn from_contents(
        root: &Path,
        contents: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, PolicyErrors> {
        let mut files = Self { root: root.to_path_buf(), files: BTreeMap::new() };
        for (path, content) in contents {
            if !is_plain_relative(&path) || !is_policy_file(&path) {
                let message = "is no policy file; a policy is made of *.rego files and data.json";
                return Err(PolicyError::new(files.shown(&path), 0, message).into());
            }
            files.insert(path, content)?;
        }
        if files.files.is_empty() {
            return Err(PolicyError::new(root, 0, "no policy here; expected <pack>/<pack>.rego").into());
        }
        Ok(files)
    }

    /// Paths relative to the root and contents, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, content)| (path.as_str(), content.as_str()))
    }

    /// One file.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// The hash over everything: for each file in order its path, its length and its content.
    pub fn version(&self) -> Version {
        let mut hash = Sha256::new();
        for (path, content) in self.iter() {
            hash.update(path.as_bytes());
            hash.update([0]);
            hash.update((content.len() as u64).to_le_bytes());
            hash.update(content.as_bytes());
        }
        Version(hex::encode(hash.finalize()))
    }

    /// A file as the user named it.
    pub(crate) fn shown(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn read_directory(&mut self, directory: &Path, prefix: &str, depth: usize) -> Result<(), PolicyErrors> {
        let failed =
            |error: std::io::Error| PolicyError::new(directory, 0, format!("cannot be read: {error}"));
        let mut names = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            match name.to_str() {
                Some(name) if !name.starts_with('.') => names.push(name.to_owned()),
                Some(_) | None => {}
            }
        }
        names.sort();
        for name in names {
            let path = directory.join(&name);
            let relative = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            let metadata = fs::metadata(&path)
                .map_err(|error| PolicyError::new(&path, 0, format!("cannot be read: {error}")))?;
            if metadata.is_dir() && depth < MAX_DEPTH {
                self.read_directory(&path, &relative, depth + 1)?;
            } else if metadata.is_file() && is_policy_file(&relative) {
                self.insert(relative, read_text(&path, metadata.len())?)?;
            }
        }
        Ok(())
    }

    fn insert(&mut self, path: String, content: String) -> Result<(), PolicyErrors> {
        let shown = self.shown(&path);
        let total: u64 = self.files.values().map(|content| content.len() as u64).sum();
        let size = content.len() as u64;
        let problem = if size > MAX_FILE_BYTES {
            Some(format!("is larger than {MAX_FILE_BYTES} bytes"))
        } else if total + size > MAX_TOTAL_BYTES {
            Some(format!("makes the policy larger than {MAX_TOTAL_BYTES} bytes"))
        } else if self.files.len() >= MAX_FILES {
            Some(format!("is one file too many; a policy has at most {MAX_FILES}"))
        } else if self.files.insert(path, content).is_some() {
            Some("is there twice".to_owned())
        } else {
            None
        };
        problem.map_or(Ok(()), |message| Err(PolicyError::new(shown, 0, message).into()))
    }
}

fn read_text(path: &Path, size: u64) -> Result<String, PolicyError> {
    if size > MAX_FILE_BYTES {
        return Err(PolicyError::new(path, 0, format!("is larger than {MAX_FILE_BYTES} bytes")));
    }
    fs::read_to_string(path).map_err(|error| PolicyError::new(path, 0, format!("cannot be read: {error}")))
}

fn is_policy_file(path: &str) -> bool {
    path == DATA_FILE || path.ends_with(".rego")
}

fn is_plain_relative(path: &str) -> bool {
    !path.contains(['\0', '\n']) && path.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(contents: &[(&str, &str)]) -> Result<PolicyFiles, PolicyErrors> {
        let owned = contents.iter().map(|(path, content)| ((*path).to_owned(), (*content).to_owned()));
        PolicyFiles::from_contents(Path::new("p"), owned)
    }

    #[test]
    fn the_version_does_not_depend_on_the_order_of_files() {
        let one = files(&[("a/a.rego", "package a"), ("b/b.rego", "package b")]).unwrap();
        let other = files(&[("b/b.rego", "package b"), ("a/a.rego", "package a")]).unwrap();
        assert_eq!(one.version(), other.version());
        assert_eq!(one.version().short().len(), SHORT_VERSION);
    }

    #[test]
    fn the_version_changes_with_a_byte_and_with_a_name() {
        let one = files(&[("a/a.rego", "package a")]).unwrap();
        assert_ne!(one.version(), files(&[("a/a.rego", "package a ")]).unwrap().version());
        assert_ne!(one.version(), files(&[("a/b.rego", "package a")]).unwrap().version());
    }

    #[test]
    fn a_path_that_leaves_the_root_is_refused() {
        for path in ["../a.rego", "/a.rego", "a//b.rego", "a/./b.rego", "a/../b.rego"] {
            assert!(files(&[(path, "package a")]).is_err(), "{path}");
        }
    }

    #[test]
    fn something_that_is_no_policy_is_refused_by_content_and_passed_over_in_a_directory() {
        assert!(files(&[("a/run.sh", "true")]).is_err());
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("a")).unwrap();
        fs::write(directory.path().join("a/a.rego"), "package agentguard.a").unwrap();
        fs::write(directory.path().join("a/README.md"), "words").unwrap();
        fs::write(directory.path().join("a/.a.rego.swp"), "junk").unwrap();
        let read = PolicyFiles::read(directory.path()).unwrap();
        assert_eq!(read.iter().map(|(path, _)| path).collect::<Vec<_>>(), ["a/a.rego"]);
    }

    #[test]
    fn a_directory_that_is_missing_or_empty_is_one_clear_line() {
        let directory = tempfile::tempdir().unwrap();
        let empty = PolicyFiles::read(directory.path()).unwrap_err().to_string();
        assert!(empty.contains("no policy here"), "{empty}");
        let missing = PolicyFiles::read(Path::new("/no/such/policy")).unwrap_err().to_string();
        assert!(missing.starts_with("/no/such/policy: cannot be read"), "{missing}");
    }

    #[test]
    fn a_file_that_is_too_large_is_refused() {
        let large = " ".repeat(usize::try_from(MAX_FILE_BYTES).unwrap() + 1);
        assert!(files(&[("a/a.rego", &large)]).unwrap_err().to_string().contains("larger"));
    }
}
