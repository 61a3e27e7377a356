//! A map that forgets its oldest entry rather than grow: nothing that an agent does may make agentd large.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// A map with a limit.
#[derive(Debug)]
pub struct Bounded<K, V> {
    limit: usize,
    entries: HashMap<K, (u64, V)>,
    /// Keys by age. A key that was removed or replaced stays here until its turn; its stamp tells.
    ages: VecDeque<(u64, K)>,
    stamp: u64,
}

impl<K: Eq + Hash + Clone, V> Bounded<K, V> {
    /// Holds at most `limit` entries.
    pub fn new(limit: usize) -> Self {
        Self { limit, entries: HashMap::new(), ages: VecDeque::new(), stamp: 0 }
    }

    /// Puts an entry in, as the newest. An entry of the same key goes.
    pub fn insert(&mut self, key: K, value: V) {
        self.stamp += 1;
        self.entries.insert(key.clone(), (self.stamp, value));
        self.ages.push_back((self.stamp, key));
        while self.entries.len() > self.limit || self.ages.len() > self.limit.saturating_mul(2) {
            let Some((stamp, key)) = self.ages.pop_front() else { return };
            if self.entries.get(&key).is_some_and(|(current, _)| *current == stamp) {
                self.entries.remove(&key);
            }
        }
    }

    /// The entry of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// The entry of a key, to change.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key).map(|(_, value)| value)
    }

    /// Entries now.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.ages.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest() {
        let mut map = Bounded::new(2);
        for key in 1..=3 {
            map.insert(key, key * 10);
        }
        assert_eq!((map.get(&1), map.get(&2), map.get(&3)), (None, Some(&20), Some(&30)));
    }

    #[test]
    fn an_entry_that_is_put_in_again_is_new_again() {
        let mut map = Bounded::new(2);
        map.insert(1, 'a');
        map.insert(2, 'b');
        map.insert(1, 'c');
        map.insert(3, 'd');
        assert_eq!((map.get(&1), map.get(&2), map.get(&3)), (Some(&'c'), None, Some(&'d')));
    }

    #[test]
    fn stays_small_when_entries_come_and_go() {
        let mut map = Bounded::new(4);
        for key in 0..10_000 {
            map.insert(key, ());
            map.remove(&key);
        }
        assert!(map.is_empty());
        assert!(map.ages.len() <= 8);
    }
}
