//! What the kernel itself says an agent's rules were made of: read from the pinned table, without asking agentd.

use aya::maps::{Array, Map, MapData};
use serde::Serialize;

use super::PINS;
use crate::exit::chain;

/// The table of agents, below the folder of a layout.
const TABLE: &str = "maps/agents";

/// Of `struct agent` in `wire.h`: seven words, the answers of 20 classes and 64 capabilities, two hashes.
const ENTRY_BYTES: usize = 7 * 4 + (20 + 64) * 4 + 2 * HASH_BYTES;
const HASH_BYTES: usize = 32;
const SERIAL_BYTES: usize = 4;

/// An entry, as far as it says whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    /// Tells an agent from one that had its place before.
    pub(crate) serial: u32,
    pub(crate) spec_sha256: String,
    pub(crate) policy_sha256: String,
}

/// The table of agents.
pub(crate) struct Table(Array<MapData, [u8; ENTRY_BYTES]>);

impl Table {
    /// Nothing if it is not there, or not for this caller: only root may look.
    pub(crate) fn open() -> Result<Option<Self>, String> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(None);
        }
        let layouts = std::fs::read_dir(PINS).into_iter().flatten().flatten();
        let table = layouts.map(|layout| layout.path().join(TABLE)).find(|path| path.exists());
        let Some(path) = table else { return Ok(None) };
        let failed = |error: &dyn std::error::Error| format!("{}: {}", path.display(), chain(error));
        let data = MapData::from_pin(&path).map_err(|error| failed(&error))?;
        let map = Map::from_map_data(data).map_err(|error| failed(&error))?;
        // Refused if the entries have another size: then agentd is of another version.
        Array::try_from(map).map(|table| Some(Self(table))).map_err(|error| failed(&error))
    }

    /// The entry in that place.
    pub(crate) fn at(&self, slot: u32) -> Result<Entry, String> {
        let bytes = self.0.get(&slot, 0).map_err(|error| chain(&error))?;
        read(&bytes).ok_or_else(|| "an entry of another size".to_owned())
    }
}

fn read(bytes: &[u8; ENTRY_BYTES]) -> Option<Entry> {
    let (rest, policy) = bytes.split_last_chunk::<HASH_BYTES>()?;
    let (rest, spec) = rest.split_last_chunk::<HASH_BYTES>()?;
    let serial = rest.first_chunk::<SERIAL_BYTES>()?;
    Some(Entry {
        serial: u32::from_ne_bytes(*serial),
        spec_sha256: hex::encode(spec),
        policy_sha256: hex::encode(policy),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_begins_with_its_serial_and_ends_with_two_hashes() {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..4].copy_from_slice(&7_u32.to_ne_bytes());
        bytes[ENTRY_BYTES - 64..ENTRY_BYTES - 32].fill(0xab);
        bytes[ENTRY_BYTES - 32..].fill(0xcd);
        let entry = read(&bytes).unwrap();
        assert_eq!(
            (entry.serial, entry.spec_sha256, entry.policy_sha256),
            (7, "ab".repeat(32), "cd".repeat(32))
        );
    }

    #[test]
    fn the_entry_has_the_size_that_the_kernel_programs_give_it() {
        let wire = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../bpf-programs/include/wire.h"));
        let number = |name: &str| -> usize {
            let (_, rest) = wire.split_once(&format!("\t{name} = ")).unwrap();
            rest.split_once(',').unwrap().0.parse().unwrap()
        };
        let (_, fields) = wire.split_once("struct agent {\n").unwrap();
        let fields = fields.split_once("\n};").unwrap().0;
        let words = fields.lines().filter(|line| line.starts_with("\t__u32") && !line.contains('[')).count();
        let answers = number("NR_CLASS_OPS") + number("NR_CAPABILITIES");
        assert_eq!(ENTRY_BYTES, 4 * (words + answers) + 64);
        assert!(fields.ends_with("__u8 policy_sha256[32];"), "{fields}");
    }
}
