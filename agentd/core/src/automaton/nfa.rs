//! Patterns as one nondeterministic automaton. Common beginnings are shared, so thousands of paths below one
//! directory cost little more than their differences.

use std::collections::HashMap;

use super::{Entry, MAX_NFA_STATES};
use crate::pattern::{ByteSet, Node};

/// The automaton.
pub(super) struct Nfa {
    pub(super) states: Vec<NfaState>,
}

/// One state.
#[derive(Default)]
pub(super) struct NfaState {
    /// Where to be as well, without reading a byte.
    pub(super) aside: Vec<u32>,
    /// Where a byte leads.
    pub(super) edges: Vec<(Label, u32)>,
    /// Patterns that match if the text ends here.
    pub(super) tags: Vec<u32>,
    /// First pattern that needed this state.
    pub(super) owner: u32,
}

/// Bytes that an edge takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Label {
    Byte(u8),
    Set(ByteSet),
}

impl Label {
    pub(super) fn contains(&self, byte: u8) -> bool {
        match self {
            Self::Byte(own) => *own == byte,
            Self::Set(set) => set.contains(byte),
        }
    }
}

pub(super) const START: u32 = 0;

struct Builder<'p> {
    states: Vec<NfaState>,
    /// Where a step from a state leads, if some pattern took it before.
    known: HashMap<(u32, &'p Node), u32>,
    tails: HashMap<u32, u32>,
    owner: u32,
}

impl Nfa {
    /// `None` if there would be more than [`MAX_NFA_STATES`].
    pub(super) fn build(entries: &[Entry<'_>]) -> Option<Self> {
        let mut builder = Builder {
            states: vec![NfaState::default()],
            known: HashMap::new(),
            tails: HashMap::new(),
            owner: 0,
        };
        for entry in entries {
            builder.entry(entry)?;
        }
        Some(Self { states: builder.states })
    }

    pub(super) fn state(&self, id: u32) -> Option<&NfaState> {
        self.states.get(usize::try_from(id).ok()?)
    }
}

impl<'p> Builder<'p> {
    fn add(&mut self) -> Option<u32> {
        if self.states.len() >= MAX_NFA_STATES {
            return None;
        }
        let id = u32::try_from(self.states.len()).ok()?;
        self.states.push(NfaState { owner: self.owner, ..NfaState::default() });
        Some(id)
    }

    fn state(&mut self, id: u32) -> Option<&mut NfaState> {
        self.states.get_mut(usize::try_from(id).ok()?)
    }

    fn edge(&mut self, from: u32, label: Label, to: u32) -> Option<()> {
        self.state(from)?.edges.push((label, to));
        Some(())
    }

    fn aside(&mut self, from: u32, to: u32) -> Option<()> {
        let aside = &mut self.state(from)?.aside;
        if !aside.contains(&to) {
            aside.push(to);
        }
        Some(())
    }

    fn entry(&mut self, entry: &Entry<'p>) -> Option<()> {
        self.owner = entry.tag;
        match entry.pattern.nodes().split_last() {
            Some((Node::Any, before)) => {
                let at = self.sequence(START, before)?;
                let tail = match self.tails.get(&entry.tail) {
                    Some(tail) => *tail,
                    None => self.tail(entry)?,
                };
                self.aside(at, tail)
            }
            _ => {
                let end = self.sequence(START, entry.pattern.nodes())?;
                self.state(end)?.tags.push(entry.tag);
                Some(())
            }
        }
    }

    /// The state after which everything matches.
    fn tail(&mut self, entry: &Entry<'p>) -> Option<u32> {
        let tail = self.add()?;
        self.edge(tail, Label::Set(ByteSet::ALL), tail)?;
        self.state(tail)?.tags.push(entry.tag);
        self.tails.insert(entry.tail, tail);
        Some(tail)
    }

    fn sequence(&mut self, from: u32, nodes: &'p [Node]) -> Option<u32> {
        nodes.iter().try_fold(from, |at, node| match self.known.get(&(at, node)) {
            Some(next) => Some(*next),
            None => {
                let next = self.node(at, node)?;
                self.known.insert((at, node), next);
                Some(next)
            }
        })
    }

    fn node(&mut self, from: u32, node: &'p Node) -> Option<u32> {
        let to = self.add()?;
        match node {
            Node::Byte(byte) => self.edge(from, Label::Byte(*byte), to)?,
            Node::Class(set) => self.edge(from, Label::Set(*set), to)?,
            Node::Star => {
                let mut set = ByteSet::ALL;
                set.remove(b'/');
                self.aside(from, to)?;
                self.edge(to, Label::Set(set), to)?;
            }
            Node::Any => {
                self.aside(from, to)?;
                self.edge(to, Label::Set(ByteSet::ALL), to)?;
            }
            Node::Gap => {
                let within = self.add()?;
                self.aside(from, to)?;
                self.aside(from, within)?;
                self.edge(within, Label::Set(ByteSet::ALL), within)?;
                self.edge(within, Label::Byte(b'/'), to)?;
            }
            Node::Group(branches) => {
                let fork = self.add()?;
                self.aside(from, fork)?;
                for branch in branches {
                    let end = self.sequence(fork, branch)?;
                    self.aside(end, to)?;
                }
            }
        }
        Some(to)
    }
}
