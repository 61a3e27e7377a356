//! Puts lowered rules into the maps, all or nothing, and takes them out again.
//!
//! Agents with the same rules share one ruleset: one region of the arena, one set of prefixes.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use agentguard_bpf::types;
use agentguard_core::operation::AddressOp;
use agentguard_core::tables::{Prefix, Tables};
use agentguard_core::verdict::Answer;
use libbpf_rs::MapHandle;
use sha2::{Digest as _, Sha256};

use super::arena::Arena;
use super::encode::{Region, encode_answer};
use super::maps::{Maps, entries, remove, update};
use super::wire::{Wire, bytes_of};
use super::{AgentRules, KernelError, PinnedFile};

/// Bits of a prefix key that always match whole: ruleset and operation.
const KEY_BITS: u32 = 64;

type Hash = [u8; 32];

/// One ruleset in the kernel. Its words are only there: they would be most of agentd's memory.
struct Installed {
    number: u32,
    base: u32,
    place: Place,
    prefixes: Vec<types::prefix_key>,
    resolvers: Vec<types::resolver_key>,
    exec_files: Vec<types::exec_file_key>,
    agents: u32,
}

/// Where an agent's entry must point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) ruleset: u32,
    pub(super) automaton: u32,
    pub(super) names: u32,
}

/// All rulesets in the kernel.
pub(super) struct Rulesets {
    arena: Arena,
    by_hash: HashMap<Hash, Installed>,
    /// Which ruleset each slot uses.
    by_slot: HashMap<u32, Hash>,
    /// Regions that an earlier agentd wrote, by the slot that still points to them.
    adopted: HashMap<u32, u32>,
    next_number: u32,
}

impl Rulesets {
    /// Starts from what the agents table points to now.
    pub(super) fn adopt(mut arena: Arena, maps: &Maps) -> Result<Self, KernelError> {
        let mut adopted = HashMap::new();
        let (mut newest, mut pointed_to) = (0, BTreeSet::new());
        for slot in 0..types::limits::MAX_AGENTS.0 {
            let agent = maps.agent(slot)?;
            newest = newest.max(agent.ruleset);
            if agent.rules != 0 {
                pointed_to.insert(agent.ruleset);
                adopted.insert(slot, arena.adopt(agent.rules)?);
            }
        }
        // An agentd before this one could not take away what it had not put there itself.
        remove_unless::<types::prefix_key, types::prefix_value>(&maps.prefix_ranges, |key| {
            pointed_to.contains(&key.ruleset)
        })?;
        remove_unless::<types::resolver_key, u32>(&maps.resolvers, |key| pointed_to.contains(&key.ruleset))?;
        remove_unless::<types::exec_file_key, types::exec_file_value>(&maps.exec_files, |key| {
            pointed_to.contains(&key.ruleset)
        })?;
        Ok(Self { arena, by_hash: HashMap::new(), by_slot: HashMap::new(), adopted, next_number: newest + 1 })
    }

    /// Makes the rules present and returns where they are. Nothing points to them yet.
    pub(super) fn prepare(
        &mut self,
        maps: &Maps,
        rules: &AgentRules<'_>,
    ) -> Result<(Hash, Place), KernelError> {
        let AgentRules { tables, resolvers, pins, .. } = *rules;
        let region = Region::encode(tables);
        let hash = hash_of(&region, tables, resolvers, pins);
        if !self.by_hash.contains_key(&hash) {
            let number = self.next_number;
            let base = self.arena.reserve(region.words.len() as u32)?;
            self.next_number += 1;
            if let Err(error) = self.arena.write(base, &region.relocated(base)) {
                self.arena.retire(base);
                return Err(error);
            }
            let mut ruleset = Installed {
                number,
                base,
                place: Place {
                    ruleset: number,
                    automaton: base + region.automaton,
                    names: base + region.names,
                },
                prefixes: Vec::new(),
                resolvers: Vec::new(),
                exec_files: Vec::new(),
                agents: 0,
            };
            if let Err(error) = ruleset.insert(maps, tables, &region.prefixes, resolvers, pins) {
                ruleset.withdraw(maps);
                self.arena.retire(base);
                return Err(error);
            }
            self.by_hash.insert(hash, ruleset);
        }
        self.by_hash
            .get(&hash)
            .map(|ruleset| (hash, ruleset.place))
            .ok_or_else(|| KernelError::Missing("a ruleset vanished while it was installed".to_owned()))
    }

