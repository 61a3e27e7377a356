//! What a pack's `decide` rule says about one held request: policy is asked before any person is.

use agentguard_core::approval::Unattended;
use agentguard_core::rule::Source;
use agentguard_core::verdict::Severity;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is to become of a held request. Ordered by strictness: the strictest of all packs counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It goes on.
    Allow,
    /// A person decides.
    Ask,
    /// It fails.
    Deny,
}

/// One member of a pack's `decide`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// `<pack>.<id>`.
    pub id: String,
    /// What is to become of the request.
    pub answer: Answer,
    /// How bad it would be.
    pub severity: Severity,
    /// For whoever reviews it, and for the agent.
    pub reason: String,
    /// How long a person has, seconds; agentd's configuration says it where policy does not.
    pub deadline_sec: Option<u32>,
    /// How many different people must approve.
    pub reviewers: Option<u8>,
    /// What becomes of it if agentd is not there at the deadline.
    pub unattended: Unattended,
    /// For how long the answer is good for requests that are exactly the same, seconds; for this one alone if absent.
    pub reuse_sec: Option<u32>,
    /// Where the rule is written.
    pub source: Source,
}

/// A member as a pack writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    pub(crate) id: String,
    pub(crate) answer: Answer,
    pub(crate) severity: Severity,
    pub(crate) reason: String,
    pub(crate) deadline_sec: Option<u32>,
    pub(crate) reviewers: Option<u8>,
    pub(crate) unattended: Option<Unattended>,
    pub(crate) reuse_sec: Option<u32>,
}

/// Reads one member of a pack's `decide`.
pub(crate) fn read(value: Value) -> Result<Written, String> {
    let written: Written = serde_json::from_value(value).map_err(|error| {
        format!(
            "a decision is {{\"id\", \"answer\", \"severity\", \"reason\"}}, and if wanted \"deadline_sec\", \
             \"reviewers\", \"unattended\", \"reuse_sec\": {error}"
        )
    })?;
    let for_people =
        written.deadline_sec.is_some() || written.reviewers.is_some() || written.unattended.is_some();
    if for_people && written.answer != Answer::Ask {
        return Err(format!(
            "decision `{}`: `deadline_sec`, `reviewers` and `unattended` go with \"ask\"",
            written.id
        ));
    }
    if written.reason.trim().is_empty() || written.reason.contains('\n') {
        return Err(format!("decision `{}`: the reason must be one line of text", written.id));
    }
    Ok(written)
}
