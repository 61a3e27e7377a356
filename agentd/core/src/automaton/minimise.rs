//! States that no text can tell apart become one: partition refinement, starting from the rows. After the first round
//! only states are looked at again that lead to a part which has just been split.

use foldhash::{HashMap, HashMapExt as _};

use super::subset::{Dfa, Head};

pub(super) fn minimise(dfa: &Dfa) -> Dfa {
    let before = Before::of(dfa);
    let mut parts = Parts::by_row(dfa);
    let mut open: Vec<u32> = (0..number(dfa.len())).collect();
    while !open.is_empty() {
        let moved = parts.split(dfa, &open);
        open = before.all(&moved);
    }
    merged(dfa, &parts)
}

/// The states that lead to each state.
struct Before {
    first: Vec<usize>,
    states: Vec<u32>,
}

impl Before {
    fn of(dfa: &Dfa) -> Self {
        let mut pairs: Vec<(u32, u32)> = Vec::with_capacity(dfa.edges.len() + dfa.len());
        for (from, head) in (0..).zip(&dfa.heads) {
            pairs.push((head.otherwise, from));
            pairs.extend(dfa.edges_of(head).iter().map(|(_, to)| (*to, from)));
        }
        pairs.sort_unstable();
        pairs.dedup();
        let first = (0..=number(dfa.len())).map(|to| pairs.partition_point(|pair| pair.0 < to)).collect();
        Self { first, states: pairs.into_iter().map(|(_, from)| from).collect() }
    }

    /// Those that lead to any of some states, each once.
    fn all(&self, states: &[u32]) -> Vec<u32> {
        let of = |state: &u32| {
            let at = index(*state);
            self.states.get(*self.first.get(at)?..*self.first.get(at + 1)?)
        };
        let mut all: Vec<u32> = states.iter().filter_map(of).flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Parts have numbers; a number once given is never given to another part.
struct Parts {
    of_state: Vec<u32>,
    sizes: Vec<usize>,
}

impl Parts {
    fn by_row(dfa: &Dfa) -> Self {
        let mut numbers: HashMap<u32, u32> = HashMap::new();
        let mut parts = Self { of_state: Vec::with_capacity(dfa.len()), sizes: Vec::new() };
        for head in &dfa.heads {
            let part = *numbers.entry(head.row).or_insert_with(|| parts.fresh());
            parts.of_state.push(part);
            parts.grow(part, 1);
        }
        parts
    }

    /// Tells apart states of one part that lead to different parts. Who is not looked at leads where it led before, so
    /// it stays together with the likes of it. Returns the states that are in another part now.
    fn split(&mut self, dfa: &Dfa, open: &[u32]) -> Vec<u32> {
        let mut groups = self.alike(dfa, open);
        groups.sort_unstable_by_key(|(part, states)| (*part, states.len()));
        let mut moved = Vec::new();
        for groups in groups.chunk_by(|one, other| one.0 == other.0) {
            let Some(((part, _), smaller)) = groups.split_last() else { continue };
            let looked_at: usize = groups.iter().map(|(_, states)| states.len()).sum();
            // Someone keeps the number: who was not looked at, or else the largest group.
            let someone_stays = self.sizes.get(index(*part)).is_some_and(|size| *size > looked_at);
            for (_, states) in if someone_stays { groups } else { smaller } {
                let own = self.fresh();
                self.grow(own, states.len());
                if let Some(size) = self.sizes.get_mut(index(*part)) {
                    *size -= states.len();
                }
                for state in states {
                    if let Some(part) = self.of_state.get_mut(index(*state)) {
                        *part = own;
                    }
                }
                moved.extend(states);
            }
        }
        moved
    }

    /// Groups of states that are in one part and lead to the same parts.
    fn alike(&self, dfa: &Dfa, open: &[u32]) -> Vec<(u32, Vec<u32>)> {
        let mut numbers: HashMap<Box<[u32]>, usize> = HashMap::new();
        let mut groups: Vec<(u32, Vec<u32>)> = Vec::new();
        let mut key: Vec<u32> = Vec::new();
        for state in open {
            let Some(head) = dfa.heads.get(index(*state)) else { continue };
            let (own, otherwise) = (self.part(*state), self.part(head.otherwise));
            key.clear();
            key.extend([own, otherwise]);
            for (class, to) in dfa.edges_of(head) {
                let to = self.part(*to);
                if to != otherwise {
                    key.extend([u32::from(*class), to]);
                }
            }
            let group = match numbers.get(key.as_slice()) {
                Some(group) => *group,
                None => {
                    numbers.insert(key.as_slice().into(), groups.len());
                    groups.push((own, Vec::new()));
                    groups.len() - 1
                }
            };
            if let Some((_, states)) = groups.get_mut(group) {
                states.push(*state);
            }
        }
        groups
    }

    fn part(&self, state: u32) -> u32 {
        self.of_state.get(index(state)).copied().unwrap_or(0)
    }

    fn fresh(&mut self) -> u32 {
        self.sizes.push(0);
        number(self.sizes.len() - 1)
    }

    fn grow(&mut self, part: u32, by: usize) {
        if let Some(size) = self.sizes.get_mut(index(part)) {
            *size += by;
        }
    }
}

/// One state per part, in the order in which parts first appear.
fn merged(dfa: &Dfa, parts: &Parts) -> Dfa {
    let mut places: Vec<Option<u32>> = vec![None; parts.sizes.len()];
    let mut firsts: Vec<&Head> = Vec::new();
    for (head, part) in dfa.heads.iter().zip(&parts.of_state) {
        if let Some(place @ None) = places.get_mut(index(*part)) {
            *place = Some(number(firsts.len()));
            firsts.push(head);
        }
    }
    let place = |state: u32| places.get(index(parts.part(state))).copied().flatten().unwrap_or(0);
    let mut small =
        Dfa { start: place(dfa.start), heads: Vec::with_capacity(firsts.len()), edges: Vec::new() };
    for head in firsts {
        let otherwise = place(head.otherwise);
        let first_edge = small.edges.len();
        let edges = dfa.edges_of(head).iter().map(|(class, to)| (*class, place(*to)));
        small.edges.extend(edges.filter(|(_, to)| *to != otherwise));
        small.heads.push(Head { otherwise, row: head.row, first_edge, last_edge: small.edges.len() });
    }
    small
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
