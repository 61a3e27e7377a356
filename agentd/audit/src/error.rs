//! What can go wrong with the log. Each is one line for the operator, and names the file.

use std::io;
use std::path::{Path, PathBuf};

use crate::sign::SignError;

/// Why something was not written or not read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The disk.
    #[error("{path}: {source}")]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Two writers would fork the chain.
    #[error("{0}: another process writes this audit log")]
    InUse(PathBuf),
    /// An agent's or actor's name that nobody could read.
    #[error("audit record {code}: `{field}` is longer than {limit} bytes")]
    TooLong {
        /// The record's code.
        code: &'static str,
        /// Which field.
        field: &'static str,
        /// Its limit.
        limit: usize,
    },
    /// Not expressible as JSON.
    #[error("audit record {code}: {source}")]
    Json {
        /// The record's code.
        code: &'static str,
        /// What JSON said.
        #[source]
        source: serde_json::Error,
    },
    /// No signature, so no checkpoint.
    #[error("the audit log cannot be signed: {0}")]
    Sign(#[from] SignError),
    /// What a failed write left behind could not be cut off. Nothing is appended before that works.
    #[error("{path}: a record that was written in part cannot be removed: {source}")]
    Stuck {
        /// The segment.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The numbers are used up, which is more likely a mistake of the file than of the years.
    #[error("the audit log has no numbers left")]
    Full,
    /// A line that is no record, or one that was changed.
    #[error("{path}:{line}: {what}")]
    Line {
        /// The segment.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The embedded mapping.
    #[error("controls.toml: {0}")]
    Controls(#[from] toml::de::Error),
}

/// An error of the disk on a path.
pub(crate) fn at(path: &Path) -> impl Fn(io::Error) -> AuditError {
    let path = path.to_path_buf();
    move |source| AuditError::Io { path: path.clone(), source }
}
