//! Time in each kernel program, operation by operation, from the kernel's own statistics.
//!
//! A pass of its own: the statistics cost something themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::arms::Worker;
use crate::daemon::{Host, Samples};
use crate::field::Field;
use crate::worker::OPERATIONS_OF_A_ROUND;
use crate::{say, spec};

/// Where the kernel's statistics are switched.
const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Rules of the governed process.
const RULES: usize = 10;

/// What was typed after `programs`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Folder of the field, one component
    #[arg(long, default_value = "/bench")]
    field: PathBuf,
}

/// Time in one program during one operation.
#[derive(Debug, Serialize)]
struct Share<'a> {
    /// `ungoverned` or `governed`.
    load: &'a str,
    /// The operation.
    during: &'a str,
    program: &'a str,
    runs: u64,
    /// In all.
    program_ns: u64,
    /// How often the operation was done.
    operations: u64,
}

type ByProgram = BTreeMap<String, (u64, u64)>;

/// Both loads.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let field = Field::at(&arguments.field);
    field.make()?;
    let ports = field.open_ports()?;
    let text = spec::with_rules(RULES, &arguments.field, ports.open);
    let mut workers = [
        ("ungoverned", Worker::start("counted-plain", &arguments.field, ports, None)?),
        ("governed", Worker::start("counted", &arguments.field, ports, Some(&text))?),
    ];
    fs::write(SWITCH, "1").context(SWITCH)?;
    let outcome = workers.iter_mut().try_for_each(|(load, worker)| measure(load, worker));
    fs::write(SWITCH, "0").context(SWITCH)?;
    outcome
}

fn measure(load: &str, worker: &mut Worker) -> Result<()> {
    for (during, operations) in OPERATIONS_OF_A_ROUND {
        Host.settle()?;
        let before = by_program(&Host.samples()?);
        worker.ask(during, 0)?;
        let after = by_program(&Host.samples()?);
        for (program, (runs, ns)) in &after {
            let (runs_before, ns_before) = before.get(program).copied().unwrap_or_default();
            let (runs, program_ns) = (runs.saturating_sub(runs_before), ns.saturating_sub(ns_before));
            if runs > 0 {
                say(&Share { load, during, program, runs, program_ns, operations })?;
            }
        }
    }
    Ok(())
}

fn by_program(samples: &Samples) -> ByProgram {
    let mut programs = ByProgram::new();
    let name = |labels: &str| labels.split('"').nth(1).unwrap_or_default().to_owned();
    for (labels, runs) in samples.of("agentguard_program_runs_total") {
        programs.entry(name(labels)).or_default().0 += runs;
    }
    for (labels, ns) in samples.of("agentguard_program_nanoseconds_total") {
        programs.entry(name(labels)).or_default().1 += ns;
    }
    programs
}
