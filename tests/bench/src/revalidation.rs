//! How long another policy takes when many agents are promoted: each is asked about, and its proof is signed anew.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::daemon::{Host, output, run as run_command};
use crate::say;

/// With so many agents it is measured.
const STEPS: [u32; 3] = [10, 100, 1000];
/// Policies one after the other at each step.
const RELOADS: u32 = 5;
/// Names that are promoted by one command, and how often it is told how many there are.
const PER_COMMAND: usize = 100;

#[derive(Debug, Serialize)]
struct Revalidated {
    agents: u32,
    /// Each reload, as agentd took it.
    took_ms: Vec<u64>,
}

/// What `policy reload -o json` says.
#[derive(Debug, Deserialize)]
struct Change {
    took_ms: u64,
    revalidated: Vec<serde_json::Value>,
}

/// Registers and promotes more and more agents, and puts other policies into force.
pub(crate) fn run() -> Result<()> {
    let pack = Host.own_policy()?.join("network/network.rego");
    let shipped = fs::read_to_string(&pack).with_context(|| pack.display().to_string())?;
    let mut there = 0;
    let mut version = 0;
    for agents in STEPS {
        register(there, agents)?;
        there = agents;
        let mut took_ms = Vec::new();
        for _ in 0..RELOADS {
            version += 1;
            fs::write(&pack, format!("{shipped}\n# version {version}\n"))?;
            let said = output(Command::new("agentctl").args(["policy", "reload", "-o", "json"]))?;
            let change: Change = serde_json::from_str(&said).context("policy reload")?;
            anyhow::ensure!(change.revalidated.len() == agents as usize, "some agents were not asked about");
            eprintln!("agentguard-bench: {agents} agents revalidated in {} ms", change.took_ms);
            took_ms.push(change.took_ms);
        }
        say(&Revalidated { agents, took_ms })?;
    }
    Ok(())
}

fn register(there: u32, wanted: u32) -> Result<()> {
    let names: Vec<String> = (there + 1..=wanted).map(|number| format!("bench-{number}")).collect();
    for (done, some) in names.chunks(PER_COMMAND).enumerate() {
        eprintln!("agentguard-bench: {} of {wanted} agents", there as usize + done * PER_COMMAND);
        for name in some {
            let words = ["agent", "create", name, "--from", "template", "--template", "coding-agent"];
            run_command(Command::new("agentctl").args(words).args(["--owner", "bench"]))?;
        }
        run_command(Command::new("agentctl").args(["agent", "promote"]).args(some))?;
    }
    Ok(())
}
