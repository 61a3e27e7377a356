//! Why no spec could be made: one line each, with the place where there is one.

use agentguard_core::spec::SpecError;

use crate::text::one_line;

/// Why no spec could be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthoringError {
    /// A value that was given is not one that a spec can hold.
    #[error("{key}: {problem}")]
    Value {
        /// What it is for, as the spec names it: `agent.owner`.
        key: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A line of a file.
    #[error("{file}:{line}: {problem}")]
    Line {
        /// As the user named it.
        file: String,
        /// From 1.
        line: usize,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A file, where its format does not tell the line.
    #[error("{file}: {problem}")]
    File {
        /// As the user named it.
        file: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A spec that cannot be used: that which was given, or that which was made of what was given.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

impl AuthoringError {
    pub(crate) fn value(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Value { key: one_line(&key.into()), problem: one_line(&problem.into()) }
    }

    pub(crate) fn file(file: &str, problem: impl Into<String>) -> Self {
        Self::File { file: file.to_owned(), problem: one_line(&problem.into()) }
    }

    /// Of JSON that could not be read. Its message ends with the place, which is told in front.
    pub(crate) fn json(file: &str, error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let whole = error.to_string();
        let place = format!(" at line {line} column {column}");
        let problem = one_line(whole.strip_suffix(&place).unwrap_or(&whole));
        Self::Line { file: file.to_owned(), line: line.max(1), problem }
    }

    /// Of YAML that could not be read.
    pub(crate) fn yaml(file: &str, error: &yaml_serde::Error) -> Self {
        let problem = one_line(&error.to_string().replace('\n', " "));
        match error.location() {
            Some(place) => Self::Line { file: file.to_owned(), line: place.line().max(1), problem },
            None => Self::file(file, problem),
        }
    }

    /// Of TOML that could not be read.
    pub(crate) fn toml(source: crate::Source<'_>, error: &toml::de::Error) -> Self {
        let problem = one_line(&error.message().replace('\n', " "));
        let start = error.span().map_or(0, |span| span.start);
        Self::Line { file: source.file.to_owned(), line: crate::text::line_at(source.text, start), problem }
    }
}
