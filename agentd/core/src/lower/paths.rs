//! Path, name, socket and command rules become one automaton and its rows of answers.

use std::collections::HashMap;

use super::error::places;
use super::{Indexed, LowerError};
use crate::automaton::{self, Entry, Limits, MAX_STATES, TooLarge};
use crate::operation::PathOp;
use crate::pattern::Specificity;
use crate::precedence::{self, NO_GUARDRAIL, PathRank};
use crate::rule::{Defaults, Rule, Scope};
use crate::tables::{Attribution, Automaton, Row};
use crate::verdict::{Answer, Layer, Verdict};

/// What is tried in turn. A rule such as `/srv/x/**` keeps its own states for everything below it, times those
/// of every `**/*.pem`; sharing them among alike rules costs only the certainty which of these it was.
const ATTEMPTS: [(Attribution, usize); 3] =
    [(Attribution::Exact, 50_000), (Attribution::SharedAllows, 200_000), (Attribution::Shared, MAX_STATES)];

/// Builds the automaton at the most exact attribution, from `from` on, that stays small enough.
pub(super) fn automaton(
    rules: &[Indexed<'_>],
    defaults: &Defaults,
    from: Attribution,
) -> Result<(Automaton, Attribution), LowerError> {
    first_within(ATTEMPTS.into_iter().filter(|(attribution, _)| *attribution >= from), rules, defaults)
}

pub(super) fn first_within(
    attempts: impl IntoIterator<Item = (Attribution, usize)>,
    rules: &[Indexed<'_>],
    defaults: &Defaults,
) -> Result<(Automaton, Attribution), LowerError> {
    let mut failure = TooLarge { states: 0, tags: Vec::new() };
    for (attribution, states) in attempts {
        match attempt(rules, defaults, attribution, states) {
            Ok(automaton) => return Ok((automaton, attribution)),
            Err(error) => failure = error,
        }
    }
    let named = failure.tags.iter().filter_map(|tag| rules.iter().find(|rule| rule.index == *tag));
    let named: Vec<&Rule> = named.map(|rule| rule.rule).collect();
    Err(LowerError::TooManyStates { states: failure.states, rules: places(named.into_iter()) })
}

fn attempt(
    rules: &[Indexed<'_>],
    defaults: &Defaults,
    attribution: Attribution,
    states: usize,
) -> Result<Automaton, TooLarge> {
    let mut tails: HashMap<TailKey, u32> = HashMap::new();
    let entries: Vec<Entry<'_>> = rules
        .iter()
        .filter_map(|rule| {
            let pattern = rule.pattern.as_ref()?;
            let shares = match attribution {
                Attribution::Exact => false,
                Attribution::SharedAllows => rule.rule.verdict == Verdict::Allow,
                Attribution::Shared => true,
            };
            let tail = if shares { *tails.entry(tail_key(rule)?).or_insert(rule.index) } else { rule.index };
            Some(Entry { pattern, tag: rule.index, tail })
        })
        .collect();
    let mut rows = Rows::new(rules, defaults);
    let built = automaton::build(&entries, Limits { states }, |tags| rows.number(tags))?;
    Ok(Automaton {
        start: built.start,
        classes: built.classes,
        states: built.states,
        comb: built.comb,
        rows: rows.rows,
    })
}

/// Rules alike in all that decides: which of them matched makes no difference to any answer.
type TailKey = (Layer, Verdict, u16, Specificity);

fn tail_key(rule: &Indexed<'_>) -> Option<TailKey> {
    Some((
        rule.rule.layer,
        rule.rule.verdict,
        ops_mask(&rule.rule.scope),
        rule.pattern.as_ref()?.specificity(),
    ))
}

/// Operations of a rule about texts, as bits by their position.
fn ops_mask(scope: &Scope) -> u16 {
    let bit = |op: &PathOp| 1_u16 << op.index();
    match scope {
        Scope::Path { ops, .. } => ops.iter().fold(0, |mask, op| mask | bit(op)),
        Scope::Name { .. } => bit(&PathOp::Resolve),
        Scope::Address { .. } | Scope::Class { .. } | Scope::Capability { .. } => 0,
    }
}

/// A rule as rows see it.
struct Candidate {
    layer: Layer,
    ops: u16,
    rank: PathRank,
    answer: Answer,
}

/// Distinct rows of answers.
struct Rows<'d> {
    candidates: HashMap<u32, Candidate>,
    defaults: &'d Defaults,
    numbers: HashMap<Row, u32>,
    rows: Vec<Row>,
}

impl<'d> Rows<'d> {
    fn new(rules: &[Indexed<'_>], defaults: &'d Defaults) -> Self {
        let candidate = |rule: &Indexed<'_>| {
            let specificity = rule.pattern.as_ref()?.specificity();
            let candidate = Candidate {
                layer: rule.rule.layer,
                ops: ops_mask(&rule.rule.scope),
                rank: PathRank { specificity, strictness: rule.strictness() },
                answer: rule.answer(),
            };
            Some((rule.index, candidate))
        };
        let candidates = rules.iter().filter_map(candidate).collect();
        let mut rows = Self { candidates, defaults, numbers: HashMap::new(), rows: Vec::new() };
        rows.number(&[]);
        rows
    }

    /// The row of a set of matching rules.
    fn number(&mut self, tags: &[u32]) -> u32 {
        let matching: Vec<&Candidate> = tags.iter().filter_map(|tag| self.candidates.get(tag)).collect();
        let row = Row {
            seen: PathOp::ALL.map(|op| seen(&matching, op, self.defaults)),
            elsewhere: PathOp::ALL.map(|op| elsewhere(&matching, op)),
        };
        let next = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        *self.numbers.entry(row).or_insert_with(|| {
            self.rows.push(row);
            next
        })
    }
}

fn seen(matching: &[&Candidate], op: PathOp, defaults: &Defaults) -> Answer {
    let guardrail = best(matching, Layer::Guardrail, op, |_| true).unwrap_or(NO_GUARDRAIL);
    let grant = best(matching, Layer::Grant, op, |_| true);
    precedence::combine_path(op, guardrail, grant.unwrap_or(precedence::path_default(defaults, op)))
}

/// On the object's other path nothing is granted; only rules that stop it are heard.
fn elsewhere(matching: &[&Candidate], op: PathOp) -> Answer {
    let stops = |layer| best(matching, layer, op, precedence::heard_elsewhere).unwrap_or(NO_GUARDRAIL);
    stops(Layer::Guardrail).stricter(stops(Layer::Grant))
}

fn best(
    matching: &[&Candidate],
    layer: Layer,
    op: PathOp,
    heard: impl Fn(Verdict) -> bool,
) -> Option<Answer> {
    let speaks = |candidate: &&&Candidate| {
        candidate.layer == layer && candidate.ops >> op.index() & 1 == 1 && heard(candidate.answer.verdict)
    };
    matching.iter().filter(speaks).max_by_key(|candidate| candidate.rank).map(|candidate| candidate.answer)
}
