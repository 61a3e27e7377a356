//! Subset construction: sets of NFA states become states of the DFA.
//!
//! A DFA state says where the rest class leads and lists only the classes that lead elsewhere, so work and memory
//! follow what patterns name, not the size of the alphabet.

use std::rc::Rc;

use foldhash::{HashMap, HashMapExt as _};

use super::classes::Classes;
use super::nfa::{Label, Nfa, START};
use super::{MAX_OFFENDERS, MAX_SET_MEMBERS, MAX_STEPS, TooLarge};

/// A DFA with sparse transitions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Dfa {
    pub(super) start: u32,
    /// Next state on the rest class, and row, by state.
    pub(super) heads: Vec<Head>,
    /// Classes that lead elsewhere, sorted; `heads` says where a state's begin.
    pub(super) edges: Vec<(u8, u32)>,
}

/// What a state has once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) otherwise: u32,
    pub(super) row: u32,
    pub(super) first_edge: usize,
    pub(super) last_edge: usize,
}

impl Dfa {
    pub(super) fn len(&self) -> usize {
        self.heads.len()
    }

    pub(super) fn edges_of(&self, head: &Head) -> &[(u8, u32)] {
        self.edges.get(head.first_edge..head.last_edge).unwrap_or(&[])
    }
}

/// An edge in terms of classes.
enum Step {
    /// Only on this class.
    One(u8),
    /// On a few classes, not the rest.
    Few(Vec<u8>),
    /// On the rest class and all others but these.
    AllBut(Vec<u8>),
}

struct Work<'n> {
    nfa: &'n Nfa,
    steps: Vec<Vec<(Step, u32)>>,
    sets: Vec<Rc<[u32]>>,
    ids: HashMap<Rc<[u32]>, u32>,
    seen: Vec<u32>,
    set: Vec<u32>,
    open: Vec<u32>,
    round: u32,
    members: usize,
    done: u64,
    limit: usize,
}

pub(super) fn determinise(
    nfa: &Nfa,
    classes: &Classes,
    limit: usize,
    mut row_of: impl FnMut(&[u32]) -> u32,
) -> Result<Dfa, TooLarge> {
    let mut work = Work::new(nfa, classes, limit);
    let mut dfa = Dfa { start: work.next(&[START])?, ..Dfa::default() };
    let mut rows: HashMap<Vec<u32>, u32> = HashMap::new();
    let mut next = 0;
    while let Some(set) = work.sets.get(next).cloned() {
        next += 1;
        let row = *rows.entry(work.tags(&set)).or_insert_with_key(|tags| row_of(tags));
        let first_edge = dfa.edges.len();
        let otherwise = work.transitions(&set, &mut dfa.edges)?;
        dfa.heads.push(Head { otherwise, row, first_edge, last_edge: dfa.edges.len() });
    }
    Ok(dfa)
}

impl<'n> Work<'n> {
    fn new(nfa: &'n Nfa, classes: &Classes, limit: usize) -> Self {
        let mut known: HashMap<Label, Vec<bool>> = HashMap::new();
        let steps = nfa
            .states
            .iter()
            .map(|state| {
                let step = |(label, to): &(Label, u32)| (step_of(label, classes, &mut known), *to);
                state.edges.iter().map(step).collect()
            })
            .collect();
        Self {
            nfa,
            steps,
            sets: Vec::new(),
            ids: HashMap::new(),
            seen: vec![0; nfa.states.len()],
            set: Vec::new(),
            open: Vec::new(),
            round: 0,
            members: 0,
            done: 0,
            limit,
        }
    }

    /// The states reached without reading, sorted; only those that do something.
    fn close(&mut self, from: &[u32], found: &mut Vec<u32>) {
        self.round += 1;
        found.clear();
        let mut open = std::mem::take(&mut self.open);
        open.extend(from);
        while let Some(id) = open.pop() {
            let Some(mark) = usize::try_from(id).ok().and_then(|at| self.seen.get_mut(at)) else { continue };
            if *mark == self.round {
                continue;
            }
            *mark = self.round;
            self.done += 1;
            let Some(state) = self.nfa.state(id) else { continue };
            open.extend(&state.aside);
            if !state.edges.is_empty() || !state.tags.is_empty() {
                found.push(id);
            }
        }
        self.open = open;
        found.sort_unstable();
    }

