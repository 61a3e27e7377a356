//! One scenario as its TOML file says it. Knows nothing about running it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::expect::{Expect, Status};
use crate::need::Need;
use crate::spec;

/// Time limit of the trigger where a scenario does not say one. Emulated machines are slow.
const DEFAULT_LIMIT_SEC: u64 = 180;

/// What kind of thing is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Files.
    Files,
    /// Programs and executable memory.
    Exec,
    /// Ways to stop being the agent, or to use somebody else.
    Identity,
    /// Sockets and addresses.
    Network,
    /// Work that must succeed, modes, load, agentd's absence.
    Process,
    /// Requests that wait.
    Hold,
    /// agentd itself: its process, its maps and pins, its files.
    Daemon,
    /// Tasks that are not governed.
    Ungoverned,
}

impl Group {
    /// Every group, in the order in which they run.
    pub const ALL: [Self; 8] = [
        Self::Files,
        Self::Exec,
        Self::Identity,
        Self::Network,
        Self::Daemon,
        Self::Process,
        Self::Hold,
        Self::Ungoverned,
    ];

    /// As the user writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Exec => "exec",
            Self::Identity => "identity",
            Self::Network => "network",
            Self::Process => "process",
            Self::Hold => "hold",
            Self::Daemon => "daemon",
            Self::Ungoverned => "ungoverned",
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether the way around is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It must not work.
    #[default]
    Closed,
    /// It works today; that it does is what the scenario expects, so that nobody overlooks the day it stops.
    Open,
}

/// Who tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum User {
    /// An ordinary user.
    #[default]
    Dev,
    /// Root.
    Root,
}

/// A shell script, or a program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Command {
    /// Run by `sh -c`.
    Shell(String),
    /// Run as it is, `$NAME` replaced.
    Arguments(Vec<String>),
}

/// What to try, as whom, under which spec, and what must come of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// `F1a`.
    pub id: String,
    /// Row of the list of ways around: `F1`; for scenarios of work that must succeed a word.
    pub row: String,
    /// One sentence.
    pub title: String,
    /// From the folder.
    #[serde(skip_deserializing, default = "unknown_group")]
    pub group: Group,
    /// What the host must have.
    #[serde(default)]
    pub needs: Vec<Need>,
    /// Who tries.
    #[serde(default)]
    pub user: User,
    /// Back ends that can do what is expected.
    #[serde(default = "blocking_backends")]
    pub backends: Vec<String>,
    /// Start the agent in observe mode.
    #[serde(default)]
    pub observe: bool,
    /// `strict` (what a shell needs) or `none`; `[spec]` is laid over it.
    #[serde(default = "strict")]
    pub base: String,
    /// Laid over the base: tables are merged, lists appended, all else replaced.
    #[serde(default)]
    pub spec: toml::Table,
    /// Run before, as root, not governed.
    #[serde(default)]
    pub setup: Option<String>,
    /// Runs beside the trigger, as root, not governed, until it is killed; says that it is ready by the file $READY.
    #[serde(default)]
    pub helper: Option<String>,
    /// What the agent runs.
    pub trigger: Command,
    /// Run around the trigger as root, not governed; ends with `exec "$@"`. What it opens or mounts the agent inherits.
    #[serde(default)]
    pub within: Option<String>,
    /// Run at the same time, as root, not governed; must end with status 0. `held OBJECT` waits for an approval.
    #[serde(default)]
    pub meanwhile: Option<String>,
    /// Run afterwards, as root, not governed; must end with status 0. Scenarios share a folder: who asks for records by
    /// path gives the file a name that no other scenario uses.
    #[serde(default)]
    pub verify: Option<String>,
    /// Run at the very end, whatever happened.
    #[serde(default)]
    pub teardown: Option<String>,
    /// Longest time for the trigger, seconds.
    #[serde(default = "default_limit_sec")]
    pub limit_sec: u64,
    /// What must come of it.
    pub expect: Expect,
    /// Closed or open.
    #[serde(default)]
    pub state: State,
    /// Why it is open.
    #[serde(default)]
    pub why: String,
    /// Sorts F2 before F10.
    #[serde(skip)]
    pub(crate) order: Order,
}

/// Letters, number, rest of an id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Order(String, u32, String);

impl Order {
    fn of(id: &str) -> Self {
        let letters = id.chars().take_while(|c| !c.is_ascii_digit()).collect::<String>();
        let rest = id.get(letters.len()..).unwrap_or("");
        let digits = rest.chars().take_while(char::is_ascii_digit).collect::<String>();
        let tail = rest.get(digits.len()..).unwrap_or("").to_owned();
        Self(letters, digits.parse().unwrap_or(0), tail)
    }
}

fn unknown_group() -> Group {
    Group::Process
}

fn strict() -> String {
    spec::STRICT.to_owned()
}

fn blocking_backends() -> Vec<String> {
    ["lsm", "fmod-ret"].map(str::to_owned).to_vec()
}

const fn default_limit_sec() -> u64 {
    DEFAULT_LIMIT_SEC
}

/// A scenario file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not TOML, or not this shape.
    #[error("{group}/{file}: {error}")]
    Toml {
        /// Folder.
        group: String,
        /// File.
        file: String,
        /// What is wrong.
        error: Box<toml::de::Error>,
    },
    /// The shape is right, the content is not.
    #[error("{group}/{file}: {why}")]
    Content {
        /// Folder.
        group: String,
        /// File.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// Two scenarios with one id.
    #[error("the id {id} is used twice")]
    Twice {
        /// The id.
        id: String,
    },
}

impl Scenario {
    /// Reads one file.
    pub fn parse(group: &str, file: &str, text: &str) -> Result<Self, LoadError> {
        let content =
            |why: String| LoadError::Content { group: group.to_owned(), file: file.to_owned(), why };
        let mut scenario: Self = toml::from_str(text).map_err(|error| LoadError::Toml {
            group: group.to_owned(),
            file: file.to_owned(),
            error: Box::new(error),
        })?;
        scenario.group = Group::ALL
            .into_iter()
            .find(|known| known.name() == group)
            .ok_or_else(|| content("unknown group".to_owned()))?;
        scenario.order = Order::of(&scenario.id);
        scenario.check().map_err(content)?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if self.id.is_empty() || !self.id.chars().all(plain) {
            return Err(format!("the id '{}' is not letters, digits and dashes", self.id));
        }
        if !self.id.starts_with(&self.row) {
            return Err(format!("the id '{}' does not begin with its row '{}'", self.id, self.row));
        }
        if (self.state == State::Open) == self.why.trim().is_empty() {
            return Err("an open scenario needs a why, and only an open one".to_owned());
        }
        spec::check_base(&self.base)?;
        let denied = matches!(self.expect.status, Status::Denied);
        let unrecorded = self.expect.records.is_empty() && self.expect.unrecorded.is_empty();
        if denied && self.state == State::Closed && unrecorded {
            return Err("a denial must leave a record: say which under expect.records".to_owned());
        }
        Ok(())
    }

    /// The spec that the agent gets.
    pub fn spec_text(&self) -> Result<String, String> {
        spec::text(&self.base, &self.spec)
    }
}
