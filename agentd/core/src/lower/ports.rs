//! Address and name rules become disjoint port ranges, merged so that the longest prefix alone has the answer.

use std::collections::{BTreeMap, BTreeSet};

use super::error::places;
use super::{Indexed, LowerError, MAX_RANGES};
use crate::address::family_bits;
use crate::operation::AddressOp;
use crate::precedence::{NO_GUARDRAIL, PortRank};
use crate::rule::{Defaults, Network, Ports, Protocol, Rule, Scope};
use crate::tables::{Prefix, Range};
use crate::verdict::{Answer, Layer, Verdict};

/// Most port numbers at which rules of one prefix begin or end. More could not fit into [`MAX_RANGES`].
const MAX_CUTS: usize = 2048;
/// Named protocols first: the kernel takes the first range that covers.
const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Any];

/// Rules on exactly one prefix or name.
type Own<'r> = Vec<&'r Indexed<'r>>;
/// What each protocol's ports are answered, covering every port, by [`PROTOCOLS`].
type Plan = [Vec<Piece>; PROTOCOLS.len()];

/// Answers for a run of ports; no answer where no rule of the layer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    low: u16,
    high: u16,
    guardrail: Option<Answer>,
    grant: Option<Answer>,
}

const NOTHING: Piece = Piece { low: 0, high: u16::MAX, guardrail: None, grant: None };

