//! What the kernel says about a process: processor time and memory.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// Processor time of all threads, also of those that ended.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid.try_into()?))?;
    Ok(clock_gettime(clock)?.into())
}

/// Processor time of this process' children, and of theirs, that ended.
pub(crate) fn cpu_time_of_children() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = (usage.user_time() + usage.system_time()).num_microseconds();
    Ok(Duration::from_micros(micros.try_into()?))
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
