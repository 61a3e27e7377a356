//! What must come of a scenario: how the trigger ends, what it prints, and which records are left.

use std::fmt;
use std::str::FromStr;

use agentguard_core::capability;
use agentguard_core::operation::Operation;
use agentguard_core::record::{Object, Record};
use agentguard_core::verdict::{Layer, Reason, Verdict};
use serde::{Deserialize, Serialize};

/// Exit status of the trigger program when the kernel said EPERM or EACCES.
const STATUS_DENIED: i32 = 13;

/// What must come of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// How the trigger ends.
    pub status: Status,
    /// Each is in its output.
    #[serde(default)]
    pub stdout: Vec<String>,
    /// None is in its output.
    #[serde(default)]
    pub stdout_lacks: Vec<String>,
    /// Each matches at least one record of the agent.
    #[serde(default)]
    pub records: Vec<RecordPattern>,
    /// Why a denial leaves no record that this run could see.
    #[serde(default)]
    pub unrecorded: String,
    /// None matches a record of any agent since the scenario began.
    #[serde(default)]
    pub absent: Vec<RecordPattern>,
    /// What became of the files outside the workspace.
    #[serde(default)]
    pub protected: Protected,
}

/// How the trigger ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// 0.
    Ok,
    /// Not 0, and it was told that the operation is not permitted.
    Denied,
    /// Not 0.
    Failed,
    /// Ended by SIGKILL, as denied command lines are.
    Killed,
    /// Does not matter.
    Any,
}

impl Status {
    /// Whether an exit status (128+N for signal N) and what was printed are this.
    pub(crate) fn fits(self, code: i32, output: &str) -> bool {
        let told = ["Operation not permitted", "Permission denied", "errno EPERM", "errno EACCES"];
        match self {
            Self::Ok => code == 0,
            Self::Denied => {
                code == STATUS_DENIED || code != 0 && told.iter().any(|text| output.contains(text))
            }
            Self::Failed => code != 0,
            Self::Killed => code == 137 || output.contains("Killed") && code != 0,
            Self::Any => true,
        }
    }
}

/// What became of `$PROTECTED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protected {
    /// Every name, content, mode, owner, time and number of links is as it was.
    #[default]
    Intact,
    /// Does not matter.
    Any,
}

/// What a record must look like; what is not said does not matter. In `object`, `rule` and `exe` a `*` stands for
/// any text, and `$WS`, `$PROTECTED`, … for the directories.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordPattern {
    /// `open`, `connect`, …
    #[serde(default)]
    pub call: Option<String>,
    /// Operation as rules name it: `read`, `connect_address`, `socket_raw`, `cap_sys_admin`.
    #[serde(default)]
    pub op: Option<Op>,
    /// Verdict.
    #[serde(default)]
    pub verdict: Option<Verdict>,
    /// Reason.
    #[serde(default)]
    pub reason: Option<Reason>,
    /// Layer that decided.
    #[serde(default)]
    pub layer: Option<Layer>,
    /// Whether it was put into effect.
    #[serde(default)]
    pub enforced: Option<bool>,
    /// Rule id.
    #[serde(default)]
    pub rule: Option<String>,
    /// Path, address:port, name, detail or command line.
    #[serde(default)]
    pub object: Option<String>,
    /// Executable of the process.
    #[serde(default)]
    pub exe: Option<String>,
}

/// An operation by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Op(Operation);

impl TryFrom<String> for Op {
    type Error = agentguard_core::operation::UnknownOperation;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Operation::from_str(&name).map(Self)
    }
}

impl From<Op> for String {
    fn from(op: Op) -> Self {
        match op.0 {
            Operation::Capability(number) => capability::NAMES
                .get(usize::from(number))
                .map_or_else(|| number.to_string(), |name| (*name).to_owned()),
            other => other.name().to_owned(),
        }
    }
}

impl RecordPattern {
    /// The pattern with `$NAME`s replaced.
    pub(crate) fn map_text(&self, replace: impl Fn(&str) -> String) -> Self {
        let mut pattern = self.clone();
        for text in [&mut pattern.object, &mut pattern.rule, &mut pattern.exe].into_iter().flatten() {
            *text = replace(text);
        }
        pattern
    }

    /// Whether a record is like this.
    pub fn matches(&self, record: &Record) -> bool {
        fn same<T: PartialEq>(wanted: Option<&T>, is: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == is)
        }
        fn like(wanted: Option<&String>, is: Option<&str>) -> bool {
            wanted.is_none_or(|wanted| is.is_some_and(|is| fits(wanted, is)))
        }
        let decision = &record.decision;
        same(self.call.as_ref(), &record.call)
            && self.op.is_none_or(|op| record.operation == Some(op.0))
            && same(self.verdict.as_ref(), &decision.verdict)
            && same(self.reason.as_ref(), &decision.reason)
            && same(self.layer.as_ref(), &decision.layer)
            && same(self.enforced.as_ref(), &decision.enforced)
            && like(self.rule.as_ref(), decision.rule.as_deref())
            && like(self.exe.as_ref(), record.process.exe.as_deref())
            && self
                .object
                .as_ref()
                .is_none_or(|wanted| texts(&record.object).iter().any(|is| fits(wanted, is)))
    }
}

impl fmt::Display for RecordPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The same words as in the scenario, in one line.
        f.write_str(&serde_json::to_string(&Shown(self)).unwrap_or_default())
    }
}

/// A pattern without the fields that do not matter.
struct Shown<'a>(&'a RecordPattern);

impl Serialize for Shown<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = serde_json::to_value(self.0).map_err(serde::ser::Error::custom)?;
        let said = value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        serializer.collect_map(said)
    }
}

/// Everything about an object that a pattern may speak of.
fn texts(object: &Object) -> Vec<String> {
    match object {
        Object::File { path, other, .. } => {
            std::iter::once(path.clone()).chain(other.iter().cloned()).collect()
        }
        Object::FileIo { path, .. } => vec![path.clone()],
        Object::Address { address, port, name, .. } | Object::PeerIo { address, port, name, .. } => {
            std::iter::once(std::net::SocketAddr::new(*address, *port).to_string())
                .chain(name.iter().map(|name| format!("{name}:{port}")))
                .collect()
        }
        Object::Resolved { name, address, .. } => vec![name.clone(), format!("{name}={address}")],
        Object::Class { detail } | Object::Credentials { detail } => vec![detail.clone()],
        Object::Exec { path, argv, .. } => vec![path.clone(), argv.join(" ")],
        Object::Fork { .. } | Object::Exit { .. } => Vec::new(),
    }
}

/// `*` stands for any text. Greedy from the left with one point to come back to, so it ends in linear steps times
/// the number of stars.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or(""),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("/a/b", "/a/b", true),
            ("/a/b", "/a/bc", false),
            ("*/b", "/a/b", true),
            ("/a/*", "/a/b/c", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "b a", false),
            ("", "", true),
            ("*", "", true),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn denied_is_what_a_program_was_told() {
        assert!(Status::Denied.fits(13, ""));
        assert!(Status::Denied.fits(1, "cat: x: Operation not permitted"));
        assert!(!Status::Denied.fits(1, "cat: x: No such file or directory"));
        assert!(!Status::Denied.fits(0, "Operation not permitted"));
    }
}
