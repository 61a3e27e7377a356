//! Rules become tables: everything that can be decided before the request comes is decided here.
//!
//! [`Ruleset`] -> [`lower`] -> [`Tables`]. Either the whole ruleset becomes tables or there is an error that names
//! the rules; nothing is dropped on the way. Knows no kernel types and no files.

mod error;
mod paths;
mod ports;
mod validate;

pub use error::LowerError;

use crate::ids::RuleIndex;
use crate::operation::{ClassOp, PathOp};
use crate::precedence::{self, NO_GUARDRAIL, Strictness};
use crate::rule::{Rule, Ruleset, Scope};
use crate::tables::{Attribution, Pinned, Tables};
use crate::verdict::{Answer, Layer};

/// Most rules of one agent, both layers.
pub const MAX_RULES: usize = 65_536;
/// Most port ranges under one prefix or name: what the kernel walks at most.
pub const MAX_RANGES: usize = 64;
/// Most 32-bit words of one agent's tables: half of the kernel's arena, so that they can be replaced.
pub const MAX_WORDS: usize = 1 << 22;

/// Lowers the rules of one agent, naming rules as exactly as a reasonable size allows.
pub fn lower(ruleset: &Ruleset) -> Result<Tables, LowerError> {
    lower_compact(ruleset, Attribution::Exact)
}

/// The same, beginning at a less exact attribution: far smaller tables where many agents share the kernel's arena.
pub fn lower_compact(ruleset: &Ruleset, attribution: Attribution) -> Result<Tables, LowerError> {
    let rules = validate::indexed(&ruleset.rules)?;
    let (automaton, attribution) = paths::automaton(&rules, &ruleset.defaults, attribution)?;
    let mut tables = Tables {
        automaton,
        attribution,
        prefixes: ports::prefixes(&rules, &ruleset.defaults)?,
        names: ports::names(&rules)?,
        classes: ClassOp::ALL.map(|op| class(&rules, ruleset, op)),
        capabilities: std::array::from_fn(|number| capability(&rules, ruleset, number)),
        pinned: Vec::new(),
    };
    tables.pinned = rules.iter().filter_map(|rule| pinned(rule, &tables)).collect();
    if tables.words() > MAX_WORDS {
        return Err(LowerError::TooManyWords { words: tables.words() });
    }
    Ok(tables)
}

/// A rule with its index in the ruleset and, if it has one, its pattern.
struct Indexed<'r> {
    index: u32,
    rule: &'r Rule,
    pattern: Option<crate::pattern::Pattern>,
}

impl Indexed<'_> {
    fn is_pinned(&self) -> bool {
        matches!(&self.rule.scope, Scope::Path { sha256: Some(_), .. })
    }

    fn strictness(&self) -> Strictness {
        Strictness::new(self.rule.verdict, self.is_pinned(), self.index)
    }

    fn answer(&self) -> Answer {
        let pinned = self.is_pinned() && !self.rule.verdict.stops();
        Answer { pinned, ..Answer::of_rule(self.rule.verdict, self.rule.layer, RuleIndex(self.index)) }
    }
}

/// Both layers of something that has no object: the strictest rule of each that speaks about it.
fn plain(rules: &[Indexed<'_>], speaks: impl Fn(&Scope) -> bool, default: Answer) -> Answer {
    let best = |layer: Layer| {
        let own = rules.iter().filter(|rule| rule.rule.layer == layer && speaks(&rule.rule.scope));
        own.max_by_key(|rule| rule.strictness()).map(Indexed::answer)
    };
    best(Layer::Guardrail).unwrap_or(NO_GUARDRAIL).stricter(best(Layer::Grant).unwrap_or(default))
}

fn class(rules: &[Indexed<'_>], ruleset: &Ruleset, op: ClassOp) -> Answer {
    let speaks = |scope: &Scope| matches!(scope, Scope::Class { op: own } if *own == op);
    plain(rules, speaks, precedence::class_default(&ruleset.defaults, op))
}

fn capability(rules: &[Indexed<'_>], ruleset: &Ruleset, number: usize) -> Answer {
    let speaks =
        |scope: &Scope| matches!(scope, Scope::Capability { number: own } if usize::from(*own) == number);
    plain(rules, speaks, Answer::default_of(ruleset.defaults.process))
}

/// The file whose hash a rule names, unless another rule decides about its path.
fn pinned(rule: &Indexed<'_>, tables: &Tables) -> Option<Pinned> {
    let Scope::Path { sha256: Some(sha256), .. } = &rule.rule.scope else { return None };
    let path = String::from_utf8(rule.pattern.as_ref()?.literal()?.to_vec()).ok()?;
    let answer = tables.path(PathOp::Exec, path.as_bytes());
    answer.pinned.then(|| Pinned { path, sha256: sha256.clone(), answer: Answer { pinned: false, ..answer } })
}

#[cfg(test)]
mod tests;
