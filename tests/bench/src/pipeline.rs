//! agentd's pipeline on this host's own kernel: how many events it keeps up with, what one costs, and that none is lost
//! unseen.
//!
//! The load is what makes the most events with the least work: starting programs and sending datagrams.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Serialize;

use crate::daemon::{Own, output, run as run_command};
use crate::{process, say, spec};

/// Rates that are tried, events per second; the last is as fast as the load can.
const RATES: [u64; 6] = [2_500, 5_000, 10_000, 20_000, 40_000, u64::MAX];

/// Datagrams for each program that is started.
const DATAGRAMS: u64 = 50;

/// Where datagrams go: the discard port, where nobody listens.
const PORT: u16 = 9;

/// Pauses shorter than this are not slept.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);

/// What was typed after `pipeline`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Folder for everything that this makes
    #[arg(long)]
    folder: PathBuf,
    /// Folder with agentd and agentctl
    #[arg(long)]
    bin: PathBuf,
    /// Policy packs
    #[arg(long)]
    policies: PathBuf,
    /// Seconds of each rate
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Be the load, for so many seconds, at this rate
    #[arg(long, num_args = 2, value_names = ["SECONDS", "RATE"], hide = true)]
    load: Vec<u64>,
}

/// What came of one rate.
#[derive(Debug, Serialize)]
struct Kept {
    /// Wanted events per second, 0 for as fast as can be.
    rate: u64,
    seconds: f64,
    /// By the kernel programs, into the ring.
    emitted: u64,
    /// Did not fit into the ring, counted by the kernel programs.
    lost_in_ring: u64,
    /// Lost between the ring and the store, counted by agentd.
    lost_later: u64,
    /// Sums that agentd made itself, each second: they come from no event.
    sums: u64,
    /// In the store.
    recorded: u64,
    /// Processor time of agentd.
    cpu_ms: u64,
}

/// Each rate in turn.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let [seconds, rate] = arguments.load[..] {
        return generate(Duration::from_secs(seconds), rate);
    }
    let own = Own::start(&arguments.folder, &arguments.bin, &arguments.policies)?;
    let file = arguments.folder.join("pipeline.toml");
    std::fs::write(&file, spec::with_rules(10, Path::new("/bench"), PORT))?;
    let mut before = Counts::read(&own)?;
    for rate in RATES {
        let cpu = process::cpu_time(own.pid())?;
        let start = Instant::now();
        run_command(
            own.agentctl()
                .args(["run", "--observe", "--spec"])
                .arg(&file)
                .arg("--")
                .arg(std::env::current_exe()?)
                .args(["pipeline", "--folder", "/", "--bin", "/", "--policies", "/", "--load"])
                .args([arguments.seconds.to_string(), rate.to_string()]),
        )?;
        let seconds = start.elapsed().as_secs_f64();
        own.settle()?;
        let cpu = process::cpu_time(own.pid())?.saturating_sub(cpu);
        let after = Counts::settled(&own)?;
        say(&Kept {
            rate: if rate == u64::MAX { 0 } else { rate },
            seconds,
            emitted: after.emitted - before.emitted,
            lost_in_ring: after.lost_in_ring - before.lost_in_ring,
            lost_later: after.lost_later - before.lost_later,
            sums: after.sums - before.sums,
            recorded: after.recorded - before.recorded,
            cpu_ms: u64::try_from(cpu.as_millis())?,
        })?;
        before = after;
    }
    Ok(())
}

/// Longest wait for counts that stay.
const SETTLE_TRIES: usize = 10;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Counts {
    emitted: u64,
    lost_in_ring: u64,
    lost_later: u64,
    sums: u64,
    recorded: u64,
}

impl Counts {
    /// Once they stay the same for longer than the second in which sums are made: what the kernel counts is read before
    /// what is stored, and a record between the two would be one too many.
    fn settled(own: &Own) -> Result<Self> {
        let mut last = Self::read(own)?;
        for _ in 0..SETTLE_TRIES {
            std::thread::sleep(Duration::from_millis(1200));
            let counts = Self::read(own)?;
            if counts == last {
                return Ok(counts);
            }
            last = counts;
        }
        bail!("agentd still records after {SETTLE_TRIES} looks")
    }

    fn read(own: &Own) -> Result<Self> {
        let samples = own.samples()?;
        let lost = |label| samples.sum("agentguard_events_lost_total", label);
        // Bytes per file are events of the kernel; only those per peer are made by agentd.
        let sql = "SELECT count(*) AS recorded, coalesce(sum(call = 'peer_io'), 0) AS sums FROM events";
        let rows = output(own.agentctl().args(["query", "-o", "json", sql]))?;
        let rows: serde_json::Value = serde_json::from_str(&rows).with_context(|| rows.clone())?;
        let number = |name: &str| find(&rows, name).with_context(|| format!("no {name} in {rows}"));
        Ok(Self {
            emitted: samples.sum("agentguard_kernel_total", "\"emitted\""),
            lost_in_ring: lost("\"ring\""),
            // What only followers and counters missed is recorded all the same, and a failed call loses no event.
            lost_later: lost("")
                - ["\"ring\"", "\"export\"", "\"kernel_calls\"", "\"findings\""]
                    .into_iter()
                    .map(lost)
                    .sum::<u64>(),
            sums: number("sums")?,
            recorded: number("recorded")?,
        })
    }
}

/// A number by its column, in rows that are objects.
fn find(value: &serde_json::Value, name: &str) -> Option<u64> {
    match value {
        serde_json::Value::Array(all) => all.iter().find_map(|value| find(value, name)),
        serde_json::Value::Object(all) => all
            .get(name)
            .and_then(serde_json::Value::as_u64)
            .or_else(|| all.values().find_map(|value| find(value, name))),
        _ => None,
    }
}

fn generate(time: Duration, rate: u64) -> Result<()> {
    let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let to = SocketAddr::from(([127, 0, 0, 1], PORT));
    let start = Instant::now();
    // Starting a program is a fork, an exec, a few files and an exit; datagrams are one event each.
    let events_of_a_turn = DATAGRAMS + 10;
    for turn in 1.. {
        if start.elapsed() >= time {
            break;
        }
        Command::new("/usr/bin/true").status()?;
        for _ in 0..DATAGRAMS {
            // Nobody listens, which the next call may say.
            let _refused = socket.send_to(&[0; 64], to);
        }
        let due =
            Duration::from_micros(events_of_a_turn.saturating_mul(turn).saturating_mul(1_000_000) / rate);
        let pause = due.saturating_sub(start.elapsed());
        if pause > SHORTEST_PAUSE {
            std::thread::sleep(pause);
        }
    }
    Ok(())
}
