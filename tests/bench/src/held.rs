//! What it costs that a request waits: the same work under a spec that allows it, and under one that holds it until
//! policy has answered.
//!
//! Each request is timed by itself, so that what most and what the slowest take can be told. agentd's metrics tell where
//! the time goes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::arms::Worker;
use crate::daemon::{Host, Samples, run as run_command};
use crate::field::Field;
use crate::operation::HELD;
use crate::{say, spec};

/// Answers what the spec holds. What is asked again is remembered, the rest is answered each time.
const PACK: &str = r#"package agentguard.bench

import rego.v1

decide contains {
	"id": "again",
	"answer": "allow",
	"severity": "MEDIUM",
	"reason": "measured again",
	"reuse_sec": 3600,
} if {
	again
}

decide contains {
	"id": "other",
	"answer": "allow",
	"severity": "MEDIUM",
	"reason": "measured once",
} if {
	not again
}

again if endswith(input.request.path, "/again")

again if input.request.argv == ["/usr/bin/true"]
"#;

/// Parts of the way of a held request, as agentd's metrics call them.
const STAGES: [&str; 4] = ["reach", "facts", "policy", "answer"];

/// What was typed after `held`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Rounds of each arm
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Folder of the field, one component
    #[arg(long, default_value = "/bench")]
    field: PathBuf,
}

/// Time in one part of the way, of all requests of a round.
#[derive(Debug, Serialize)]
struct Stage<'a> {
    op: &'a str,
    stage: &'a str,
    requests: u64,
    /// In all.
    ns: u64,
}

/// All rounds.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    answer()?;
    let field = Field::at(&arguments.field);
    field.make()?;
    let ports = field.open_ports()?;
    let start = |name: &str, hold| {
        Worker::start(name, &arguments.field, ports, Some(&spec::allowing(&arguments.field, hold)))
    };
    let mut arms = [("allowed", start("allowed", false)?), ("held", start("held", true)?)];
    for round in 0..arguments.rounds {
        eprintln!("agentguard-bench: round {} of {}", round + 1, arguments.rounds);
        for op in HELD {
            for (arm, worker) in &mut arms {
                Host.settle()?;
                let before = Host.samples()?;
                worker.measure(op, round, arm)?;
                if *arm == "held" {
                    tell_stages(op, &before)?;
                }
            }
        }
        // So that neither arm always comes first.
        arms.reverse();
    }
    Ok(())
}

/// Adds the pack to the policy.
fn answer() -> Result<()> {
    let pack = Host.own_policy()?.join("bench");
    fs::create_dir_all(&pack).with_context(|| pack.display().to_string())?;
    fs::write(pack.join("bench.rego"), PACK)?;
    run_command(Command::new("agentctl").args(["policy", "reload"]))
}

/// The last requests may not be counted yet when their process goes on.
fn tell_stages(op: &str, before: &Samples) -> Result<()> {
    Host.settle()?;
    let after = Host.samples()?;
    for stage in STAGES {
        let label = format!("stage=\"{stage}\"");
        let (sum, count) = ("agentguard_hold_stage_seconds_sum", "agentguard_hold_stage_seconds_count");
        let ns = after.ns(sum, &label) - before.ns(sum, &label);
        let requests = after.sum(count, &label) - before.sum(count, &label);
        if requests > 0 {
            say(&Stage { op, stage, requests, ns })?;
        }
    }
    Ok(())
}
