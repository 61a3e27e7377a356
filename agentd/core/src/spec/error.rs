//! What is wrong with a spec: every problem with its file and line, in one line each.

use std::fmt;
use std::path::{Path, PathBuf};

use super::MAX_PROBLEMS;
use crate::rule::Source;

/// One thing that is wrong, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub source: Source,
    /// One line.
    pub message: String,
}

/// A spec that cannot be used. Prints one line per problem, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", Lines(problems))]
pub struct SpecError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.message)
    }
}

struct Lines<'a>(&'a [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// Problems of one file while it is read.
pub(super) struct Problems {
    file: PathBuf,
    found: Vec<Problem>,
}

impl Problems {
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), found: Vec::new() }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= MAX_PROBLEMS
    }

    /// Adds one, as one line whatever the message holds; beyond the limit and twice at one place nothing.
    pub(super) fn add(&mut self, line: u32, message: impl Into<String>) {
        let message: String = message
            .into()
            .chars()
            .flat_map(
                |letter| if letter.is_control() { letter.escape_debug().collect() } else { vec![letter] },
            )
            .collect();
        let problem = Problem { source: Source { file: self.file.clone(), line }, message };
        if !self.is_full() && !self.found.contains(&problem) {
            self.found.push(problem);
        }
    }

    pub(super) fn into_error(mut self) -> SpecError {
        if self.found.is_empty() {
            self.add(1, "the spec could not be read");
        }
        self.found.sort_by_key(|problem| problem.source.line);
        SpecError { problems: self.found }
    }

    pub(super) fn into_result<T>(self, value: T) -> Result<T, SpecError> {
        if self.found.is_empty() { Ok(value) } else { Err(self.into_error()) }
    }
}
