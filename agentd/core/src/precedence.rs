//! Which rule wins: the order of the rules within a layer, and how the layers are put together.
//!
//! These few lines are the meaning of every spec and policy. Lowering and explaining both use them; neither has
//! an order of its own.

use std::cmp::Reverse;

use crate::operation::{ClassOp, PathOp};
use crate::pattern::Specificity;
use crate::rule::{Defaults, Protocol};
use crate::verdict::{Answer, Verdict};

/// Order of rules about one path: the greatest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PathRank {
    pub(crate) specificity: Specificity,
    pub(crate) strictness: Strictness,
}

/// Order of rules about one port of one address: the greatest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PortRank {
    /// Longer prefixes first.
    pub(crate) bits: u8,
    /// Then narrower port ranges.
    pub(crate) width: Reverse<u32>,
    /// Then a named protocol.
    pub(crate) named: bool,
    pub(crate) strictness: Strictness,
}

/// Order of rules that are equally specific: the stricter verdict, then the one that pins the executable, then
/// the earlier rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Strictness {
    pub(crate) verdict: Verdict,
    pub(crate) pinned: bool,
    pub(crate) earlier: Reverse<u32>,
}

impl Strictness {
    pub(crate) fn new(verdict: Verdict, pinned: bool, index: u32) -> Self {
        Self { verdict, pinned, earlier: Reverse(index) }
    }
}

impl PortRank {
    pub(crate) fn new(bits: u8, range: (u16, u16), protocol: Protocol, strictness: Strictness) -> Self {
        let (low, high) = range;
        let width = u32::from(high.saturating_sub(low)).saturating_add(1);
        Self { bits, width: Reverse(width), named: protocol != Protocol::Any, strictness }
    }
}

/// What the guardrail layer says where none of its rules matches.
pub(crate) const NO_GUARDRAIL: Answer = Answer::default_of(Verdict::Allow);

/// What the grant layer says about a path where none of its rules matches.
pub(crate) fn path_default(defaults: &Defaults, op: PathOp) -> Answer {
    Answer::default_of(match op {
        PathOp::Read | PathOp::Write | PathOp::Create | PathOp::Delete | PathOp::Attr | PathOp::Link => {
            defaults.files
        }
        PathOp::Exec => defaults.exec,
        PathOp::MapExec => unless_held(defaults.exec),
        PathOp::Connect | PathOp::Bind => defaults.unix,
        // A name that nobody granted is not followed; it is the address that is then denied or not.
        PathOp::Resolve => Verdict::Deny,
        // Running the program was decided by its path; command lines only take away.
        PathOp::Command => Verdict::Allow,
    })
}

/// What the grant layer says about a class where none of its rules matches.
pub(crate) fn class_default(defaults: &Defaults, op: ClassOp) -> Answer {
    Answer::default_of(unless_held(defaults.of_class(op)))
}

/// The default of operations that the kernel can not hold.
const fn unless_held(default: Verdict) -> Verdict {
    if default.waits() { Verdict::Deny } else { default }
}

/// Whether a rule is heard where the object lies on the host, beside where the task sees it. What a program does with its
/// arguments is evaluated where it is seen.
pub(crate) const fn heard_elsewhere(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Hold | Verdict::Deny)
}

/// Both layers put together for one operation on a path.
///
/// A name is followed by the grant that names its ports, so for `resolve` a guardrail counts only if it denies.
pub(crate) fn combine_path(op: PathOp, guardrail: Answer, grant: Answer) -> Answer {
    if op == PathOp::Resolve && guardrail.verdict != Verdict::Deny {
        grant
    } else {
        guardrail.stricter(grant)
    }
}
