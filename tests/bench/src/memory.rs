//! Resident memory of the host's agentd when it governs many agents, each with a workspace of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::daemon::{Host, run as run_command};
use crate::{process, say};

/// The agents' spec, of those that are shipped.
const SPEC: &str = "coding-agent";

/// How many of the largest mappings are shown.
const MAPPINGS: usize = 6;

/// What was typed after `memory`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Folder of the agents' workspaces
    #[arg(long, default_value = "/var/tmp/bench")]
    folder: PathBuf,
    /// How many
    #[arg(long, default_value_t = 100)]
    agents: u32,
}

#[derive(Debug, Serialize)]
struct Resident {
    agents: u32,
    rss_kib: u64,
    /// Heap and stacks.
    anonymous_kib: u64,
    /// The program itself, the rules arena and other files.
    file_kib: u64,
    shared_kib: u64,
    largest: Vec<(String, u64)>,
}

/// Enrolls one by one and says what is resident before, on the way, and at the end.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    Host.settle()?;
    tell(0)?;
    let mut sleepers = Sleepers(Vec::new());
    for number in 1..=arguments.agents {
        let workspace = arguments.folder.join(format!("workspace-{number}"));
        std::fs::create_dir_all(&workspace)?;
        let pid = sleepers.one()?;
        run_command(
            Command::new("agentctl")
                .args(["enroll", "--observe", "--name", &format!("bench-{number}"), "--spec", SPEC])
                .arg("--set")
                .arg(format!("workspace={}", workspace.display()))
                .args(["--pid", &pid.to_string()]),
        )
        .with_context(|| format!("agent {number}"))?;
        if number == 1 || number == arguments.agents / 2 || number == arguments.agents {
            Host.settle()?;
            tell(number)?;
        }
    }
    Ok(())
}

fn tell(agents: u32) -> Result<()> {
    let pid = Host.pid()?;
    let kib = |key| process::status_kib(pid, key);
    let mut largest = process::resident_by_mapping(pid)?;
    largest.truncate(MAPPINGS);
    say(&Resident {
        agents,
        rss_kib: kib("VmRSS")?,
        anonymous_kib: kib("RssAnon")?,
        file_kib: kib("RssFile")?,
        shared_kib: kib("RssShmem")?,
        largest,
    })
}

/// Processes that do nothing, until this goes.
struct Sleepers(Vec<Child>);

impl Sleepers {
    fn one(&mut self) -> Result<u32> {
        let child = Command::new("sleep").arg("86400").stdout(Stdio::null()).spawn().context("sleep")?;
        let pid = child.id();
        self.0.push(child);
        Ok(pid)
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may be gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