    fn id(&mut self, set: &[u32]) -> Result<u32, TooLarge> {
        if let Some(id) = self.ids.get(set) {
            return Ok(*id);
        }
        self.members += set.len();
        let id = self.sets.len();
        if id >= self.limit || self.members > MAX_SET_MEMBERS || self.done > MAX_STEPS {
            return Err(TooLarge { states: self.limit, tags: self.offenders() });
        }
        let id = u32::try_from(id).unwrap_or(u32::MAX);
        let set: Rc<[u32]> = set.into();
        self.sets.push(set.clone());
        self.ids.insert(set, id);
        Ok(id)
    }

    fn tags(&self, set: &[u32]) -> Vec<u32> {
        let states = set.iter().filter_map(|id| self.nfa.state(*id));
        let mut tags: Vec<u32> = states.flat_map(|state| state.tags.iter().copied()).collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }

    /// Adds the edges of a state and returns where the rest class leads.
    fn transitions(&mut self, set: &[u32], edges: &mut Vec<(u8, u32)>) -> Result<u32, TooLarge> {
        let mut wide: Vec<(u32, &[u8])> = Vec::new();
        let mut narrow: Vec<(u8, u32)> = Vec::new();
        let mut touched: Vec<u8> = Vec::new();
        let steps = std::mem::take(&mut self.steps);
        for (step, to) in set.iter().filter_map(|id| steps.get(usize::try_from(*id).ok()?)).flatten() {
            match step {
                Step::One(class) => narrow.push((*class, *to)),
                Step::Few(classes) => narrow.extend(classes.iter().map(|class| (*class, *to))),
                Step::AllBut(classes) => {
                    wide.push((*to, classes));
                    touched.extend(classes);
                }
            }
        }
        touched.extend(narrow.iter().map(|(class, _)| *class));
        touched.sort_unstable();
        touched.dedup();
        let targets: Vec<u32> = wide.iter().map(|(to, _)| *to).collect();
        let result = self.next(&targets).and_then(|otherwise| {
            for class in touched {
                let wide = wide.iter().filter(|(_, but)| !but.contains(&class)).map(|(to, _)| *to);
                let narrow = narrow.iter().filter(|(own, _)| *own == class).map(|(_, to)| *to);
                let targets: Vec<u32> = wide.chain(narrow).collect();
                let to = self.next(&targets)?;
                if to != otherwise {
                    edges.push((class, to));
                }
            }
            Ok(otherwise)
        });
        self.steps = steps;
        result
    }

    fn next(&mut self, targets: &[u32]) -> Result<u32, TooLarge> {
        let mut set = std::mem::take(&mut self.set);
        self.close(targets, &mut set);
        let id = self.id(&set);
        self.set = set;
        id
    }

    /// Tags of the patterns whose states are in most sets.
    fn offenders(&self) -> Vec<u32> {
        let mut weight: HashMap<u32, usize> = HashMap::new();
        for id in self.sets.iter().flat_map(|set| set.iter()) {
            if let Some(state) = self.nfa.state(*id) {
                *weight.entry(state.owner).or_default() += 1;
            }
        }
        let mut weights: Vec<(usize, u32)> = weight.into_iter().map(|(tag, count)| (count, tag)).collect();
        weights.sort_unstable_by(|left, right| right.cmp(left));
        weights.into_iter().take(MAX_OFFENDERS).map(|(_, tag)| tag).collect()
    }
}

fn step_of(label: &Label, classes: &Classes, known: &mut HashMap<Label, Vec<bool>>) -> Step {
    if let Label::Byte(byte) = label {
        return Step::One(classes.of_byte.get(usize::from(*byte)).copied().unwrap_or(0));
    }
    let inside = known
        .entry(*label)
        .or_insert_with(|| classes.examples.iter().map(|byte| label.contains(*byte)).collect());
    let pick = |wanted: bool| {
        let numbered = (0..=u8::MAX).zip(inside.iter());
        numbered.filter(|(_, inside)| **inside == wanted).map(|(class, _)| class).collect()
    };
    let rest = inside.get(usize::from(classes.rest)).copied().unwrap_or(false);
    if rest { Step::AllBut(pick(false)) } else { Step::Few(pick(true)) }
}
