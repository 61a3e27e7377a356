//! What /proc says about a process: processor time and memory.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::unistd::{SysconfVar, sysconf};

/// Processor time, user and system.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold anything, even a parenthesis; what follows the last one is numbers.
    let (_, numbers) = stat.rsplit_once(") ").context("stat has no name")?;
    let ticks: u64 = numbers.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    let per_second = sysconf(SysconfVar::CLK_TCK)?.and_then(|ticks| u64::try_from(ticks).ok()).unwrap_or(100);
    Ok(Duration::from_millis(ticks * 1000 / per_second))
}

/// A line of /proc/PID/status in KiB.
pub(crate) fn status_kib(pid: u32, key: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let value = line.and_then(|line| line.split_whitespace().next());
    value.and_then(|value| value.parse().ok()).with_context(|| format!("status of {pid} has no {key}"))
}

/// Resident KiB by what is mapped, the largest first.
pub(crate) fn resident_by_mapping(pid: u32) -> Result<Vec<(String, u64)>> {
    let mut by_name = std::collections::BTreeMap::<String, u64>::new();
    let mut name = String::new();
    for line in fs::read_to_string(format!("/proc/{pid}/smaps"))?.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["Rss:", kib, "kB"] => *by_name.entry(name.clone()).or_default() += kib.parse::<u64>()?,
            [range, _, _, _, _, ref path @ ..] if range.contains('-') => {
                name = if path.is_empty() { "anonymous".to_owned() } else { path.join(" ") };
            }
            _ => {}
        }
    }
    let mut all: Vec<_> = by_name.into_iter().filter(|(_, kib)| *kib > 0).collect();
    all.sort_by_key(|(_, kib)| std::cmp::Reverse(*kib));
    Ok(all)
}