pub(super) fn prefixes(rules: &[Indexed<'_>], defaults: &Defaults) -> Result<Vec<Prefix>, LowerError> {
    let mut prefixes = Vec::new();
    for op in AddressOp::ALL {
        prefixes.extend(prefixes_of(rules, defaults, op)?);
    }
    Ok(prefixes)
}

fn prefixes_of(rules: &[Indexed<'_>], defaults: &Defaults, op: AddressOp) -> Result<Vec<Prefix>, LowerError> {
    // By prefix length first, so that the network around another is there before it.
    let mut networks: BTreeMap<(u8, Network), Own<'_>> = BTreeMap::new();
    networks.insert((0, Network::ALL_V4), Vec::new());
    networks.insert((0, Network::ALL_V6), Vec::new());
    for rule in rules {
        if let Scope::Address { op: own, network, .. } = &rule.rule.scope
            && *own == op
        {
            let network = network.canonical();
            networks.entry((network.bits, network)).or_default().push(rule);
        }
    }
    let mut plans: BTreeMap<Network, Plan> = BTreeMap::new();
    let mut prefixes = Vec::new();
    for ((bits, network), own) in networks {
        let around = (0..bits).rev().find_map(|bits| plans.get(&Network::around(network.address, bits)));
        let too_many = || too_many(&network.to_string(), &own);
        let plan = plan(&own, around).ok_or_else(too_many)?;
        let ranges = ranges(&plan, Some(Answer::default_of(defaults.network)));
        if ranges.len() > MAX_RANGES {
            return Err(too_many());
        }
        prefixes.push(Prefix {
            op,
            address: network.address,
            bits: bits.min(family_bits(network.address)),
            ranges,
        });
        plans.insert(network, plan);
    }
    Ok(prefixes)
}

/// Port ranges of the name grants, by rule index - 1. Grants of one name stand together: whichever of them the
/// automaton names, all their ports count.
pub(super) fn names(rules: &[Indexed<'_>]) -> Result<Vec<Vec<Range>>, LowerError> {
    let mut names: BTreeMap<&str, Own<'_>> = BTreeMap::new();
    for rule in rules {
        if let Some(name) = followed_name(rule) {
            names.entry(name).or_default().push(rule);
        }
    }
    let mut by_name: BTreeMap<&str, Vec<Range>> = BTreeMap::new();
    for (name, own) in names {
        let too_many = || too_many(name, &own);
        let plan = plan(&own, None).ok_or_else(too_many)?;
        let ranges = ranges(&plan, None);
        if ranges.len() > MAX_RANGES {
            return Err(too_many());
        }
        by_name.insert(name, ranges);
    }
    let ranges_of =
        |rule| followed_name(rule).and_then(|name| by_name.get(name)).cloned().unwrap_or_default();
    Ok(rules.iter().map(ranges_of).collect())
}

fn followed_name<'r>(rule: &'r Indexed<'_>) -> Option<&'r str> {
    match &rule.rule.scope {
        Scope::Name { name, .. } if rule.rule.layer == Layer::Grant && rule.rule.verdict != Verdict::Deny => {
            Some(name)
        }
        _ => None,
    }
}

fn too_many(of: &str, own: &Own<'_>) -> LowerError {
    let rules: Vec<&Rule> = own.iter().map(|rule| rule.rule).collect();
    LowerError::TooManyRanges { of: of.to_owned(), rules: places(rules.into_iter()) }
}

/// Lays the rules on one prefix over what already holds around it. A longer prefix always wins, so each layer
/// takes its own answer where it has one and else the one from around. `None` if there are too many cuts.
fn plan(own: &Own<'_>, around: Option<&Plan>) -> Option<Plan> {
    let nothing = [vec![NOTHING], vec![NOTHING], vec![NOTHING]];
    let [tcp, udp, any] = around.unwrap_or(&nothing);
    let [tcp_name, udp_name, any_name] = PROTOCOLS;
    Some([pieces(own, tcp_name, tcp)?, pieces(own, udp_name, udp)?, pieces(own, any_name, any)?])
}

fn pieces(own: &Own<'_>, protocol: Protocol, around: &[Piece]) -> Option<Vec<Piece>> {
    let spans: Vec<Span> = own.iter().flat_map(|rule| spans(rule, protocol)).collect();
    let mut cuts: BTreeSet<u16> = around.iter().map(|piece| piece.low).collect();
    cuts.extend(spans.iter().map(|span| span.low));
    cuts.extend(spans.iter().filter_map(|span| span.high.checked_add(1)));
    if cuts.len() > MAX_CUTS {
        return None;
    }
    let highs = cuts.iter().skip(1).map(|cut| cut.saturating_sub(1)).chain([u16::MAX]);
    let mut pieces: Vec<Piece> = Vec::new();
    for (low, high) in cuts.iter().copied().zip(highs) {
        let outer = around.iter().find(|piece| (piece.low..=piece.high).contains(&low)).unwrap_or(&NOTHING);
        let guardrail = best(&spans, Layer::Guardrail, low).or(outer.guardrail);
        let grant = best(&spans, Layer::Grant, low).or(outer.grant);
        match pieces.last_mut() {
            Some(last) if (last.guardrail, last.grant) == (guardrail, grant) => last.high = high,
            _ => pieces.push(Piece { low, high, guardrail, grant }),
        }
    }
    Some(pieces)
}

/// One port range of one rule.
struct Span {
    low: u16,
    high: u16,
    layer: Layer,
    rank: PortRank,
    answer: Answer,
}

fn spans(rule: &Indexed<'_>, protocol: Protocol) -> Vec<Span> {
    let (Scope::Address { ports, .. } | Scope::Name { ports, .. }) = &rule.rule.scope else {
        return Vec::new();
    };
    let span = |(low, high): &(u16, u16)| {
        // All rules here are on one prefix, so its length does not tell them apart.
        let rank = PortRank::new(0, (*low, *high), ports.protocol, rule.strictness());
        Span { low: *low, high: *high, layer: rule.rule.layer, rank, answer: rule.answer() }
    };
    let all: &Ports = ports;
    if all.protocol.covers(protocol) { all.spans().iter().map(span).collect() } else { Vec::new() }
}

fn best(spans: &[Span], layer: Layer, port: u16) -> Option<Answer> {
    let covers = |span: &&Span| span.layer == layer && (span.low..=span.high).contains(&port);
    spans.iter().filter(covers).max_by_key(|span| span.rank).map(|span| span.answer)
}

/// The plan as the kernel walks it: a named protocol only where it differs from all others. Ports that no grant
/// speaks about get the default, or are left out where there is none.
fn ranges(plan: &Plan, default: Option<Answer>) -> Vec<Range> {
    let [tcp, udp, any] = plan;
    let [tcp_name, udp_name, any_name] = PROTOCOLS;
    let range = |protocol, piece: &Piece| {
        let guardrail = piece.guardrail.unwrap_or(NO_GUARDRAIL);
        let grant = piece.grant.or(default)?;
        Some(Range { low: piece.low, high: piece.high, protocol, guardrail, grant })
    };
    let tcp = differing(tcp, any).filter_map(|piece| range(tcp_name, piece));
    let udp = differing(udp, any).filter_map(|piece| range(udp_name, piece));
    tcp.chain(udp).chain(any.iter().filter_map(|piece| range(any_name, piece))).collect()
}

fn differing<'p>(named: &'p [Piece], any: &'p [Piece]) -> impl Iterator<Item = &'p Piece> {
    named.iter().filter(|piece| {
        let mut others = any.iter().filter(|other| other.low <= piece.high && other.high >= piece.low);
        !others.all(|other| (other.guardrail, other.grant) == (piece.guardrail, piece.grant))
    })
}
