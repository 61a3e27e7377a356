//! What the kernel holds for one agent, before it is encoded into words. Made by [`crate::lower`].

use std::net::IpAddr;

use crate::operation::{AddressOp, ClassOp, PathOp};
use crate::rule::Protocol;
use crate::verdict::Answer;

/// Lowered rules of one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// Walks paths, names, abstract sockets and command lines.
    pub automaton: Automaton,
    /// How closely the automaton's answers name the rule.
    pub attribution: Attribution,
    /// Longest prefix wins; there is always a `::/0` and a `0.0.0.0/0` entry for each operation.
    pub prefixes: Vec<Prefix>,
    /// Port ranges of the name grants, by rule index - 1; empty for rules that are no names.
    pub names: Vec<Vec<Range>>,
    /// By [`ClassOp`] order.
    pub classes: [Answer; ClassOp::ALL.len()],
    /// By capability number.
    pub capabilities: [Answer; 64],
    /// Executables that must have a hash: agentd turns each into an inode identity.
    pub pinned: Vec<Pinned>,
}

/// Whether an answer of the automaton names exactly the rule that matched. The verdict and layer are always right.
/// Ordered from the most exact, and largest, to the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attribution {
    /// The rule that matched.
    Exact,
    /// For an allow by a pattern that ends in `**`: the first of the rules that are alike in layer, operations and
    /// specificity. [`crate::decide::Evaluator`] tells which it was.
    SharedAllows,
    /// The same for every verdict.
    Shared,
}

/// A comb-compressed DFA over bytes: from state `s` on byte `b`, with `e = comb[s.base + class[b]]`, the next
/// state is `e.next` if `e.owner == s`, else `s.otherwise`. After the last byte `rows[s.row]` has the answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Automaton {
    /// First state.
    pub start: u32,
    /// Byte to class.
    pub classes: [u8; 256],
    /// States.
    pub states: Vec<State>,
    /// Transitions. Long enough that `base + class` is always inside.
    pub comb: Vec<Edge>,
    /// Distinct answer rows. Row 0 is "no rule matched".
    pub rows: Vec<Row>,
}

/// One state of the automaton.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    /// Index into the comb.
    pub base: u32,
    /// Next state where the comb has no edge of this state.
    pub otherwise: u32,
    /// Answers if the text ends here.
    pub row: u32,
}

/// One cell of the comb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// State that owns the cell; `u32::MAX` if free.
    pub owner: u32,
    /// Next state.
    pub next: u32,
}

/// Answers by [`PathOp`] order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Row {
    /// For the path as the task sees it: both layers, the stricter.
    pub seen: [Answer; PathOp::ALL.len()],
    /// For the same object's path on the host: rules that deny (or hold); otherwise allow by default.
    pub elsewhere: [Answer; PathOp::ALL.len()],
}

/// Port ranges of one address prefix, all covering rules already merged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// Operation.
    pub op: AddressOp,
    /// First address.
    pub address: IpAddr,
    /// Prefix length in the address's own family.
    pub bits: u8,
    /// Disjoint; together they cover every port of every protocol. At most 64.
    pub ranges: Vec<Range>,
}

/// Answers for a range of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range {
    /// First port.
    pub low: u16,
    /// Last port.
    pub high: u16,
    /// Protocol; ranges of a protocol come before those of `Any`.
    pub protocol: Protocol,
    /// Guardrail layer; allow by default.
    pub guardrail: Answer,
    /// Grant layer; the spec's default where nothing matched.
    pub grant: Answer,
}

/// An executable granted by hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// Absolute path without wildcards.
    pub path: String,
    /// SHA-256, lower-case hex.
    pub sha256: String,
    /// What the kernel answers for the right file.
    pub answer: Answer,
}

/// Words of the arena for a header with its class table, a state, an edge, a row and a port range.
const HEADER_WORDS: usize = 4 + 256;
const STATE_WORDS: usize = 3;
const EDGE_WORDS: usize = 2;
const ROW_WORDS: usize = 2 * PathOp::ALL.len();
const RANGE_WORDS: usize = 4;
/// Words of one entry of the name table.
const NAME_WORDS: usize = 2;

impl Automaton {
    /// 32-bit words that it takes in the kernel's arena.
    pub fn words(&self) -> usize {
        HEADER_WORDS
            + self.states.len() * STATE_WORDS
            + self.comb.len() * EDGE_WORDS
            + self.rows.len() * ROW_WORDS
    }
}

impl Tables {
    /// 32-bit words that all of it takes in the kernel's arena, if no ranges are shared.
    pub fn words(&self) -> usize {
        let prefixes: usize = self.prefixes.iter().map(|prefix| prefix.ranges.len()).sum();
        let names: usize = self.names.iter().map(Vec::len).sum();
        self.automaton.words() + (prefixes + names) * RANGE_WORDS + (self.names.len() + 1) * NAME_WORDS
    }
}
