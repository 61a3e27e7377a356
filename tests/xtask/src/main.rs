//! `cargo xtask`: the tasks of this repository that are more than one command line.
//!
//! Only the list of verbs lives here. Each verb is a module of its own.

#![forbid(unsafe_code)]

mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the AgentGuard repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a command as root in the test VM, with the current build installed and agentd running
    Vm(vm::VmArgs),
    /// The other end of `vm`: runs inside the VM, started by its systemd
    #[command(hide = true)]
    VmGuest,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Vm(args) => vm::run(&args),
        Verb::VmGuest => vm::run_guest(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::from(vm::EXIT_VM_FAILED)
    })
}
