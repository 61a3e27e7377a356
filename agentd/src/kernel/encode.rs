//! From tables to the 32-bit words of the arena. The layout is that of `struct automaton` and `struct range`.
//!
//! A region is one block: its length, the automaton, the table of name ranges, then all ranges. Word indices of
//! ranges are relative to the region here and made absolute when the region has a place.

use std::collections::HashMap;

use agentguard_bpf::types::{self, answer_bits};
use agentguard_core::rule::Protocol;
use agentguard_core::tables::{Automaton, Range, Tables};
use agentguard_core::verdict::{Answer, Layer, Verdict};

const RANGE_WORDS: usize = 4;
const NAME_WORDS: usize = 2;
const STATE_WORDS: usize = 3;
const EDGE_WORDS: usize = 2;
const HEADER_WORDS: usize = 4 + 256;

/// One agent's rules as words.
pub(super) struct Region {
    /// The block; the first word is its length.
    pub(super) words: Vec<u32>,
    /// Word of the automaton.
    pub(super) automaton: u32,
    /// Word of the name table.
    pub(super) names: u32,
    /// For each prefix of the tables, the word of its ranges and how many.
    pub(super) prefixes: Vec<(u32, u32)>,
    /// Words inside the block that hold a word index and must be moved with it.
    relocations: Vec<usize>,
}

impl Region {
    /// Encodes the tables of one agent.
    pub(super) fn encode(tables: &Tables) -> Self {
        let mut words = vec![0];
        let automaton = words.len() as u32;
        encode_automaton(&tables.automaton, &mut words);
        let names = words.len();
        words.resize(names + NAME_WORDS * tables.names.len(), 0);

        let mut known = HashMap::new();
        let mut place = |ranges: &[Range], words: &mut Vec<u32>| -> u32 {
            *known.entry(ranges.to_vec()).or_insert_with(|| {
                let at = words.len() as u32;
                ranges.iter().for_each(|range| words.extend(encode_range(range)));
                at
            })
        };
        let mut relocations = Vec::new();
        for (index, ranges) in tables.names.iter().enumerate().filter(|(_, ranges)| !ranges.is_empty()) {
            let at = place(ranges, &mut words);
            let entry = names + NAME_WORDS * index;
            if let Some([word, count]) = words.get_mut(entry..entry + NAME_WORDS) {
                (*word, *count) = (at, ranges.len() as u32);
                relocations.push(entry);
            }
        }
        let prefixes = tables
            .prefixes
            .iter()
            .map(|prefix| (place(&prefix.ranges, &mut words), prefix.ranges.len() as u32))
            .collect();
        let length = words.len() as u32;
        if let Some(first) = words.first_mut() {
            *first = length;
        }
        Self { words, automaton, names: names as u32, prefixes, relocations }
    }

    /// The same block for the place where its first word will be.
    pub(super) fn relocated(&self, base: u32) -> Vec<u32> {
        let mut words = self.words.clone();
        for at in &self.relocations {
            if let Some(word) = words.get_mut(*at) {
                *word += base;
            }
        }
        words
    }
}

fn encode_automaton(automaton: &Automaton, words: &mut Vec<u32>) {
    let states = HEADER_WORDS;
    let comb = states + STATE_WORDS * automaton.states.len();
    let rows = comb + EDGE_WORDS * automaton.comb.len();
    words.extend([automaton.start, states as u32, comb as u32, rows as u32]);
    let mut classes = automaton.classes.map(u32::from);
    classes[0] = classes[usize::from(b' ')]; // arguments of a command line end with NUL, patterns say a space
    words.extend(classes);
    words.extend(automaton.states.iter().flat_map(|state| [state.base, state.otherwise, state.row]));
    words.extend(automaton.comb.iter().flat_map(|edge| [edge.owner, edge.next]));
    words.extend(
        automaton.rows.iter().flat_map(|row| row.seen.into_iter().chain(row.elsewhere)).map(encode_answer),
    );
}

fn encode_range(range: &Range) -> [u32; RANGE_WORDS] {
    let ports = u32::from(range.low) | u32::from(range.high) << 16;
    [ports, protocol_number(range.protocol), encode_answer(range.guardrail), encode_answer(range.grant)]
}

fn protocol_number(protocol: Protocol) -> u32 {
    match protocol {
        Protocol::Any => 0,
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    }
}

/// One answer as the kernel holds it.
pub(super) fn encode_answer(answer: Answer) -> u32 {
    let verdict = match answer.verdict {
        Verdict::Allow => types::verdict::VERDICT_ALLOW,
        Verdict::Audit => types::verdict::VERDICT_AUDIT,
        Verdict::Evaluate | Verdict::Hold => types::verdict::VERDICT_HOLD,
        Verdict::Deny => types::verdict::VERDICT_DENY,
    };
    let layer = match answer.layer {
        Layer::Default => types::layer::LAYER_DEFAULT,
        Layer::Grant => types::layer::LAYER_GRANT,
        Layer::Guardrail => types::layer::LAYER_GUARDRAIL,
    };
    verdict.0
        | layer.0 << answer_bits::ANSWER_LAYER_SHIFT.0
        | if answer.pinned { answer_bits::ANSWER_PINNED.0 } else { 0 }
        | if answer.verdict == Verdict::Evaluate { answer_bits::ANSWER_EVALUATE.0 } else { 0 }
        | answer.rule.0 << answer_bits::ANSWER_RULE_SHIFT.0
}
