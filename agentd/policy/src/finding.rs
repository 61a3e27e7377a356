//! A finding: what a pack's `deny` rule says about one recorded request. It blocks nothing by itself.

use agentguard_core::rule::Source;
use agentguard_core::verdict::Severity;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One `deny` answer over one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `<pack>.<id>`.
    pub id: String,
    /// How bad.
    pub severity: Severity,
    /// For the user.
    pub reason: String,
    /// Where the rule is written.
    pub source: Source,
}

/// A member of `deny` as a pack writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    pub(crate) id: String,
    pub(crate) severity: Severity,
    pub(crate) reason: String,
}

/// Reads one member of a pack's `deny`.
pub(crate) fn read(value: Value) -> Result<Written, String> {
    serde_json::from_value(value)
        .map_err(|error| format!("a finding is {{\"id\", \"severity\", \"reason\"}}: {error}"))
}
