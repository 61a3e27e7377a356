//! How long another policy takes when many agents are promoted: each is asked about, and its proof is signed anew.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::daemon::{Own, output, run as run_command};
use crate::say;

/// With so many agents it is measured.
const STEPS: [u32; 3] = [10, 100, 1000];
/// Policies one after the other at each step.
const RELOADS: u32 = 5;
/// Names that are promoted by one command.
const PER_COMMAND: usize = 100;

/// What was typed after `revalidation`.
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
    /// Spec that the agents are made of
    #[arg(long)]
    spec: PathBuf,
}

#[derive(Debug, Serialize)]
struct Revalidated {
    agents: u32,
    /// Each reload, milliseconds, as agentd took it.
    took_ms: Vec<u64>,
}

/// What `policy reload -o json` says.
#[derive(Debug, Deserialize)]
struct Change {
    took_ms: u64,
    revalidated: Vec<serde_json::Value>,
}

/// Registers and promotes more and more agents, and puts other policies into force.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let policies = arguments.folder.join("policies");
    copy(&arguments.policies, &policies)?;
    let own = Own::start(&arguments.folder, &arguments.bin, &policies, "tracing")?;
    let mut there = 0;
    let mut version = 0;
    for agents in STEPS {
        eprintln!("agentguard-bench: {agents} agents");
        register(arguments, &own, there, agents)?;
        there = agents;
        let mut took_ms = Vec::new();
        for _ in 0..RELOADS {
            version += 1;
            let pack = policies.join("network/network.rego");
            let text = fs::read_to_string(arguments.policies.join("network/network.rego"))?;
            fs::write(&pack, format!("{text}\n# version {version}\n"))?;
            let said = output(own.agentctl().args(["policy", "reload", "-o", "json"]))?;
            let change: Change = serde_json::from_str(&said).context("policy reload")?;
            anyhow::ensure!(change.revalidated.len() == agents as usize, "some agents were not asked about");
            took_ms.push(change.took_ms);
        }
        say(&Revalidated { agents, took_ms })?;
    }
    Ok(())
}

fn register(arguments: &Arguments, own: &Own, there: u32, wanted: u32) -> Result<()> {
    let names: Vec<String> = (there + 1..=wanted).map(|number| format!("bench-{number}")).collect();
    for name in &names {
        let words = ["agent", "create", name, "--from", "template", "--owner", "bench", "--template"];
        run_command(own.agentctl().args(words).arg(&arguments.spec))?;
    }
    for some in names.chunks(PER_COMMAND) {
        run_command(own.agentctl().args(["agent", "promote"]).args(some))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
