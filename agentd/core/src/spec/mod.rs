//! A spec: who an agent is and what it may do, as its author wrote it in TOML.
//!
//! text -> [`Spec`] (checked, variables still in it) -> [`ResolvedSpec`] (variables replaced) -> grants. Every
//! grant keeps the line it is written in. Knows no policy, no host and no file system: the caller reads the file.

mod error;
mod grants;
mod network;
mod profile;
mod read;
mod resolve;
mod schema;
mod sections;
mod variables;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::ids::AgentName;
use crate::rule::Protocol;
use crate::verdict::Verdict;

pub use error::{Problem, SpecError};
pub use profile::{Anatomy, Containment, Economics, Memory, Moment, Reasoning, Temperature, Usd};
pub use resolve::ResolvedSpec;
pub use schema::schema;
pub use variables::{BUILT_IN, VariableError, Variables};

/// Longest spec text.
pub const MAX_SPEC_BYTES: usize = 1 << 20;
/// Most rules that one spec may make.
pub const MAX_SPEC_RULES: usize = 20_000;
/// Most problems that are told at once.
pub const MAX_PROBLEMS: usize = 100;
/// Longest agent name.
pub const MAX_AGENT_NAME_BYTES: usize = 63;
/// Longest description.
pub const MAX_DESCRIPTION_BYTES: usize = 1024;
/// Longest value of a variable.
pub const MAX_VALUE_BYTES: usize = 4096;

/// A spec as written. As JSON it is what policy sees as `input.agent.spec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spec {
    /// File as the user named it.
    #[serde(skip)]
    pub file: PathBuf,
    /// `[agent]`.
    pub agent: Agent,
    /// `[anatomy]`.
    pub anatomy: Anatomy,
    /// `[economics]`.
    pub economics: Economics,
    /// `[containment]`.
    pub containment: Containment,
    /// `[variables]`: names and defaults; an empty default must be given when the agent starts.
    pub variables: BTreeMap<String, Located<String>>,
    /// `[files]`.
    pub files: Files,
    /// `[exec]`.
    pub exec: Exec,
    /// `[network]`.
    pub network: NetworkSection,
    /// `[unix]`.
    pub unix: Unix,
    /// `[process]`.
    pub process: ProcessSection,
}

/// A value and the line it is written in. As JSON only the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// From 1.
    pub line: u32,
}

/// `[agent]`: who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Agent {
    /// Name, unique on the host.
    pub name: AgentName,
    /// For people.
    pub description: String,
    /// Of the spec, in its author's counting.
    pub version: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What kind of work it does.
    pub role: Role,
    /// 1 (least risk) to 4.
    pub tier: u8,
    /// Whether anything is blocked.
    pub mode: Mode,
    /// What it is for, as words that policy may ask about.
    pub capabilities: Vec<Located<String>>,
    /// From then on it does not start.
    pub expires: Option<Moment>,
}

/// What kind of work an agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Checks rules and evidence.
    Compliance,
    /// Looks and reports.
    Analysis,
    /// Makes new things.
    Ideation,
}

/// Whether denied requests fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing is blocked; records say what would have been.
    Observe,
    /// Denied requests fail.
    Enforce,
}

/// `[files]`: globs by operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Files {
    /// Where no grant matches.
    pub default: Verdict,
    /// Open for reading, list.
    pub read: Vec<Located<String>>,
    /// Open for writing, change attributes.
    pub write: Vec<Located<String>>,
    /// New names.
    pub create: Vec<Located<String>>,
    /// Names that go away.
    pub delete: Vec<Located<String>>,
    /// Files that may get another name.
    pub link: Vec<Located<String>>,
    /// Every file operation: allowed and recorded.
    pub audit: Vec<Located<String>>,
    /// Any operation on these waits for policy or a person.
    pub hold: Vec<Located<String>>,
    /// Every file operation: denied.
    pub deny: Vec<Located<String>>,
}

