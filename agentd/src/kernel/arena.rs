//! The rules arena: one array in the kernel, in which each ruleset owns one region.
//!
//! Only the pages of a region are mapped, and only while they are read or written: all 32 MiB would count as this
//! process' memory for as long as it lives.
//!
//! A region is written before anything points to it and reused only after every hook that could still walk it is
//! done, so readers in the kernel need no lock.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use agentguard_bpf::types::limits;
use memmap2::{MmapOptions, MmapRaw};

use super::KernelError;

/// Longer than any hook runs: a region that was given back is not written for this long.
const GRACE: Duration = Duration::from_secs(1);

/// Word 0 is never part of a region: index 0 means "no rules" to the kernel.
const FIRST_WORD: u32 = 1;

const WORD_BYTES: usize = size_of::<u32>();

/// The arena and who owns which words.
pub(super) struct Arena {
    map: OwnedFd,
    /// First word to length, of regions in use.
    used: BTreeMap<u32, u32>,
    retired: Vec<(Instant, u32)>,
}

impl Arena {
    /// The arena in the `rules` map.
    pub(super) fn of(map: &impl AsFd) -> Result<Self, KernelError> {
        let map = map.as_fd().try_clone_to_owned().map_err(mapping)?;
        Ok(Self { map, used: BTreeMap::new(), retired: Vec::new() })
    }

    /// Marks a region that an earlier agentd wrote as used. `automaton` is the word that an agent points to.
    pub(super) fn adopt(&mut self, automaton: u32) -> Result<u32, KernelError> {
        let base = automaton.saturating_sub(1);
        let length = self.read(base)?.max(1);
        self.used.insert(base, length);
        Ok(base)
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
    pub(super) fn write(&mut self, base: u32, words: &[u32]) -> Result<(), KernelError> {
        let window = self.window(base, words.len())?;
        // SAFETY: the window is as long as the words and u32 aligned, because it starts whole words after a page's
        // start; no agent points to these words yet.
        unsafe {
            std::ptr::copy_nonoverlapping(words.as_ptr(), window.as_mut_ptr().cast::<u32>(), words.len());
        }
        Ok(())
    }

    /// Gives a region back, to be reused after the grace period.
    pub(super) fn retire(&mut self, base: u32) {
        self.retired.push((Instant::now(), base));
    }

    /// Words of all regions, also of those that are about to be reused.
    pub(super) fn used_words(&self) -> usize {
        self.used.values().map(|length| *length as usize).sum()
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

    fn read(&self, word: u32) -> Result<u32, KernelError> {
        Ok(self.words(word, 1)?.first().copied().unwrap_or(0))
    }

    /// Words as the kernel has them now; none where the arena ends before.
    pub(super) fn words(&self, base: u32, count: usize) -> Result<Vec<u32>, KernelError> {
        if base as usize + count > limits::RULE_WORDS.0 as usize {
            return Ok(Vec::new());
        }
        let window = self.window(base, count)?;
        let first = window.as_ptr().cast::<u32>();
        // SAFETY: the window holds so many words from here, aligned, and any bits are a u32.
        Ok((0..count).map(|word| unsafe { first.add(word).read_volatile() }).collect())
    }

    /// Maps some words.
    fn window(&self, base: u32, words: usize) -> Result<MmapRaw, KernelError> {
        assert!(base as usize + words <= limits::RULE_WORDS.0 as usize, "a region ends inside the arena");
        let offset = u64::from(base) * WORD_BYTES as u64;
        MmapOptions::new()
            .offset(offset)
            .len(words * WORD_BYTES)
            .map_raw(self.map.as_raw_fd())
            .map_err(mapping)
    }
}

fn mapping(source: std::io::Error) -> KernelError {
    KernelError::System { what: "mapping the rules arena".to_owned(), source }
}