    /// The agents table points to the ruleset now; what the slot used before can go.
    pub(super) fn commit(&mut self, maps: &Maps, slot: u32, hash: Hash) {
        if self.by_slot.get(&slot) == Some(&hash) {
            return;
        }
        if let Some(ruleset) = self.by_hash.get_mut(&hash) {
            ruleset.agents += 1;
        }
        self.forget(maps, slot);
        self.by_slot.insert(slot, hash);
    }

    /// No agent is in this slot any more.
    pub(super) fn forget(&mut self, maps: &Maps, slot: u32) {
        if let Some(base) = self.adopted.remove(&slot)
            && !self.adopted.values().any(|other| *other == base)
        {
            self.arena.retire(base);
        }
        let Some(hash) = self.by_slot.remove(&slot) else { return };
        let Some(ruleset) = self.by_hash.get_mut(&hash) else { return };
        ruleset.agents = ruleset.agents.saturating_sub(1);
        if ruleset.agents == 0
            && let Some(ruleset) = self.by_hash.remove(&hash)
        {
            ruleset.withdraw(maps);
            self.arena.retire(ruleset.base);
        }
    }

    /// Where the rules that an agent's entry points to are not these, one line each.
    pub(super) fn differences(
        &self,
        maps: &Maps,
        entry: &types::agent,
        rules: &AgentRules<'_>,
    ) -> Result<Vec<String>, KernelError> {
        let region = Region::encode(rules.tables);
        let base = entry.rules.saturating_sub(region.automaton);
        let mut found = Vec::new();
        if self.arena.words(base, region.words.len())? != region.relocated(base)
            || entry.names != base + region.names
        {
            found.push("the rules about paths, names and ports".to_owned());
        }
        let ruleset = entry.ruleset;
        let prefixes: BTreeSet<_> = rules
            .tables
            .prefixes
            .iter()
            .zip(&region.prefixes)
            .map(|(prefix, (word, count))| {
                let value = types::prefix_value { ranges: base + word, count: *count };
                (bytes_of(&prefix_key(ruleset, prefix)).to_vec(), bytes_of(&value).to_vec())
            })
            .collect();
        let of_prefix = |key: &types::prefix_key| key.ruleset == ruleset;
        if stored::<types::prefix_key, types::prefix_value>(&maps.prefix_ranges, of_prefix) != prefixes {
            found.push("the address prefixes".to_owned());
        }
        let resolvers: BTreeSet<_> = rules
            .resolvers
            .iter()
            .map(|resolver| (bytes_of(&resolver_key(ruleset, *resolver)).to_vec(), bytes_of(&1_u32).to_vec()))
            .collect();
        if stored::<types::resolver_key, u32>(&maps.resolvers, |key| key.ruleset == ruleset) != resolvers {
            found.push("the name servers".to_owned());
        }
        let pins: BTreeSet<_> = rules
            .pins
            .iter()
            .map(|pin| {
                let (key, value) = pinned(ruleset, pin);
                (bytes_of(&key).to_vec(), bytes_of(&value).to_vec())
            })
            .collect();
        let of_pin = |key: &types::exec_file_key| key.ruleset == ruleset;
        if stored::<types::exec_file_key, types::exec_file_value>(&maps.exec_files, of_pin) != pins {
            found.push("the executables granted by hash".to_owned());
        }
        Ok(found)
    }

    /// Entries of all rulesets in the tables of prefixes, resolvers and executables, and words in the arena. Counted here and
    /// not in the kernel, where a table of prefixes is slow to walk.
    pub(super) fn entries(&self) -> [usize; 4] {
        let all = self.by_hash.values();
        let sum = |count: fn(&Installed) -> usize| all.clone().map(count).sum();
        [
            sum(|ruleset| ruleset.prefixes.len()),
            sum(|ruleset| ruleset.resolvers.len()),
            sum(|ruleset| ruleset.exec_files.len()),
            self.arena.used_words(),
        ]
    }

    /// Slots of agents, the canary's and those of an earlier agentd included.
    pub(super) fn slots(&self) -> usize {
        self.by_slot.keys().chain(self.adopted.keys()).collect::<BTreeSet<_>>().len()
    }

    /// A ruleset that was prepared and is not used after all.
    pub(super) fn abandon(&mut self, maps: &Maps, hash: Hash) {
        if self.by_hash.get(&hash).is_some_and(|ruleset| ruleset.agents == 0)
            && let Some(ruleset) = self.by_hash.remove(&hash)
        {
            ruleset.withdraw(maps);
            self.arena.retire(ruleset.base);
        }
    }
}

