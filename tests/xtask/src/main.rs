//! `cargo xtask`: the tasks of this repository that are more than one command line.
//!
//! Only the list of verbs lives here. Each verb is a module of its own.

#![forbid(unsafe_code)]

mod bench;
mod build;
mod dashboard;
mod demo;
mod host;
mod lint;
mod package;
mod steps;
mod supply_chain;
mod test;
mod tools;
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
    /// Make the Grafana dashboard of packaging/monitoring/dashboard.toml
    Dashboard,
    /// Govern a real session of an agent on a real kernel
    Demo,
    /// Check format and clippy
    Lint,
    /// A root shell in the test VM, with agentd running
    Shell,
    /// Run every test: sources, units, policies, fuzz targets, this host's kernel, kernels in VMs
    Test(test::TestArgs),
    /// Run a command as root in the test VM, with the current build installed and agentd running
    Vm(vm::VmArgs),
    /// Measure what governance costs, and write docs/BENCHMARKS.md
    Bench(bench::BenchArgs),
    /// Make a deb or an rpm, or check both
    Package(package::PackageArgs),
    /// List, judge and sum up what a release is made of: SBOM, licenses, advisories, checksums
    SupplyChain,
    /// The other end of `vm`: runs inside the VM, started by its systemd
    #[command(hide = true)]
    VmGuest,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Dashboard => dashboard::run(),
        Verb::Demo => demo::run(),
        Verb::Lint => lint::run(),
        Verb::Shell => demo::shell(),
        Verb::Test(args) => test::run(&args),
        Verb::Vm(args) => vm::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Package(args) => package::run_verb(&args),
        Verb::SupplyChain => supply_chain::run_verb(),
        Verb::VmGuest => vm::run_guest(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::from(vm::EXIT_VM_FAILED)
    })
}
