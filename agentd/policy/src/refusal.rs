//! A refusal: what a pack's `refuse` rule has against an agent being promoted, or staying so. All of them are told
//! together, so that whoever owns the agent can mend everything at once.

use agentguard_core::rule::Source;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::guardrail::is_id;

/// What becomes of an agent that is promoted already. Ordered by strictness: of several refusals the strictest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consequence {
    /// It goes on under tightened guardrails.
    Restrict,
    /// It may not run. Where a rule says nothing, it means this.
    #[default]
    Invalidate,
}

/// One member of a pack's `refuse`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// `<pack>.<id>`.
    pub id: String,
    /// For whoever owns the agent: what is wrong, and what to change.
    pub reason: String,
    /// What becomes of an agent that is promoted already.
    pub then: Consequence,
    /// Where the rule is written.
    pub source: Source,
}

/// A member as a pack writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    pub(crate) id: String,
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) then: Consequence,
}

/// Reads one member of a pack's `refuse`.
pub(crate) fn read(value: Value) -> Result<Written, String> {
    let written: Written = serde_json::from_value(value).map_err(|error| {
        format!(
            "a refusal is {{\"id\", \"reason\"}}, and if wanted \"then\": \"restrict\" or \"invalidate\": {error}"
        )
    })?;
    if !is_id(&written.id) {
        return Err(format!("refusal `{}`: an id is made of a-z, 0-9 and _", written.id));
    }
    if written.reason.trim().is_empty() || written.reason.contains('\n') {
        return Err(format!("refusal `{}`: the reason must be one line of text", written.id));
    }
    Ok(written)
}
