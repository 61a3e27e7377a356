//! `agentguard-bench`: measures what governance costs. Run by `cargo xtask bench`, in the test VM and on the host.
//!
//! It only measures and prints lines of JSON; ratios, goals and tables are made by who reads them. It knows agentd by
//! its commands, its configuration file and its metrics, and links nothing of it.

#![forbid(unsafe_code)]

mod arms;
mod daemon;
mod field;
mod held;
mod load;
mod memory;
mod operation;
mod pipeline;
mod process;
mod programs;
mod revalidation;
mod spec;
mod worker;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde::Serialize;

/// Measures what governance costs.
#[derive(Parser)]
struct Typed {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Time operations in this process, as it is governed or not
    Ops(worker::Arguments),
    /// Compare the arms on this host: it takes agentd down and up again, so run it in a VM
    Arms(arms::Arguments),
    /// What it costs that a request waits for policy; it changes the host's policy, so run it in a VM
    Held(held::Arguments),
    /// Time in each kernel program, from the kernel's own statistics; agentd must run
    Programs(programs::Arguments),
    /// Events per second, cost and losses of an agentd of our own on this host's kernel
    Pipeline(pipeline::Arguments),
    /// Resident memory of this host's agentd with many agents
    Memory(memory::Arguments),
    /// How long another policy takes when many agents are promoted; it registers them, so run it in a VM
    Revalidation,
}

fn main() -> ExitCode {
    let outcome = match Typed::parse().what {
        What::Ops(arguments) => worker::run(&arguments),
        What::Arms(arguments) => arms::run(&arguments),
        What::Held(arguments) => held::run(&arguments),
        What::Programs(arguments) => programs::run(&arguments),
        What::Pipeline(arguments) => pipeline::run(&arguments),
        What::Memory(arguments) => memory::run(&arguments),
        What::Revalidation => revalidation::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agentguard-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One line of JSON, at once: who reads follows along.
fn say(line: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
