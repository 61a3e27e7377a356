//! A spec while it is made. [`SpecDraft::finish`] writes it with comments and checks it.

use agentguard_core::spec::{Executable, Memory, Peer, Role};
use agentguard_core::verdict::Verdict;

use crate::draft::Note;
use crate::identity::{DEFAULT_TIER, FIRST_VERSION};
use crate::{AuthoringError, Draft, Identity, List, render};

/// Every part of a spec. Lists keep the order in which they were filled.
#[derive(Debug, Clone, PartialEq)]
pub struct SpecDraft {
    /// Comment at the top, one line each.
    pub head: Vec<String>,
    /// `agent.name`.
    pub name: String,
    /// `agent.description`.
    pub description: Option<String>,
    /// `agent.role`.
    pub role: Role,
    /// `agent.tier`.
    pub tier: u8,
    /// `agent.version`.
    pub version: String,
    /// `agent.owner`.
    pub owner: Option<String>,
    /// `agent.expires`.
    pub expires: Option<String>,
    /// `agent.capabilities`.
    pub capabilities: Vec<String>,
    /// `[anatomy]`.
    pub anatomy: Anatomy,
    /// `economics.monthly_budget_usd`.
    pub monthly_budget_usd: Option<f64>,
    /// `[containment]`.
    pub containment: Containment,
    /// `[variables]`.
    pub variables: Vec<Variable>,
    /// `[files]`.
    pub files: FilesPart,
    /// `[exec]`.
    pub exec: ExecPart,
    /// `[network]`.
    pub network: NetworkPart,
    /// `[unix]`.
    pub unix: UnixPart,
    /// `[process]`.
    pub process: ProcessPart,
}

/// `[anatomy]`: what the agent is made of.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Anatomy {
    /// What it works on.
    pub inputs: Vec<String>,
    /// What it does.
    pub actions: Vec<String>,
    /// What it remembers.
    pub memory: Option<Memory>,
    /// `anatomy.reasoning.model`.
    pub model: Option<String>,
    /// `anatomy.reasoning.temperature`.
    pub temperature: Option<f64>,
}

/// `[containment]`. That external calls and persistent writes are off in the sandbox is not the author's to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Containment {
    /// Whether it may talk to this host while it is in the sandbox.
    pub loopback: bool,
}

/// One of `[variables]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Name.
    pub name: String,
    /// Default; empty if it must be given.
    pub default: String,
    /// What it is for.
    pub comment: String,
}

/// `[files]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FilesPart {
    /// Where no grant matches; deny if not said.
    pub default: Option<Verdict>,
    /// `files.read`.
    pub read: List<String>,
    /// `files.write`.
    pub write: List<String>,
    /// `files.create`.
    pub create: List<String>,
    /// `files.delete`.
    pub delete: List<String>,
    /// `files.link`.
    pub link: List<String>,
    /// `files.audit`.
    pub audit: List<String>,
    /// `files.hold`.
    pub hold: List<String>,
    /// `files.deny`.
    pub deny: List<String>,
}

/// `[exec]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExecPart {
    /// Where no grant matches; deny if not said.
    pub default: Option<Verdict>,
    /// `exec.allow`.
    pub allow: List<Executable>,
    /// `exec.libraries`.
    pub libraries: List<String>,
    /// `exec.hold`.
    pub hold: List<String>,
    /// `exec.deny`.
    pub deny: List<String>,
    /// `exec.commands_hold`.
    pub commands_hold: List<String>,
    /// `exec.commands_deny`.
    pub commands_deny: List<String>,
    /// `exec.anonymous`; deny if not said.
    pub anonymous: Option<Verdict>,
    /// `exec.memfd`; deny if not said.
    pub memfd: Option<Verdict>,
    /// `exec.privileged`; deny if not said.
    pub privileged: Option<Verdict>,
}

/// `[network]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NetworkPart {
    /// Where no grant matches; deny if not said.
    pub default: Option<Verdict>,
    /// `network.connect`.
    pub connect: List<Peer>,
    /// `network.listen`.
    pub listen: List<Peer>,
    /// `network.hold`.
    pub hold: List<Peer>,
    /// `network.deny`.
    pub deny: List<Peer>,
    /// `network.resolvers`.
    pub resolvers: List<String>,
    /// `network.sockets`: kinds that may be made.
    pub sockets: List<String>,
}

/// `[unix]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UnixPart {
    /// Where no grant matches; deny if not said.
    pub default: Option<Verdict>,
    /// `unix.connect`.
    pub connect: List<String>,
    /// `unix.bind`.
    pub bind: List<String>,
    /// `unix.hold`.
    pub hold: List<String>,
    /// `unix.deny`.
    pub deny: List<String>,
}

/// `[process]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProcessPart {
    /// Where no grant matches; deny if not said.
    pub default: Option<Verdict>,
    /// `process.capabilities`.
    pub capabilities: List<String>,
    /// `process.allow`.
    pub allow: List<String>,
}

impl SpecDraft {
    /// A spec that grants nothing.
    pub fn new(role: Role) -> Self {
        Self {
            head: Vec::new(),
            name: String::new(),
            description: None,
            role,
            tier: DEFAULT_TIER,
            version: FIRST_VERSION.to_owned(),
            owner: None,
            expires: None,
            capabilities: Vec::new(),
            anatomy: Anatomy::default(),
            monthly_budget_usd: None,
            containment: Containment::default(),
            variables: Vec::new(),
            files: FilesPart::default(),
            exec: ExecPart::default(),
            network: NetworkPart::default(),
            unix: UnixPart::default(),
            process: ProcessPart::default(),
        }
    }

    /// Declares a variable once.
    pub fn variable(&mut self, name: &str, default: &str, comment: &str) {
        if !self.variables.iter().any(|known| known.name == name) {
            let [name, default, comment] = [name, default, comment].map(str::to_owned);
            self.variables.push(Variable { name, default, comment });
        }
    }

    /// Adds a word to the agent's capabilities once.
    pub fn capability(&mut self, word: &str) {
        if !self.capabilities.iter().any(|known| known == word) {
            self.capabilities.push(word.to_owned());
        }
    }

    /// Lets a program run.
    pub(crate) fn run(&mut self, heading: &str, path: &str) {
        let value = Executable { path: path.to_owned(), sha256: None };
        self.exec.allow.insert(crate::Entry { value, heading: Some(heading.to_owned()), unsure: None });
    }

    /// Lets a directory and everything below it be read.
    pub(crate) fn read_tree(&mut self, heading: &str, directory: &str) {
        self.files.read.add_under(heading, directory);
        self.files.read.add_under(heading, format!("{directory}/**"));
    }

    /// Lets a directory be read and everything in it be changed.
    pub(crate) fn change_tree(&mut self, heading: &str, directory: &str) {
        self.read_tree(heading, directory);
        let below = format!("{directory}/**");
        self.files.write.add_under(heading, directory);
        for list in [&mut self.files.write, &mut self.files.create, &mut self.files.delete] {
            list.add_under(heading, below.clone());
        }
    }

    /// Puts the identity in, writes the text and checks it.
    pub fn finish(mut self, identity: &Identity, mut notes: Vec<Note>) -> Result<Draft, AuthoringError> {
        identity.apply(&mut self, &mut notes)?;
        Draft::checked(&format!("{}.toml", self.name), render::text(&self), notes)
    }
}
