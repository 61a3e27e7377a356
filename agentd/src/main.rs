//! The entry point: reads what was typed and the configuration, attaches to the kernel, runs.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use agentd::{logging, start};
use clap::Parser;

/// Governs AI agents on this host: watches and blocks what they do, in the kernel.
#[derive(Debug, Parser)]
#[command(version)]
struct Typed {
    /// Configuration file.
    #[arg(long, value_name = "FILE", default_value = agentd::config::DEFAULT_PATH)]
    config: PathBuf,
    /// Check the configuration and the policy, then exit.
    #[arg(long, conflicts_with = "unload")]
    check: bool,
    /// Take the kernel programs away, then exit: every agent is free. Stop agentd first.
    #[arg(long)]
    unload: bool,
}

fn main() -> ExitCode {
    match run(&Typed::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agentd: {}", told_once(&error));
            ExitCode::FAILURE
        }
    }
}

/// The chain of causes; messages that carry their cause already are not told twice.
fn told_once(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |line, cause| match line {
        line if line.is_empty() => cause,
        line if line.ends_with(&cause) => line,
        line => format!("{line}: {cause}"),
    })
}

fn run(typed: &Typed) -> anyhow::Result<()> {
    let config = agentd::config::Config::load(&typed.config)?;
    if typed.check {
        return start::check(&config);
    }
    logging::start(config.log_level);
    if typed.unload {
        return start::unload(&config);
    }
    let kernel = start::attach(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(start::run(config, kernel))
}
