//! `--from template`: one of the specs that ship, under another name. Its comments and its order stay.

use crate::edit::{self, Version};
use crate::{AuthoringError, Draft, Identity, Source};

/// What a spec is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Template<'a> {
    /// Name of the template's file.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
    /// The new agent.
    pub identity: Identity,
}

/// Makes the spec.
pub fn draft(arguments: &Template<'_>) -> Result<Draft, AuthoringError> {
    let source = Source { file: arguments.file, text: arguments.text };
    edit::rewrite(source, &arguments.identity, Version::First)
}
