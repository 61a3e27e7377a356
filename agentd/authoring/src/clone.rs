//! `--from clone`: the spec of another agent under another name and, if one is given, another version. Everything else
//! stays as it is, but that the clone begins in the sandbox, enforced and contained.

use crate::edit::{self, Version};
use crate::{AuthoringError, Draft, Identity, Source};

/// What a spec is made of.
#[derive(Debug, core::clone::Clone, PartialEq)]
pub struct Clone<'a> {
    /// File or agent that it is from, for messages.
    pub file: &'a str,
    /// The spec of the other agent.
    pub text: &'a str,
    /// The new agent; what is not said stays.
    pub identity: Identity,
}

/// Makes the spec.
pub fn draft(arguments: &Clone<'_>) -> Result<Draft, AuthoringError> {
    let source = Source { file: arguments.file, text: arguments.text };
    edit::rewrite(source, &arguments.identity, Version::Kept)
}
