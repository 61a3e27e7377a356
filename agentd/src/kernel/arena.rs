//! The rules arena: one array in the kernel, mapped here, in which each ruleset owns one region.
//!
//! A region is written before anything points to it and reused only after every hook that could still walk it is
//! done, so readers in the kernel need no lock.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use agentguard_bpf::types::limits;
use memmap2::{MmapOptions, MmapRaw};
use std::os::fd::AsRawFd as _;

use super::KernelError;

/// Longer than any hook runs: a region that was given back is not written for this long.
const GRACE: Duration = Duration::from_secs(1);

/// Word 0 is never part of a region: index 0 means "no rules" to the kernel.
const FIRST_WORD: u32 = 1;

/// The arena and who owns which words.
pub(super) struct Arena {
    words: MmapRaw,
    /// First word to length, of regions in use.
    used: BTreeMap<u32, u32>,
    retired: Vec<(Instant, u32)>,
}

impl Arena {
    /// Maps the arena of the `rules` map.
    pub(super) fn map(fd: &impl AsFd) -> Result<Self, KernelError> {
        let length = limits::RULE_WORDS.0 as usize * size_of::<u32>();
        let words = MmapOptions::new()
            .len(length)
            .map_raw(fd.as_fd().as_raw_fd())
            .map_err(|source| KernelError::System { what: "mapping the rules arena".to_owned(), source })?;
        Ok(Self { words, used: BTreeMap::new(), retired: Vec::new() })
    }

    /// Marks a region that an earlier agentd wrote as used. `automaton` is the word that an agent points to.
    pub(super) fn adopt(&mut self, automaton: u32) -> u32 {
        let base = automaton.saturating_sub(1);
        let length = self.read(base).max(1);
        self.used.insert(base, length);
        base
    }

    /// Finds a place for `length` words, first fit.
    pub(super) fn reserve(&mut self, length: u32) -> Result<u32, KernelError> {
        self.collect();
        let mut at = FIRST_WORD;
        for (base, used) in &self.used {
            if base.saturating_sub(at) >= length {
                break;
            }
            at = base + used;
        }
        if at.checked_add(length).is_none_or(|end| end > limits::RULE_WORDS.0) {
            return Err(KernelError::Full(format!(
                "the rules of all agents do not fit: {length} more words wanted, the arena has {}",
                limits::RULE_WORDS.0
            )));
        }
        self.used.insert(at, length);
        Ok(at)
    }

    /// Writes a region at its place.
    pub(super) fn write(&mut self, base: u32, words: &[u32]) {
        let end = base as usize + words.len();
        assert!(end <= limits::RULE_WORDS.0 as usize, "a region ends inside the arena");
        // SAFETY: the range is inside the mapping (asserted), u32 aligned because the mapping is page aligned, and
        // no agent points to these words yet.
        unsafe {
            let target = self.words.as_mut_ptr().cast::<u32>().add(base as usize);
            std::ptr::copy_nonoverlapping(words.as_ptr(), target, words.len());
        }
    }

    /// Gives a region back, to be reused after the grace period.
    pub(super) fn retire(&mut self, base: u32) {
        self.retired.push((Instant::now(), base));
    }

    fn collect(&mut self) {
        let used = &mut self.used;
        self.retired.retain(|(since, base)| {
            let keep = since.elapsed() < GRACE;
            if !keep {
                used.remove(base);
            }
            keep
        });
    }

    fn read(&self, word: u32) -> u32 {
        if word >= limits::RULE_WORDS.0 {
            return 0;
        }
        // SAFETY: inside the mapping (checked), aligned, and any bits are a u32.
        unsafe { self.words.as_ptr().cast::<u32>().add(word as usize).read_volatile() }
    }
}
