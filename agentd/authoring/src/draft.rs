//! What is handed back: the text of a spec, and what its author should look at.

use std::fmt;
use std::path::Path;

use agentguard_core::spec::Spec;

use crate::AuthoringError;
use crate::text::one_line;

/// A spec that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// TOML with comments; `Spec::parse` takes it.
    pub text: String,
    /// What the author should look at, in the order of the spec.
    pub notes: Vec<Note>,
}

/// One thing that the author should look at. Prints as one line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Note {
    /// Why it is told.
    pub kind: NoteKind,
    /// The grant, request or setting that it is about.
    pub about: String,
    /// Why, and what can be done.
    pub why: String,
}

/// Why something is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoteKind {
    /// It is in the spec, and may not be needed or may be too much.
    Unsure,
    /// One entry stands for more than what was asked for.
    Generalised,
    /// It is not in the spec.
    LeftOut,
    /// Nobody said it, so a usual value was taken.
    Assumed,
}

impl NoteKind {
    /// As users read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unsure => "unsure",
            Self::Generalised => "generalised",
            Self::LeftOut => "left out",
            Self::Assumed => "assumed",
        }
    }
}

impl Note {
    pub(crate) fn new(kind: NoteKind, about: impl Into<String>, why: impl Into<String>) -> Self {
        Self { kind, about: one_line(&about.into()), why: one_line(&why.into()) }
    }

    pub(crate) fn unsure(about: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(NoteKind::Unsure, about, why)
    }

    pub(crate) fn left_out(about: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(NoteKind::LeftOut, about, why)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.kind.name(), self.about, self.why)
    }
}

impl Draft {
    /// Checks what was made, so that no author is handed a spec that agentd would refuse.
    pub(crate) fn checked(file: &str, text: String, mut notes: Vec<Note>) -> Result<Self, AuthoringError> {
        Spec::parse(&text, Path::new(file))?;
        let mut seen = std::collections::HashSet::new();
        notes.retain(|note| seen.insert(note.clone()));
        Ok(Self { text, notes })
    }
}
