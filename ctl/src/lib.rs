//! agentctl: the command line of AgentGuard.
//!
//! typed -> meaning -> agentd, or a file, or this kernel -> screen. Every command has a file of its own below
//! `command`; beside them stand the few things they share. Decides nothing: rules are agentd's, and offline those of
//! the crates that agentd uses.
#![forbid(unsafe_code)]

mod archive;
mod command;
mod daemon;
mod describe;
pub mod exit;
mod filter;
mod fullscreen;
mod moment;
mod offline;
mod progress;
mod redact;
#[cfg(test)]
mod samples;
pub mod screen;
mod settings;
mod spec_text;
mod staging;
mod standing;
pub mod typed;

use std::io::BufWriter;

pub use command::reference::markdown as reference;
pub use command::spec::schema as spec_schema;

use command::{
    agent, agents, approvals, audit, backup, budget, bugreport, completions, doctor, enroll, events, explain,
    governance, kernel, keys, log_level, man, policy, query, reference as reference_cli, release, restore,
    run as run_command, selftest, spec, status, summary, top,
};
use daemon::Daemon;
use exit::{Failure, Outcome};
use screen::Screen;
use typed::{Command, Typed};

/// Runs what was typed.
pub fn run(typed: &Typed) -> Result<Outcome, Failure> {
    let global = &typed.global;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut screen = Screen::on_stdout(&mut out, global.output, global.color);
    let screen = &mut screen;
    let daemon = || Daemon::at(&global.socket);
    let outcome = match &typed.command {
        Command::Status => status::run(&mut daemon()?, screen),
        Command::Doctor => doctor::run(screen),
        Command::Run(arguments) => run_command::run(arguments, daemon()?),
        Command::Enroll(arguments) => enroll::run(arguments, &mut daemon()?, screen),
        Command::Release(arguments) => release::run(arguments, &mut daemon()?, screen),
        Command::Agent(typed) => agent::run(typed, daemon()?, screen),
        Command::Agents(arguments) => agents::run(arguments, &mut daemon()?, screen),
        Command::Events(arguments) => events::run(arguments, &mut daemon()?, screen),
        Command::Summary(arguments) => summary::run(arguments, &mut daemon()?, screen),
        Command::Query(arguments) => query::run(arguments, &mut daemon()?, screen),
        Command::Explain(arguments) => explain::run(arguments, &mut daemon()?, screen),
        Command::Approvals(arguments) => approvals::run(arguments, &mut daemon()?, screen),
        Command::Governance(typed) => governance::run(typed, &mut daemon()?, screen),
        Command::Keys(typed) => keys::run(typed, &mut daemon()?, screen),
        Command::Budget(typed) => budget::run(typed, &mut daemon()?, screen),
        Command::Audit(typed) => audit::run(typed, screen),
        Command::Policy(typed) => policy::run(typed, &mut daemon()?, screen),
        Command::Spec(typed) => spec::run(typed, screen),
        Command::Top => top::run(&daemon()?, screen),
        Command::LogLevel(arguments) => log_level::run(arguments, &mut daemon()?, screen),
        Command::Bugreport(arguments) => bugreport::run(arguments, &mut daemon()?, screen),
        Command::Backup(arguments) => backup::run(arguments, screen),
        Command::Restore(arguments) => restore::run(arguments, screen),
        Command::Selftest(arguments) => selftest::run(arguments, screen),
        Command::Kernel(arguments) => kernel::run(arguments, screen),
        Command::Completions(arguments) => completions::run(arguments, screen),
        Command::Man(arguments) => man::run(arguments),
        Command::ReferenceCli => reference_cli::run(screen),
        Command::ExecWhenTold(arguments) => run_command::exec_when_told(arguments),
    }?;
    screen.flush()?;
    Ok(outcome)
}