/// `[exec]`: what may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exec {
    /// Where no grant matches.
    pub default: Verdict,
    /// May be executed and mapped executable.
    pub allow: Vec<Located<Executable>>,
    /// May be mapped executable.
    pub libraries: Vec<Located<String>>,
    /// Their execution waits for policy or a person.
    pub hold: Vec<Located<String>>,
    /// May be neither.
    pub deny: Vec<Located<String>>,
    /// Command lines that wait for policy or a person.
    pub commands_hold: Vec<Located<String>>,
    /// Command lines that are denied.
    pub commands_deny: Vec<Located<String>>,
    /// Executable memory without a file.
    pub anonymous: Option<Located<Verdict>>,
    /// Executables without a name.
    pub memfd: Option<Located<Verdict>>,
    /// Executables that raise privilege.
    pub privileged: Option<Located<Verdict>>,
}

/// One entry of `exec.allow`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Executable {
    /// Glob, or with a hash a path.
    pub path: String,
    /// Lower-case hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// `[network]`: peers, listeners, resolvers and socket kinds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkSection {
    /// Where no grant matches.
    pub default: Verdict,
    /// Peers that may be connected or sent to.
    pub connect: Vec<Located<Peer>>,
    /// Local addresses that may be listened on.
    pub listen: Vec<Located<Peer>>,
    /// Peers whose connection waits for policy or a person.
    pub hold: Vec<Located<Peer>>,
    /// Peers that may not.
    pub deny: Vec<Located<Peer>>,
    /// Name servers; empty means those of the host.
    pub resolvers: Vec<Located<String>>,
    /// Kinds of sockets.
    pub sockets: Vec<Located<String>>,
}

/// One entry of `network.connect`, `listen` or `deny`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Peer {
    /// Address, network or name (`to`; in `listen` it is written `on`).
    pub to: String,
    /// Inclusive; empty means every port.
    pub ports: Vec<(u16, u16)>,
    /// Transport.
    pub protocol: Protocol,
}

/// `[unix]`: unix sockets by path or abstract name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unix {
    /// Where no grant matches.
    pub default: Verdict,
    /// May be connected or sent to.
    pub connect: Vec<Located<String>>,
    /// Abstract names that may be bound.
    pub bind: Vec<Located<String>>,
    /// To connect to them or to bind them waits for policy or a person.
    pub hold: Vec<Located<String>>,
    /// May be neither connected nor bound.
    pub deny: Vec<Located<String>>,
}

/// `[process]`: what it may do to processes and the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProcessSection {
    /// Where no grant matches.
    pub default: Verdict,
    /// Names of capabilities it may use.
    pub capabilities: Vec<Located<String>>,
    /// Classes of operations.
    pub allow: Vec<Located<String>>,
}

impl Spec {
    /// Reads and checks a spec. All problems are told together, each with its line.
    pub fn parse(text: &str, file: &Path) -> Result<Self, SpecError> {
        let mut reader = read::Reader::new(text, file);
        let spec = sections::spec(&mut reader, text);
        let mut problems = reader.finish();
        match spec {
            Some(spec) => {
                resolve::check(&spec, &mut problems);
                problems.into_result(spec)
            }
            None => Err(problems.into_error()),
        }
    }

    /// The canonical form: the spec as JSON without what is empty, in the form of RFC 8785. Comments, order and spelling of
    /// the file do not show in it, and a key that a later version adds does not change it until it is used.
    pub fn canonical(&self) -> String {
        canonical::text(&canonical::without_empty(serde_json::to_value(self).unwrap_or_default()))
    }

    /// SHA-256 over the canonical form, lower-case hex: what a proof is about.
    pub fn sha256(&self) -> String {
        canonical::digest(self.canonical().as_bytes())
    }

    /// Replaces the variables and makes the grants.
    pub fn resolve(&self, variables: &Variables) -> Result<ResolvedSpec, SpecError> {
        resolve::resolve(self, variables)
    }
}

impl Mode {
    /// As users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Role {
    /// As users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compliance => "compliance",
            Self::Analysis => "analysis",
            Self::Ideation => "ideation",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl<T> Located<T> {
    /// The same place with another value.
    pub(crate) fn with<U>(&self, value: U) -> Located<U> {
        Located { value, line: self.line }
    }
}

impl<T: Serialize> Serialize for Located<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

#[cfg(test)]
mod tests;
