//! Answers straight from the rules, one by one, without any table: slow, plain, and the yardstick for the tables.
//! Says which rule of each layer matched, which the tables no longer know.

use std::net::IpAddr;
use std::sync::Arc;

use super::Request;
use super::request::name_text;
use crate::ids::RuleIndex;
use crate::operation::{AddressOp, PathOp};
use crate::pattern::{NAME_PREFIX, Pattern, PatternError};
use crate::precedence::{self, NO_GUARDRAIL, PathRank, PortRank, Strictness};
use crate::rule::{Ports, Protocol, Rule, Ruleset, Scope};
use crate::verdict::{Answer, Layer, Verdict};

/// The rules of one agent, with their patterns read.
#[derive(Debug, Clone)]
pub struct Evaluator {
    ruleset: Arc<Ruleset>,
    patterns: Vec<Option<Pattern>>,
}

/// What each layer says to one request, and both together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation<'r> {
    /// The guardrail that matched best, if any.
    pub guardrail: Option<&'r Rule>,
    /// The grant that matched best, if any; without one the spec's default speaks.
    pub grant: Option<&'r Rule>,
    /// Both layers together.
    pub result: Answer,
}

/// A rule that matched, with its index.
#[derive(Clone, Copy)]
struct Match<'r> {
    index: u32,
    rule: &'r Rule,
}

impl Match<'_> {
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

impl Evaluator {
    /// Reads the patterns of all rules.
    pub fn new(ruleset: Arc<Ruleset>) -> Result<Self, PatternError> {
        let patterns = ruleset
            .rules
            .iter()
            .map(|rule| match &rule.scope {
                Scope::Path { pattern, .. } => Pattern::parse(pattern).map(Some),
                Scope::Name { name, .. } => Pattern::parse(&format!("{NAME_PREFIX}{name}")).map(Some),
                Scope::Address { .. } | Scope::Class { .. } | Scope::Capability { .. } => Ok(None),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { ruleset, patterns })
    }

    /// The rules.
    pub fn ruleset(&self) -> &Ruleset {
        &self.ruleset
    }

    /// What both layers say to a request.
    pub fn explain(&self, request: &Request) -> Explanation<'_> {
        match request {
            Request::Path { op, text } => self.path(*op, text),
            Request::Address { op, address, port, protocol, names } => {
                self.address(*op, *address, *port, *protocol, names)
            }
            Request::Class(class) => {
                let speaks = |scope: &Scope| matches!(scope, Scope::Class { op } if op == class);
                self.plain(speaks, precedence::class_default(&self.ruleset.defaults, *class))
            }
            Request::Capability(wanted) => {
                let speaks =
                    |scope: &Scope| matches!(scope, Scope::Capability { number } if number == wanted);
                self.plain(speaks, Answer::default_of(self.ruleset.defaults.process))
            }
        }
    }

