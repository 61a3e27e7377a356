//! The register: the agents of this host that have a name, a spec and a state. One private folder per agent.
//!
//! ```text
//! agents/NAME/agent.json        state, revision, times
//!             spec.toml         the spec as it is now
//!             proof.json        the proof, while it is promoted
//!             revisions/N.toml  every spec that it had
//!             history.ndjson    what became of it, a line each
//! ```
//!
//! It keeps what it is told. Whether any of it is right is [`crate::admission`]'s question, at every start.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::admission::FoundProof;
use crate::files::{self, FileError};
use crate::proof::Envelope;
use crate::state::{Standing, State};

/// Registered agents of one host. Ten times what can run at once.
pub const MAX_AGENTS: usize = 10_000;
/// Specs that are kept of one agent, the newest.
const MAX_REVISIONS: u32 = 100;
/// A longer history loses its older half. The audit log has it, too.
const MAX_HISTORY_BYTES: u64 = 1 << 20;

const ENTRY: &str = "agent.json";
const SPEC: &str = "spec.toml";
const PROOF: &str = "proof.json";
const HISTORY: &str = "history.ndjson";
const REVISIONS: &str = "revisions";

/// An agent as it is registered. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Name, unique on the host.
    pub name: String,
    /// Where it stands.
    #[serde(flatten)]
    pub standing: Standing,
    /// Why it is restricted or invalidated; empty otherwise.
    #[serde(default)]
    pub reason: String,
    /// Counts its specs, from 1.
    pub revision: u32,
    /// How it was made: `template coding-agent`, `import claude settings.json`.
    #[serde(default)]
    pub origin: String,
    /// Values of the spec's variables that a start does not have to give.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// When it was registered.
    pub created_sec: u64,
    /// By whom: `uid 1000 (alice)`.
    pub created_by: String,
    /// That user, who may change it while it is in the sandbox.
    pub created_uid: u32,
    /// When anything about it changed.
    pub updated_sec: u64,
    /// In the sandbox it starts until then.
    pub sandbox_until_sec: u64,
}

/// One line of an agent's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Seconds since 1970.
    pub time_sec: u64,
    /// Who did it.
    pub by: String,
    /// What happened: a code of the audit log.
    pub code: String,
    /// Where it stands since.
    pub state: State,
    /// The spec that it has since.
    pub revision: u32,
    /// Hash of that spec.
    pub spec_sha256: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Everything about one agent, as it is on disk.
#[derive(Debug, Clone)]
pub struct Stored {
    /// As it is registered.
    pub entry: Entry,
    /// Text of its spec.
    pub spec: String,
    /// Its proof.
    pub proof: FoundProof,
}

/// Why the register did not do something. One line.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nobody of that name.
    #[error("there is no registered agent {0}; agentctl agent list shows them")]
    Unknown(String),
    /// The name is taken.
    #[error("there is a registered agent {0} already; choose another name")]
    Taken(String),
    /// What is stored is not an agent.
    #[error("{}: damaged: {why}; restore it, or: agentctl agent delete", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Too many.
    #[error("{MAX_AGENTS} agents are registered, which is the most")]
    Full,
    /// No such revision.
    #[error("agent {0} has no revision {1}; agentctl agent history shows them")]
    NoRevision(String, u32),
}

/// The folder of registered agents. One process at a time may write it.
#[derive(Debug, Clone)]
pub struct Register {
    root: PathBuf,
}

impl Entry {
    /// A new agent in the sandbox.
    pub fn new(name: &str, by: &str, uid: u32, now_sec: u64, sandbox_until_sec: u64) -> Self {
        Self {
            name: name.to_owned(),
            standing: Standing::SANDBOX,
            reason: String::new(),
            revision: 1,
            origin: String::new(),
            variables: BTreeMap::new(),
            created_sec: now_sec,
            created_by: by.to_owned(),
            created_uid: uid,
            updated_sec: now_sec,
            sandbox_until_sec,
        }
    }
}

impl Register {
    /// Opens or makes the folder.
    ///
    /// # Errors
    /// When it can not be made.
    pub fn open(root: &Path) -> Result<Self, RegisterError> {
        files::folder(root)?;
        Ok(Self { root: root.to_owned() })
    }

