//! Bytes that no pattern tells apart are one class: it makes rows of transitions short.

use std::collections::{HashMap, HashSet};

use super::nfa::{Label, Nfa};

/// Byte classes of one automaton.
pub(super) struct Classes {
    /// Class of each byte.
    pub(super) of_byte: [u8; 256],
    /// One byte of each class.
    pub(super) examples: Vec<u8>,
    /// The class that stands for "any other byte": few edges name it alone.
    pub(super) rest: u8,
}

impl Classes {
    pub(super) fn of(nfa: &Nfa) -> Self {
        let labels: HashSet<Label> =
            nfa.states.iter().flat_map(|state| state.edges.iter().map(|(label, _)| *label)).collect();
        let mut of_byte = [0_u8; 256];
        for label in &labels {
            split(&mut of_byte, label);
        }
        let mut examples: Vec<u8> = Vec::new();
        for (byte, class) in (0..=u8::MAX).zip(of_byte) {
            if usize::from(class) == examples.len() {
                examples.push(byte);
            }
        }
        let named = |byte: u8| labels.contains(&Label::Byte(byte));
        let rest = (0..=u8::MAX).zip(of_byte).find(|(byte, _)| !named(*byte)).map_or(0, |(_, class)| class);
        Self { of_byte, examples, rest }
    }

    pub(super) fn count(&self) -> usize {
        self.examples.len()
    }
}

/// Splits every class that a label cuts, numbering classes by their first byte.
fn split(of_byte: &mut [u8; 256], label: &Label) {
    let mut numbers: HashMap<(u8, bool), u8> = HashMap::new();
    for (byte, class) in (0..=u8::MAX).zip(of_byte.iter_mut()) {
        let next = u8::try_from(numbers.len()).unwrap_or(u8::MAX);
        *class = *numbers.entry((*class, label.contains(byte))).or_insert(next);
    }
}
