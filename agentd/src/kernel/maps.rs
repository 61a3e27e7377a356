//! The maps as typed handles: every read and write of a map is here.

use std::io;

use agentguard_bpf::types;
use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapImpl, Mut};

use super::KernelError;
use super::wire::{Wire, bytes_of, value_of};

/// Handles to the loaded maps. They outlive the object that loaded them.
pub(super) struct Maps {
    pub(super) task_label: MapHandle,
    pub(super) agents: MapHandle,
    pub(super) rules: MapHandle,
    pub(super) prefix_ranges: MapHandle,
    pub(super) resolvers: MapHandle,
    pub(super) exec_files: MapHandle,
    pub(super) host_mounts: MapHandle,
    pub(super) cgroup_label: MapHandle,
    pub(super) cgroup_place: MapHandle,
    pub(super) enroll_label: MapHandle,
    pub(super) open_files: MapHandle,
    pub(super) peer_bytes: MapHandle,
    pub(super) holds: MapHandle,
    pub(super) hold_answers: MapHandle,
    pub(super) standing_answers: MapHandle,
    pub(super) hash_key: MapHandle,
    pub(super) held_events: MapHandle,
    pub(super) events: MapHandle,
    pub(super) counters: MapHandle,
}

impl Maps {
    /// Takes its own handles on the maps of a loaded object.
    pub(super) fn of(maps: &agentguard_bpf::AgentguardMaps<'_>) -> Result<Self, KernelError> {
        Ok(Self {
            task_label: handle(&maps.task_label)?,
            agents: handle(&maps.agents)?,
            rules: handle(&maps.rules)?,
            prefix_ranges: handle(&maps.prefix_ranges)?,
            resolvers: handle(&maps.resolvers)?,
            exec_files: handle(&maps.exec_files)?,
            host_mounts: handle(&maps.host_mounts)?,
            cgroup_label: handle(&maps.cgroup_label)?,
            cgroup_place: handle(&maps.cgroup_place)?,
            enroll_label: handle(&maps.enroll_label)?,
            open_files: handle(&maps.open_files)?,
            peer_bytes: handle(&maps.peer_bytes)?,
            holds: handle(&maps.holds)?,
            hold_answers: handle(&maps.hold_answers)?,
            standing_answers: handle(&maps.standing_answers)?,
            hash_key: handle(&maps.hash_key)?,
            held_events: handle(&maps.held_events)?,
            events: handle(&maps.events)?,
            counters: handle(&maps.counters)?,
        })
    }

    /// An agent's entry; a slot that was never used is all zero.
    pub(super) fn agent(&self, slot: u32) -> Result<types::agent, KernelError> {
        lookup(&self.agents, &slot)?.ok_or_else(|| KernelError::Missing(format!("no agent slot {slot}")))
    }
}

fn handle(map: &MapImpl<'_, Mut>) -> Result<MapHandle, KernelError> {
    MapHandle::try_from(map).map_err(|error| failed("taking a handle on a map", error))
}

/// Names what failed on which map.
pub(super) fn failed(what: impl Into<String>, error: libbpf_rs::Error) -> KernelError {
    let what = what.into();
    match error.kind() {
        libbpf_rs::ErrorKind::NotFound => KernelError::Missing(format!("{what}: {error}")),
        _ => KernelError::System { what, source: io::Error::other(format!("{error:#}")) },
    }
}

fn name(map: &MapHandle) -> String {
    map.name().to_string_lossy().into_owned()
}

/// Reads one entry.
pub(super) fn lookup<K: Wire, V: Wire>(map: &MapHandle, key: &K) -> Result<Option<V>, KernelError> {
    let found = map
        .lookup(bytes_of(key), MapFlags::ANY)
        .map_err(|error| failed(format!("reading map {}", name(map)), error))?;
    Ok(found.as_deref().and_then(value_of))
}

/// Writes one entry. A full map is [`KernelError::Full`].
pub(super) fn update<K: Wire, V: Wire>(map: &MapHandle, key: &K, value: &V) -> Result<(), KernelError> {
    map.update(bytes_of(key), bytes_of(value), MapFlags::ANY).map_err(|error| match error.kind() {
        libbpf_rs::ErrorKind::Other if error.to_string().contains("E2BIG") => full(map),
        _ if map.max_entries() > 1 && is_full(&error) => full(map),
        _ => failed(format!("writing map {}", name(map)), error),
    })
}

fn is_full(error: &libbpf_rs::Error) -> bool {
    let text = error.to_string();
    text.contains("Argument list too long") || text.contains("No space left")
}

fn full(map: &MapHandle) -> KernelError {
    KernelError::Full(format!("map {} is full ({} entries)", name(map), map.max_entries()))
}

/// Removes one entry; one that is not there is fine.
pub(super) fn remove<K: Wire>(map: &MapHandle, key: &K) -> Result<(), KernelError> {
    match map.delete(bytes_of(key)) {
        Err(error) if error.kind() != libbpf_rs::ErrorKind::NotFound => {
            Err(failed(format!("deleting from map {}", name(map)), error))
        }
        _ => Ok(()),
    }
}

/// All entries, as far as they can be read while the kernel goes on.
pub(super) fn entries<K: Wire, V: Wire>(map: &MapHandle) -> Vec<(K, V)> {
    let read = |key: Vec<u8>| {
        let value = map.lookup(&key, MapFlags::ANY).ok().flatten()?;
        Some((value_of(&key)?, value_of(&value)?))
    };
    map.keys().filter_map(read).collect()
}
