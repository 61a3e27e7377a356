//! Verdicts, the layer and the reason behind them, and the one answer per operation that the kernel holds.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::RuleIndex;

/// What the kernel answers to one request. Ordered by strictness.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Goes on.
    Allow,
    /// Goes on and is recorded as worth a look.
    Audit,
    /// Waits for policy; goes on if that says nothing.
    Evaluate,
    /// Waits for policy, and if that says nothing for a person.
    Hold,
    /// Fails with EPERM before it happens.
    Deny,
}

impl Verdict {
    /// Every verdict, by strictness.
    pub const ALL: [Self; 5] = [Self::Allow, Self::Audit, Self::Evaluate, Self::Hold, Self::Deny];

    /// As users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Audit => "audit",
            Self::Evaluate => "evaluate",
            Self::Hold => "hold",
            Self::Deny => "deny",
        }
    }

    /// Whether the operation does not simply go on.
    pub const fn stops(self) -> bool {
        match self {
            Self::Allow | Self::Audit => false,
            Self::Evaluate | Self::Hold | Self::Deny => true,
        }
    }

    /// Whether the operation waits for a decision.
    pub const fn waits(self) -> bool {
        matches!(self, Self::Evaluate | Self::Hold)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which layer an answer comes from. Ordered so that, among equally strict answers, policy is named first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// No rule matched: the spec's default for this class of operation.
    Default,
    /// A rule of the spec or of an approval.
    Grant,
    /// A rule that comes from policy.
    Guardrail,
}

/// Severity of a guardrail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// Worth a look.
    Medium,
    /// Likely harm.
    High,
    /// Certain or irreversible harm.
    Critical,
}

impl Severity {
    /// As users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
            Self::Critical => "CRITICAL",
        }
    }
}

/// Why a verdict is what it is, where it is not simply the rule that the answer names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The rule in the answer.
    Rule,
    /// No rule matched.
    Default,
    /// The path of the object could not be told.
    Unresolved,
    /// The path is longer than the kernel's limit.
    TooLong,
    /// A kernel table was full.
    NoMemory,
    /// The agent's rules are not in the kernel.
    NoRules,
    /// The executable is not the one whose hash was approved.
    Identity,
    /// Denied by the object's path on the host, not by the path as the program sees it.
    Elsewhere,
    /// A granted name resolved to this address.
    ResolvedName,
    /// The target process is agentd: no rule lifts that.
    Protected,
    /// Policy or a person answered when the request was held.
    Answered,
    /// The rule says hold, and this request can not wait: io_uring, a kernel worker, a call that has done a part already.
    CannotHold,
    /// The command line of the new program is not the one that was answered.
    Changed,
}

/// What the rules say to one operation on one object: both layers already combined, the stricter wins.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Answer {
    /// The stricter of both layers.
    pub verdict: Verdict,
    /// The layer that decided.
    pub layer: Layer,
    /// The rule that decided, 0 if the default did.
    pub rule: RuleIndex,
    /// The executable must also have the recorded identity (grants by hash).
    pub pinned: bool,
}

impl Answer {
    /// The spec's default for a class of operations.
    pub const fn default_of(verdict: Verdict) -> Self {
        Self { verdict, layer: Layer::Default, rule: RuleIndex(0), pinned: false }
    }

    /// A rule's own answer.
    pub const fn of_rule(verdict: Verdict, layer: Layer, rule: RuleIndex) -> Self {
        Self { verdict, layer, rule, pinned: false }
    }

    /// The stricter of two; on a tie the higher layer. A demand for a pinned executable in either survives
    /// whatever the other layer allows.
    pub fn stricter(self, other: Self) -> Self {
        let mut answer = if (other.verdict, other.layer) > (self.verdict, self.layer) { other } else { self };
        answer.pinned = (self.pinned || other.pinned) && answer.verdict != Verdict::Deny;
        answer
    }
}