impl Installed {
    fn insert(
        &mut self,
        maps: &Maps,
        tables: &Tables,
        ranges: &[(u32, u32)],
        resolvers: &[IpAddr],
        pins: &[PinnedFile],
    ) -> Result<(), KernelError> {
        for (prefix, (word, count)) in tables.prefixes.iter().zip(ranges) {
            let key = prefix_key(self.number, prefix);
            update(
                &maps.prefix_ranges,
                &key,
                &types::prefix_value { ranges: self.base + word, count: *count },
            )?;
            self.prefixes.push(key);
        }
        for resolver in resolvers {
            let key = resolver_key(self.number, *resolver);
            update(&maps.resolvers, &key, &1_u32)?;
            self.resolvers.push(key);
        }
        for pin in pins {
            let (key, value) = pinned(self.number, pin);
            update(&maps.exec_files, &key, &value)?;
            self.exec_files.push(key);
        }
        Ok(())
    }

    /// Best effort: an entry that stays is found by no ruleset number that is still in use.
    fn withdraw(&self, maps: &Maps) {
        let left = self.prefixes.iter().filter(|key| remove(&maps.prefix_ranges, *key).is_err()).count()
            + self.resolvers.iter().filter(|key| remove(&maps.resolvers, *key).is_err()).count()
            + self.exec_files.iter().filter(|key| remove(&maps.exec_files, *key).is_err()).count();
        if left > 0 {
            tracing::warn!(left, ruleset = self.number, "entries of an old ruleset could not be removed");
        }
    }
}

fn hash_of(region: &Region, tables: &Tables, resolvers: &[IpAddr], pins: &[PinnedFile]) -> Hash {
    let mut hash = Sha256::new();
    for word in &region.words {
        hash.update(word.to_le_bytes());
    }
    for prefix in &tables.prefixes {
        hash.update(format!("{:?} {}/{}\n", prefix.op, prefix.address, prefix.bits));
    }
    hash.update(format!("{:?}{:?}{resolvers:?}{pins:?}", region.prefixes, tables.pinned));
    hash.finalize().into()
}

/// What a map holds of one ruleset, as bytes.
fn stored<K: Wire, V: Wire>(map: &MapHandle, wanted: impl Fn(&K) -> bool) -> BTreeSet<(Vec<u8>, Vec<u8>)> {
    let all = entries::<K, V>(map).into_iter().filter(|(key, _)| wanted(key));
    all.map(|(key, value)| (bytes_of(&key).to_vec(), bytes_of(&value).to_vec())).collect()
}

fn remove_unless<K: Wire, V: Wire>(map: &MapHandle, wanted: impl Fn(&K) -> bool) -> Result<(), KernelError> {
    let unwanted = entries::<K, V>(map).into_iter().filter(|(key, _)| !wanted(key));
    unwanted.map(|(key, _)| key).try_for_each(|key| remove(map, &key))
}

fn resolver_key(ruleset: u32, resolver: IpAddr) -> types::resolver_key {
    types::resolver_key { ruleset, address: address_bytes(resolver) }
}

fn pinned(ruleset: u32, pin: &PinnedFile) -> (types::exec_file_key, types::exec_file_value) {
    let key = types::exec_file_key { ruleset, device: pin.device, inode: pin.inode };
    let value = types::exec_file_value {
        changed_sec: pin.changed_sec,
        changed_nsec: pin.changed_nsec,
        answer: encode_answer(pin.answer),
    };
    (key, value)
}

fn prefix_key(ruleset: u32, prefix: &Prefix) -> types::prefix_key {
    let offset = if prefix.address.is_ipv4() { 96 } else { 0 };
    let op = match prefix.op {
        AddressOp::Connect => types::address_op::ADDRESS_CONNECT,
        AddressOp::Listen => types::address_op::ADDRESS_LISTEN,
    };
    types::prefix_key {
        bits: KEY_BITS + offset + u32::from(prefix.bits),
        ruleset,
        op: op.0,
        address: address_bytes(prefix.address),
    }
}

/// IPv4 as `::ffff:a.b.c.d`.
pub(super) fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The classes and capabilities of an agent's entry, in the kernel's order.
pub(super) fn encode_answers<const N: usize>(answers: &[Answer; N]) -> [u32; N] {
    answers.map(encode_answer)
}
