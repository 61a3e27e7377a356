//! How full the tables of the kernel programs are. Only those that can fill up: a full one denies, or forgets what stood.

use agentguard_bpf::types::limits;
use libbpf_rs::{MapCore as _, MapFlags, MapHandle};

use super::Table;
use super::maps::Maps;
use super::rulesets::Rulesets;

/// Entries that are read at once. Buckets of the kernel's hash tables are far smaller.
const BATCH: u32 = 256;

/// Every table with its entries now. One that cannot be read has none.
pub(super) fn fill(maps: &Maps, rulesets: &Rulesets) -> Vec<Table> {
    let [prefixes, resolvers, exec_files, words] = rulesets.entries();
    let known = |name, map: &MapHandle, entries: usize| Table {
        name,
        entries: entries as u64,
        capacity: u64::from(map.max_entries()),
    };
    let counted = |name, map| known(name, map, count(map));
    vec![
        known("agents", &maps.agents, rulesets.slots()),
        Table { name: "rules", entries: words as u64, capacity: u64::from(limits::RULE_WORDS.0) },
        known("prefix_ranges", &maps.prefix_ranges, prefixes),
        known("resolvers", &maps.resolvers, resolvers),
        known("exec_files", &maps.exec_files, exec_files),
        counted("cgroup_label", &maps.cgroup_label),
        counted("cgroup_place", &maps.cgroup_place),
        counted("holds", &maps.holds),
        counted("standing_answers", &maps.standing_answers),
    ]
}

/// Counts in batches: a table that changes meanwhile is neither walked twice nor for ever.
fn count(map: &MapHandle) -> usize {
    map.lookup_batch(BATCH, MapFlags::ANY, MapFlags::ANY)
        .map_or(0, |entries| entries.take(map.max_entries() as usize).count())
}
