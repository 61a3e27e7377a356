//! Answers questions about requests without a kernel: by walking the very tables that the kernel walks, and, on
//! its own way, straight from the rules ([`Evaluator`]), which also says which rule of each layer matched.
//!
//! Never panics on tables that are not sound: what cannot be read is a deny.

mod evaluator;
mod request;

use std::net::IpAddr;

pub use evaluator::{Evaluator, Explanation};
pub use request::{Request, RequestError};

use crate::operation::{AddressOp, ClassOp, PathOp};
use crate::rule::{Network, Protocol};
use crate::tables::{Automaton, Prefix, Range, Row, Tables};
use crate::verdict::{Answer, Layer, Verdict};

/// What is said when tables are not sound.
const UNSOUND: Answer = Answer::default_of(Verdict::Deny);

impl Automaton {
    /// Number of the row in which a text ends; `None` if the automaton is not sound.
    pub fn row_number(&self, text: &[u8]) -> Option<u32> {
        let mut number = self.start;
        for byte in text {
            let state = self.states.get(usize::try_from(number).ok()?)?;
            let class = self.classes.get(usize::from(*byte))?;
            let cell = usize::try_from(state.base).ok()?.checked_add(usize::from(*class))?;
            let edge = self.comb.get(cell)?;
            number = if edge.owner == number { edge.next } else { state.otherwise };
        }
        Some(self.states.get(usize::try_from(number).ok()?)?.row)
    }

    /// Answers for a text; `None` if the automaton is not sound.
    pub fn row(&self, text: &[u8]) -> Option<&Row> {
        self.rows.get(usize::try_from(self.row_number(text)?).ok()?)
    }
}

impl Tables {
    /// The answer for a path as the task sees it, an abstract socket, `argv:…` or `dns:…`.
    pub fn path(&self, op: PathOp, text: &[u8]) -> Answer {
        self.automaton.row(text).and_then(|row| row.seen.get(op.index())).copied().unwrap_or(UNSOUND)
    }

    /// The answer for the same object's path on the host, where that differs.
    pub fn path_elsewhere(&self, op: PathOp, text: &[u8]) -> Answer {
        self.automaton.row(text).and_then(|row| row.elsewhere.get(op.index())).copied().unwrap_or(UNSOUND)
    }

    /// Whether DNS answers for a name are followed, and by which rule.
    pub fn name(&self, name: &str) -> Answer {
        self.path(PathOp::Resolve, request::name_text(name).as_bytes())
    }

    /// The answer for an address, no names considered.
    pub fn address(&self, op: AddressOp, address: IpAddr, port: u16, protocol: Protocol) -> Answer {
        match self.range(op, address, port, protocol) {
            Some(range) => range.guardrail.stricter(range.grant),
            None => UNSOUND,
        }
    }

    /// The answer for a peer that `names` (their answers from [`Self::name`]) resolved to: where no grant speaks
    /// about the address, the first name's ports that cover it do. Guardrails on the address still apply.
    pub fn named_address(&self, names: &[Answer], address: IpAddr, port: u16, protocol: Protocol) -> Answer {
        let Some(range) = self.range(AddressOp::Connect, address, port, protocol) else { return UNSOUND };
        let followed = names.iter().filter(|name| name.verdict != Verdict::Deny).find_map(|name| {
            let index = usize::try_from(name.rule.0).ok()?.checked_sub(1)?;
            covering(self.names.get(index)?, port, protocol)
        });
        match followed {
            Some(followed) if range.grant.layer == Layer::Default => range.guardrail.stricter(followed.grant),
            _ => range.guardrail.stricter(range.grant),
        }
    }

    /// The answer for a class of operations.
    pub fn class(&self, op: ClassOp) -> Answer {
        self.classes.get(op.index()).copied().unwrap_or(UNSOUND)
    }

    /// The answer for a capability.
    pub fn capability(&self, number: u8) -> Answer {
        self.capabilities.get(usize::from(number)).copied().unwrap_or(UNSOUND)
    }

    fn range(&self, op: AddressOp, address: IpAddr, port: u16, protocol: Protocol) -> Option<&Range> {
        let inside = |prefix: &&Prefix| {
            prefix.op == op && Network { address: prefix.address, bits: prefix.bits }.contains(address)
        };
        let longest = self.prefixes.iter().filter(inside).max_by_key(|prefix| prefix.bits)?;
        covering(&longest.ranges, port, protocol)
    }
}

/// The first range in order that speaks about a port.
fn covering(ranges: &[Range], port: u16, protocol: Protocol) -> Option<&Range> {
    ranges.iter().find(|range| (range.low..=range.high).contains(&port) && range.protocol.covers(protocol))
}

#[cfg(test)]
mod tests;
