//! Matches one pattern by following the set of positions that the text can have been read to. Slow beside the
//! automaton and independent of it: both must give the same answers, and tests hold them to it.

use super::Node;

pub(super) fn matches(nodes: &[Node], text: &[u8]) -> bool {
    let mut reached = vec![false; text.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    sequence(nodes, text, reached).last().copied().unwrap_or(false)
}

/// Positions that can be reached through all of `nodes` from the given ones.
fn sequence(nodes: &[Node], text: &[u8], mut reached: Vec<bool>) -> Vec<bool> {
    for node in nodes {
        if !reached.contains(&true) {
            break;
        }
        reached = step(node, text, &reached);
    }
    reached
}

fn step(node: &Node, text: &[u8], from: &[bool]) -> Vec<bool> {
    match node {
        Node::Byte(wanted) => single(text, from, |byte| byte == *wanted),
        Node::Class(set) => single(text, from, |byte| set.contains(byte)),
        Node::Star => run(text, from, |byte| byte != b'/'),
        Node::Any => run(text, from, |_| true),
        Node::Gap => {
            let after_slash = single(text, &run(text, from, |_| true), |byte| byte == b'/');
            union(from.to_vec(), &after_slash)
        }
        Node::Group(branches) => {
            let none = vec![false; from.len()];
            branches
                .iter()
                .fold(none, |reached, branch| union(reached, &sequence(branch, text, from.to_vec())))
        }
    }
}

/// One byte that fits.
fn single(text: &[u8], from: &[bool], fits: impl Fn(u8) -> bool) -> Vec<bool> {
    let after = from.iter().zip(text).map(|(reached, byte)| *reached && fits(*byte));
    std::iter::once(false).chain(after).collect()
}

/// Any number of bytes that fit.
fn run(text: &[u8], from: &[bool], fits: impl Fn(u8) -> bool) -> Vec<bool> {
    let mut inside = from.first().copied().unwrap_or(false);
    let first = inside;
    let rest = from.iter().skip(1).zip(text).map(|(reached, byte)| {
        inside = *reached || (inside && fits(*byte));
        inside
    });
    std::iter::once(first).chain(rest).collect()
}

fn union(mut left: Vec<bool>, right: &[bool]) -> Vec<bool> {
    left.iter_mut().zip(right).for_each(|(left, right)| *left |= *right);
    left
}