    /// Names, in order.
    ///
    /// # Errors
    /// When the folder can not be read.
    pub fn names(&self) -> Result<Vec<String>, RegisterError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(files::at(&self.root))? {
            let entry = entry.map_err(files::at(&self.root))?;
            let name = entry.file_name().into_string();
            // What is half made begins with a dot.
            if let Ok(name) = name
                && !name.starts_with('.')
                && entry.file_type().is_ok_and(|kind| kind.is_dir())
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Whether there is one of this name, readable or not.
    pub fn has(&self, name: &str) -> bool {
        is_plain(name) && self.root.join(name).is_dir()
    }

    /// One agent. A proof that can not be read is as good as none, and no error.
    ///
    /// # Errors
    /// When there is none, or its entry or spec can not be read.
    pub fn load(&self, name: &str) -> Result<Stored, RegisterError> {
        let entry = self.entry(name)?;
        let path = self.file(name, SPEC);
        let spec = files::read(&path)?
            .ok_or_else(|| RegisterError::Damaged { path, why: "it is missing".to_owned() })?;
        Ok(Stored { entry, spec, proof: self.proof(name) })
    }

    /// One agent without its spec and proof.
    ///
    /// # Errors
    /// When there is none, or what is stored is not one.
    pub fn entry(&self, name: &str) -> Result<Entry, RegisterError> {
        if !self.has(name) {
            return Err(RegisterError::Unknown(name.to_owned()));
        }
        let path = self.file(name, ENTRY);
        let damaged = |why: String| RegisterError::Damaged { path: path.clone(), why };
        let text = files::read(&path)?.ok_or_else(|| damaged("it is missing".to_owned()))?;
        let entry: Entry = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if entry.name != name {
            return Err(damaged(format!("it is of the agent {}", entry.name)));
        }
        Ok(entry)
    }

    /// What is where an agent's proof should be.
    pub fn proof(&self, name: &str) -> FoundProof {
        let text = match files::read(&self.file(name, PROOF)) {
            Ok(Some(text)) => text,
            Ok(None) => return FoundProof::Missing,
            Err(error) => return FoundProof::Unreadable(error.to_string()),
        };
        let read = Envelope::parse(&text).and_then(|envelope| {
            let proof = Box::new(envelope.proof()?);
            Ok(FoundProof::Read { envelope, proof })
        });
        read.unwrap_or_else(|error| FoundProof::Unreadable(error.to_string()))
    }

    /// Whether one more of this name could be registered.
    ///
    /// # Errors
    /// When the name is taken, or there are too many.
    pub fn has_room(&self, name: &str) -> Result<(), RegisterError> {
        if !is_plain(name) || self.has(name) {
            return Err(RegisterError::Taken(name.to_owned()));
        }
        if self.names()?.len() >= MAX_AGENTS { Err(RegisterError::Full) } else { Ok(()) }
    }

    /// Registers an agent, whole or not at all.
    ///
    /// # Errors
    /// When the name is taken, there are too many, or the disk refuses.
    pub fn create(&self, entry: &Entry, spec: &str) -> Result<(), RegisterError> {
        let name = &entry.name;
        self.has_room(name)?;
        let partial = self.root.join(format!(".{name}"));
        remove_folder(&partial)?;
        files::folder(&partial.join(REVISIONS))?;
        files::write(&partial.join(SPEC), spec.as_bytes())?;
        files::write(&partial.join(REVISIONS).join(revision_file(entry.revision)), spec.as_bytes())?;
        files::write(&partial.join(ENTRY), &text_of(entry))?;
        let path = self.root.join(name);
        fs::rename(&partial, &path).map_err(files::at(&path))?;
        Ok(())
    }

    /// Writes what changed about an agent.
    ///
    /// # Errors
    /// When the disk refuses; then it is as it was.
    pub fn put(&self, entry: &Entry) -> Result<(), RegisterError> {
        Ok(files::write(&self.file(&entry.name, ENTRY), &text_of(entry))?)
    }

    /// Another spec, under the entry's revision. The proof goes first: no moment has the new spec and an old proof.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put_spec(&self, entry: &Entry, spec: &str) -> Result<(), RegisterError> {
        let name = &entry.name;
        self.remove_proof(name)?;
        let revisions = self.file(name, REVISIONS);
        files::folder(&revisions)?;
        files::write(&revisions.join(revision_file(entry.revision)), spec.as_bytes())?;
        files::write(&self.file(name, SPEC), spec.as_bytes())?;
        self.put(entry)?;
        if let Some(old) = entry.revision.checked_sub(MAX_REVISIONS) {
            files::remove(&revisions.join(revision_file(old)))?;
        }
        Ok(())
    }

    /// Stores a proof.
    ///
    /// # Errors
    /// When the disk refuses; then the one before is still there.
    pub fn put_proof(&self, name: &str, envelope: &Envelope) -> Result<(), RegisterError> {
        Ok(files::write(&self.file(name, PROOF), envelope.text().as_bytes())?)
    }

