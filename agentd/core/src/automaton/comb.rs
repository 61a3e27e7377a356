//! Packs sparse transitions into one array, the rows of the states laid into each other's gaps.

use super::subset::{Dfa, Head};
use crate::tables::{Edge, State};

/// Places tried for one state before it goes to the end: bounds the time, costs a few free cells.
const MAX_PROBES: usize = 256;
/// States are placed by number of edges; those with more share one search position.
const POSITIONS: usize = 16;

pub(super) struct Packed {
    pub(super) states: Vec<State>,
    pub(super) comb: Vec<Edge>,
}

const FREE: Edge = Edge { owner: u32::MAX, next: 0 };

pub(super) fn pack(dfa: &Dfa, classes: usize) -> Packed {
    let mut states = Vec::with_capacity(dfa.len());
    let mut rows: Vec<(u32, Vec<(u8, u32)>)> = Vec::new();
    for (id, head) in (0_u32..).zip(&dfa.heads) {
        let (otherwise, edges) = frequent(dfa, head, classes);
        states.push(State { base: 0, otherwise, row: head.row });
        if !edges.is_empty() {
            rows.push((id, edges));
        }
    }
    rows.sort_by_key(|(_, edges)| std::cmp::Reverse(edges.len()));
    let mut comb = Comb { cells: Vec::new(), from: [0; POSITIONS] };
    let mut last_base = 0;
    for (id, edges) in &rows {
        let base = comb.place(*id, edges);
        last_base = last_base.max(base);
        if let Some(state) = usize::try_from(*id).ok().and_then(|id| states.get_mut(id)) {
            state.base = u32::try_from(base).unwrap_or(0);
        }
    }
    comb.cells.resize(comb.cells.len().max(last_base + classes), FREE);
    Packed { states, comb: comb.cells }
}

/// The most frequent next state over all classes, and the edges that remain.
fn frequent(dfa: &Dfa, head: &Head, classes: usize) -> (u32, Vec<(u8, u32)>) {
    let edges = dfa.edges_of(head);
    if edges.len() * 2 <= classes {
        return (head.otherwise, edges.to_vec());
    }
    let mut targets: Vec<u32> = edges.iter().map(|(_, to)| *to).collect();
    targets.sort_unstable();
    let runs = targets.chunk_by(|left, right| left == right);
    let best = runs.max_by_key(|run| run.len()).filter(|run| run.len() > classes - edges.len());
    let Some(default) = best.and_then(|run| run.first()).copied() else {
        return (head.otherwise, edges.to_vec());
    };
    let all = (0..=u8::MAX).take(classes).map(|class| {
        let named = edges.iter().find(|(own, _)| *own == class);
        (class, named.map_or(head.otherwise, |(_, to)| *to))
    });
    (default, all.filter(|(_, to)| *to != default).collect())
}

struct Comb {
    cells: Vec<Edge>,
    /// Where to search, by number of edges: everything before was full or tried.
    from: [usize; POSITIONS],
}

impl Comb {
    /// Puts the edges of a state into free cells and returns its base.
    fn place(&mut self, owner: u32, edges: &[(u8, u32)]) -> usize {
        let first = edges.first().map_or(0, |(class, _)| usize::from(*class));
        let start = self.from.get(edges.len().min(POSITIONS - 1)).copied().unwrap_or(0);
        let mut cell = start.max(first);
        let mut probes = 0;
        while !self.fits(cell - first, edges) {
            probes += 1;
            cell = if probes < MAX_PROBES { cell + 1 } else { cell.max(self.cells.len() + first) + 1 };
        }
        if let Some(from) = self.from.get_mut(edges.len().min(POSITIONS - 1)) {
            *from = if probes >= MAX_PROBES / 2 { start + MAX_PROBES / 2 } else { start };
        }
        let base = cell - first;
        for (class, next) in edges {
            let at = base + usize::from(*class);
            if at >= self.cells.len() {
                self.cells.resize(at + 1, FREE);
            }
            if let Some(cell) = self.cells.get_mut(at) {
                *cell = Edge { owner, next: *next };
            }
        }
        base
    }

    fn fits(&self, base: usize, edges: &[(u8, u32)]) -> bool {
        edges.iter().all(|(class, _)| {
            self.cells.get(base + usize::from(*class)).is_none_or(|cell| cell.owner == FREE.owner)
        })
    }
}
