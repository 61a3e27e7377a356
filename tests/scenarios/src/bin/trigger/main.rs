//! `agentguard-trigger`: tries one low-level way around a sandbox and says what the kernel answered.
//!
//! The last line on stdout is `ok` or `errno NAME`. Exit status: 0 it worked, 13 EPERM or EACCES, 14 another error,
//! 15 the kernel does not have it, 16 the try could not be made, 2 wrong arguments.
//!
//! It must never know about agentd, specs or policies: it is the attacker.
#![deny(unsafe_code)]

mod address;
mod descriptors;
mod dns;
mod exec;
mod files;
mod flood;
mod identity;
mod local;
mod memory;
mod mounts;
mod network;
mod options;
mod outcome;
mod processes;
mod raw;
mod sockets;
mod transfer;
mod uring;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tries one low-level way around a sandbox.
#[derive(Debug, Parser)]
#[command(name = "agentguard-trigger", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Files(files::Command),
    #[command(flatten)]
    Memory(memory::Command),
    #[command(flatten)]
    Transfer(transfer::Command),
    #[command(flatten)]
    Descriptors(descriptors::Command),
    #[command(flatten)]
    Exec(exec::Command),
    #[command(flatten)]
    Identity(identity::Command),
    #[command(flatten)]
    Processes(processes::Command),
    #[command(flatten)]
    Mounts(mounts::Command),
    #[command(flatten)]
    Network(network::Command),
    #[command(flatten)]
    Sockets(sockets::Command),
    #[command(flatten)]
    Local(local::Command),
    #[command(flatten)]
    Dns(dns::Command),
    #[command(flatten)]
    Flood(flood::Command),
    /// One request through io_uring.
    Uring(uring::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Files(command) => files::run(command),
        Command::Memory(command) => memory::run(command),
        Command::Transfer(command) => transfer::run(command),
        Command::Descriptors(command) => descriptors::run(command),
        Command::Exec(command) => exec::run(command),
        Command::Identity(command) => identity::run(command),
        Command::Processes(command) => processes::run(command),
        Command::Mounts(command) => mounts::run(command),
        Command::Network(command) => network::run(command),
        Command::Sockets(command) => sockets::run(command),
        Command::Local(command) => local::run(command),
        Command::Dns(command) => dns::run(command),
        Command::Flood(command) => flood::run(command),
        Command::Uring(arguments) => uring::run(&arguments),
    };
    outcome::report(&outcome)
}
