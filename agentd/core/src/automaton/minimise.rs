//! States that no text can tell apart become one: partition refinement, starting from the rows.

use std::collections::HashMap;

use super::subset::{Dfa, Head};

pub(super) fn minimise(dfa: &Dfa) -> Dfa {
    let mut parts = by_row(dfa);
    loop {
        let (finer, count) = refine(dfa, &parts.0);
        let stable = count == parts.1;
        parts = (finer, count);
        if stable {
            return merged(dfa, &parts.0, parts.1);
        }
    }
}

/// Part of each state, and how many parts there are.
type Parts = (Vec<u32>, usize);

fn by_row(dfa: &Dfa) -> Parts {
    let mut numbers: HashMap<u32, u32> = HashMap::new();
    let parts = dfa
        .heads
        .iter()
        .map(|head| {
            let next = number(numbers.len());
            *numbers.entry(head.row).or_insert(next)
        })
        .collect();
    (parts, numbers.len())
}

/// Tells apart states of one part that lead to different parts.
fn refine(dfa: &Dfa, parts: &[u32]) -> Parts {
    let mut numbers: HashMap<Box<[u32]>, u32> = HashMap::new();
    let mut key: Vec<u32> = Vec::new();
    let finer = dfa
        .heads
        .iter()
        .zip(parts)
        .map(|(head, own)| {
            let otherwise = part(parts, head.otherwise);
            key.clear();
            key.extend([*own, otherwise]);
            for (class, to) in dfa.edges_of(head) {
                let to = part(parts, *to);
                if to != otherwise {
                    key.extend([u32::from(*class), to]);
                }
            }
            match numbers.get(key.as_slice()) {
                Some(number) => *number,
                None => {
                    let next = number(numbers.len());
                    numbers.insert(key.as_slice().into(), next);
                    next
                }
            }
        })
        .collect();
    (finer, numbers.len())
}

/// One state per part, in the order in which parts first appear.
fn merged(dfa: &Dfa, parts: &[u32], count: usize) -> Dfa {
    let mut small =
        Dfa { start: part(parts, dfa.start), heads: Vec::with_capacity(count), edges: Vec::new() };
    for (head, own) in dfa.heads.iter().zip(parts) {
        if usize::try_from(*own).ok() != Some(small.heads.len()) {
            continue;
        }
        let otherwise = part(parts, head.otherwise);
        let first_edge = small.edges.len();
        let edges = dfa.edges_of(head).iter().map(|(class, to)| (*class, part(parts, *to)));
        small.edges.extend(edges.filter(|(_, to)| *to != otherwise));
        small.heads.push(Head { otherwise, row: head.row, first_edge, last_edge: small.edges.len() });
    }
    small
}

fn part(parts: &[u32], state: u32) -> u32 {
    usize::try_from(state).ok().and_then(|state| parts.get(state)).copied().unwrap_or(0)
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
