//! Globs over paths, abstract sockets, command lines and DNS names: what they mean, one at a time.
//!
//! A pattern is read into a small tree ([`Node`]). Many of them become one automaton elsewhere; here a single
//! pattern can be matched directly, in time bounded by pattern times text. Knows no rules and no verdicts.

mod matcher;
mod parse;

use std::cmp::Reverse;
use std::fmt;

pub use parse::PatternError;

/// Longest pattern. The kernel's longest path is as long, so a longer one could not match.
pub const MAX_PATTERN_BYTES: usize = 4096;
/// Deepest nesting of `{a,{b,c}}`.
pub const MAX_GROUP_DEPTH: usize = 4;
/// Before a command line, so that patterns for paths never match one.
pub const COMMAND_PREFIX: &str = "argv:";
/// Before a DNS name.
pub const NAME_PREFIX: &str = "dns:";
/// Before an abstract socket's name.
pub const ABSTRACT_PREFIX: &str = "@";

/// A glob that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    nodes: Vec<Node>,
    prefix: Vec<u8>,
    specificity: Specificity,
}

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Node {
    /// This byte.
    Byte(u8),
    /// One byte of a set.
    Class(ByteSet),
    /// Any run of bytes except `/`, also empty.
    Star,
    /// Any run of bytes, also empty.
    Any,
    /// After a `/`: nothing, or any run that ends in `/`.
    Gap,
    /// One of several sequences.
    Group(Vec<Vec<Node>>),
}

/// How closely a pattern names its object: the more specific of two matching rules of a layer wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Specificity {
    prefix_bytes: u32,
    literal_bytes: u32,
    wildcards: Reverse<u32>,
}

/// A set of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ByteSet([u128; 2]);

impl Pattern {
    /// Reads a pattern as written in a spec or policy, variables already replaced.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let nodes = parse::parse(text)?;
        let prefix = nodes
            .iter()
            .map_while(|node| match node {
                Node::Byte(byte) => Some(*byte),
                Node::Class(_) | Node::Star | Node::Any | Node::Gap | Node::Group(_) => None,
            })
            .collect::<Vec<u8>>();
        let (literals, wildcards) = weigh(&nodes);
        let specificity = Specificity {
            prefix_bytes: u32::try_from(prefix.len()).unwrap_or(u32::MAX),
            literal_bytes: literals,
            wildcards: Reverse(wildcards),
        };
        Ok(Self { text: text.to_owned(), nodes, prefix, specificity })
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its steps.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// How closely it names its object.
    pub fn specificity(&self) -> Specificity {
        self.specificity
    }

    /// The one text that it matches, if it has no wildcard.
    pub fn literal(&self) -> Option<&[u8]> {
        (self.prefix.len() == self.nodes.len()).then_some(self.prefix.as_slice())
    }

    /// Whether it matches the whole text.
    pub fn matches(&self, text: &[u8]) -> bool {
        text.starts_with(&self.prefix) && matcher::matches(&self.nodes, text)
    }

    /// A text as a pattern that matches only that text, to put values of variables into patterns.
    pub fn escape(text: &str) -> String {
        let mut escaped = String::with_capacity(text.len());
        for letter in text.chars() {
            if is_meta(letter) {
                escaped.push('\\');
            }
            escaped.push(letter);
        }
        escaped
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a character means something else than itself in a pattern.
pub fn is_meta(letter: char) -> bool {
    matches!(letter, '*' | '?' | '[' | ']' | '{' | '}' | ',' | '\\')
}

/// Literal bytes and wildcards of a sequence. A group is a wildcard; it lends the literal bytes of its
/// poorest branch and the wildcards of its richest, so that no branch makes the rule look more specific than it is.
fn weigh(nodes: &[Node]) -> (u32, u32) {
    nodes.iter().fold((0, 0), |(literals, wildcards), node| {
        let (more_literals, more_wildcards) = match node {
            Node::Byte(_) => (1, 0),
            Node::Class(_) | Node::Star | Node::Any => (0, 1),
            Node::Gap => (1, 1),
            Node::Group(branches) => {
                let weights: Vec<(u32, u32)> = branches.iter().map(|branch| weigh(branch)).collect();
                let fewest = weights.iter().map(|weight| weight.0).min().unwrap_or(0);
                let most = weights.iter().map(|weight| weight.1).max().unwrap_or(0);
                (fewest, most.saturating_add(1))
            }
        };
        (literals.saturating_add(more_literals), wildcards.saturating_add(more_wildcards))
    })
}

impl ByteSet {
    /// Every byte.
    pub const ALL: Self = Self([u128::MAX; 2]);

    /// Puts a byte in.
    pub fn insert(&mut self, byte: u8) {
        let [low, high] = &mut self.0;
        match byte.checked_sub(128) {
            None => *low |= 1 << byte,
            Some(rest) => *high |= 1 << rest,
        }
    }

    /// Takes a byte out.
    pub fn remove(&mut self, byte: u8) {
        let [low, high] = &mut self.0;
        match byte.checked_sub(128) {
            None => *low &= !(1 << byte),
            Some(rest) => *high &= !(1 << rest),
        }
    }

    /// Whether a byte is in.
    pub fn contains(&self, byte: u8) -> bool {
        let [low, high] = self.0;
        match byte.checked_sub(128) {
            None => low >> byte & 1 == 1,
            Some(rest) => high >> rest & 1 == 1,
        }
    }

    /// Every byte that is not in.
    #[must_use]
    pub fn complement(self) -> Self {
        let [low, high] = self.0;
        Self([!low, !high])
    }

    /// Whether no byte is in.
    pub fn is_empty(&self) -> bool {
        self.0 == [0, 0]
    }

    /// Its bytes in order.
    pub fn bytes(self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(move |byte| self.contains(*byte))
    }
}

#[cfg(test)]
mod tests;