    /// What is said to the object's path on the host, where that differs from the path as the task sees it.
    pub fn explain_elsewhere(&self, op: PathOp, text: &[u8]) -> Explanation<'_> {
        let guardrail = self.best_on_path(Layer::Guardrail, op, text, precedence::heard_elsewhere);
        let grant = self.best_on_path(Layer::Grant, op, text, precedence::heard_elsewhere);
        let answer = |found: Option<Match<'_>>| found.map_or(NO_GUARDRAIL, |found| found.answer());
        explanation(guardrail, grant, answer(guardrail).stricter(answer(grant)))
    }

    fn matches(&self, layer: Layer) -> impl Iterator<Item = (Match<'_>, Option<&Pattern>)> {
        let numbered = (1..).zip(&self.ruleset.rules).zip(&self.patterns);
        numbered
            .filter(move |((_, rule), _)| rule.layer == layer)
            .map(|((index, rule), pattern)| (Match { index, rule }, pattern.as_ref()))
    }

    fn path(&self, op: PathOp, text: &[u8]) -> Explanation<'_> {
        let guardrail = self.best_on_path(Layer::Guardrail, op, text, |_| true);
        let grant = self.best_on_path(Layer::Grant, op, text, |_| true);
        let default = precedence::path_default(&self.ruleset.defaults, op);
        let result = precedence::combine_path(
            op,
            guardrail.map_or(NO_GUARDRAIL, |found| found.answer()),
            grant.map_or(default, |found| found.answer()),
        );
        explanation(guardrail, grant, result)
    }

    fn best_on_path(
        &self,
        layer: Layer,
        op: PathOp,
        text: &[u8],
        heard: impl Fn(Verdict) -> bool,
    ) -> Option<Match<'_>> {
        let rank = |found: &Match<'_>, pattern: Option<&Pattern>| {
            let speaks = match &found.rule.scope {
                Scope::Path { ops, .. } => ops.contains(&op),
                Scope::Name { .. } => op == PathOp::Resolve,
                Scope::Address { .. } | Scope::Class { .. } | Scope::Capability { .. } => false,
            };
            let pattern =
                pattern.filter(|pattern| speaks && heard(found.rule.verdict) && pattern.matches(text))?;
            Some(PathRank { specificity: pattern.specificity(), strictness: found.strictness() })
        };
        let ranked = self.matches(layer).filter_map(|(found, pattern)| Some((rank(&found, pattern)?, found)));
        ranked.max_by_key(|(rank, _)| *rank).map(|(_, found)| found)
    }

    fn address(
        &self,
        op: AddressOp,
        address: IpAddr,
        port: u16,
        protocol: Protocol,
        names: &[String],
    ) -> Explanation<'_> {
        let on_address = |found: &Match<'_>| match &found.rule.scope {
            Scope::Address { op: own, network, ports }
                if *own == op && network.canonical().contains(address) =>
            {
                port_rank(found, network.canonical().bits, ports, port, protocol)
            }
            _ => None,
        };
        let guardrail = self.best_by(Layer::Guardrail, on_address);
        let by_name = || match op {
            AddressOp::Connect => names.iter().find_map(|name| self.by_name(name, port, protocol)),
            AddressOp::Listen => None,
        };
        let grant = self.best_by(Layer::Grant, on_address).or_else(by_name);
        let default = Answer::default_of(self.ruleset.defaults.network);
        let said = guardrail.map_or(NO_GUARDRAIL, |found| found.answer());
        explanation(guardrail, grant, said.stricter(grant.map_or(default, |found| found.answer())))
    }

    /// The grant that a name's addresses get for a port.
    fn by_name(&self, name: &str, port: u16, protocol: Protocol) -> Option<Match<'_>> {
        let resolved = self.path(PathOp::Resolve, name_text(name).as_bytes());
        let followed = resolved.grant.filter(|_| resolved.result.verdict != Verdict::Deny)?;
        let Scope::Name { name: followed, .. } = &followed.scope else { return None };
        self.best_by(Layer::Grant, |found| match &found.rule.scope {
            Scope::Name { name, ports } if name == followed && found.rule.verdict != Verdict::Deny => {
                port_rank(found, 0, ports, port, protocol)
            }
            _ => None,
        })
    }

    fn plain(&self, speaks: impl Fn(&Scope) -> bool, default: Answer) -> Explanation<'_> {
        let strictness = |found: &Match<'_>| speaks(&found.rule.scope).then(|| found.strictness());
        let guardrail = self.best_by(Layer::Guardrail, strictness);
        let grant = self.best_by(Layer::Grant, strictness);
        let said = guardrail.map_or(NO_GUARDRAIL, |found| found.answer());
        explanation(guardrail, grant, said.stricter(grant.map_or(default, |found| found.answer())))
    }

    fn best_by<K: Ord>(&self, layer: Layer, rank: impl Fn(&Match<'_>) -> Option<K>) -> Option<Match<'_>> {
        let ranked = self.matches(layer).filter_map(|(found, _)| Some((rank(&found)?, found)));
        ranked.max_by(|left, right| left.0.cmp(&right.0)).map(|(_, found)| found)
    }
}

fn port_rank(found: &Match<'_>, bits: u8, ports: &Ports, port: u16, protocol: Protocol) -> Option<PortRank> {
    let covering = ports.spans().iter().filter(|(low, high)| (*low..=*high).contains(&port));
    let ranks = covering.map(|span| PortRank::new(bits, *span, ports.protocol, found.strictness()));
    ranks.max().filter(|_| ports.protocol.covers(protocol))
}

fn explanation<'r>(
    guardrail: Option<Match<'r>>,
    grant: Option<Match<'r>>,
    result: Answer,
) -> Explanation<'r> {
    Explanation { guardrail: guardrail.map(|found| found.rule), grant: grant.map(|found| found.rule), result }
}