    /// Takes the proof away.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remove_proof(&self, name: &str) -> Result<(), RegisterError> {
        Ok(files::remove(&self.file(name, PROOF))?)
    }

    /// Forgets an agent.
    ///
    /// # Errors
    /// When there is none, or the disk refuses.
    pub fn delete(&self, name: &str) -> Result<(), RegisterError> {
        if !self.has(name) {
            return Err(RegisterError::Unknown(name.to_owned()));
        }
        // Out of sight in one step; a crash leaves something that the next agent of this name clears away.
        let (path, partial) = (self.root.join(name), self.root.join(format!(".{name}")));
        remove_folder(&partial)?;
        fs::rename(&path, &partial).map_err(files::at(&path))?;
        remove_folder(&partial)
    }

    /// A spec that it had.
    ///
    /// # Errors
    /// When there is no such revision.
    pub fn revision(&self, name: &str, number: u32) -> Result<String, RegisterError> {
        let path = self.file(name, REVISIONS).join(revision_file(number));
        files::read(&path)?.ok_or_else(|| RegisterError::NoRevision(name.to_owned(), number))
    }

    /// Adds to an agent's history.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn note(&self, name: &str, step: &Step) -> Result<(), RegisterError> {
        let (path, line) = (self.file(name, HISTORY), serde_json::to_string(step).unwrap_or_default());
        if fs::metadata(&path).is_ok_and(|meta| meta.len() > MAX_HISTORY_BYTES) {
            let text = files::read(&path)?.unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let newer = lines.get(lines.len() / 2..).unwrap_or_default().join("\n");
            files::write(&path, format!("{newer}\n").as_bytes())?;
        }
        Ok(files::append(&path, &line)?)
    }

    /// What became of it, oldest first. A line that can not be read is left out: the audit log has it, too.
    ///
    /// # Errors
    /// When the file can not be read.
    pub fn history(&self, name: &str) -> Result<Vec<Step>, RegisterError> {
        let text = files::read(&self.file(name, HISTORY))?.unwrap_or_default();
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    fn file(&self, name: &str, file: &str) -> PathBuf {
        self.root.join(name).join(file)
    }
}

/// Names of agents, and so of folders: nothing that leads elsewhere.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
}

fn revision_file(number: u32) -> String {
    format!("{number:04}.toml")
}

fn text_of(entry: &Entry) -> Vec<u8> {
    serde_json::to_vec_pretty(entry).unwrap_or_default()
}

fn remove_folder(path: &Path) -> Result<(), RegisterError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(files::at(path)(error).into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register() -> (tempfile::TempDir, Register) {
        let home = tempfile::tempdir().unwrap();
        let register = Register::open(&home.path().join("agents")).unwrap();
        (home, register)
    }

    #[test]
    fn an_agent_is_there_whole_and_gone_whole() {
        let (home, register) = register();
        let entry = Entry::new("a", "alice", 1000, 1, 2);
        register.create(&entry, "spec 1").unwrap();
        assert!(matches!(register.create(&entry, "x"), Err(RegisterError::Taken(_))));
        let stored = register.load("a").unwrap();
        assert_eq!(
            (stored.entry, stored.spec.as_str(), stored.proof),
            (entry.clone(), "spec 1", FoundProof::Missing)
        );
        let next = Entry { revision: 2, ..entry };
        register.put_spec(&next, "spec 2").unwrap();
        assert_eq!(register.load("a").unwrap().spec, "spec 2");
        assert_eq!(register.revision("a", 1).unwrap(), "spec 1");
        assert!(matches!(register.revision("a", 3), Err(RegisterError::NoRevision(..))));
        assert_eq!(register.names().unwrap(), ["a"]);
        register.delete("a").unwrap();
        assert!(register.names().unwrap().is_empty());
        assert!(matches!(register.load("a"), Err(RegisterError::Unknown(_))));
        assert_eq!(fs::read_dir(home.path().join("agents")).unwrap().count(), 0);
    }

    #[test]
    fn names_lead_nowhere_else() {
        let (_home, register) = register();
        for name in ["..", ".", "a/b", "", ".a"] {
            assert!(register.create(&Entry::new(name, "x", 0, 1, 2), "").is_err(), "{name}");
            assert!(matches!(register.load(name), Err(RegisterError::Unknown(_))), "{name}");
            assert!(register.delete(name).is_err(), "{name}");
        }
    }

    #[test]
    fn what_is_damaged_is_named_and_can_be_deleted() {
        let (home, register) = register();
        register.create(&Entry::new("a", "x", 0, 1, 2), "spec").unwrap();
        register.create(&Entry::new("b", "x", 0, 1, 2), "spec").unwrap();
        let (one, other) = (home.path().join("agents/a/agent.json"), home.path().join("agents/b/agent.json"));
        fs::copy(&other, &one).unwrap();
        let error = register.load("a").unwrap_err().to_string();
        assert!(error.contains("agents/a/agent.json") && error.contains("of the agent b"), "{error}");
        fs::write(&one, "{").unwrap();
        assert!(matches!(register.load("a"), Err(RegisterError::Damaged { .. })));
        fs::write(home.path().join("agents/b/proof.json"), "hello").unwrap();
        assert!(matches!(register.load("b").unwrap().proof, FoundProof::Unreadable(_)));
        register.delete("a").unwrap();
        assert_eq!(register.names().unwrap(), ["b"]);
    }

    #[test]
    fn history_is_in_order() {
        let (_home, register) = register();
        register.create(&Entry::new("a", "x", 0, 1, 2), "spec").unwrap();
        for time_sec in 1..4 {
            let step = Step {
                time_sec,
                by: "x".to_owned(),
                code: "AGENT_CREATED".to_owned(),
                state: State::Sandbox,
                revision: 1,
                spec_sha256: "0".to_owned(),
                reason: String::new(),
            };
            register.note("a", &step).unwrap();
        }
        let times: Vec<u64> = register.history("a").unwrap().iter().map(|step| step.time_sec).collect();
        assert_eq!(times, [1, 2, 3]);
    }
}
