//! What was typed. What it means is said by the files of the commands, which turn their arguments into requests.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::command::{
    agent, agents, approvals, audit, backup, budget, bugreport, completions, enroll, events, explain,
    governance, kernel, keys, log_level, man, policy, query, release, restore, run, selftest, spec, summary,
};
use crate::exit::EXIT_CODES;
use crate::screen::{ColorChoice, Format};

/// Governs AI agents on this host: what they may do, what they did, and why something was blocked.
#[derive(Debug, Parser)]
#[command(name = "agentctl", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Typed {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command knows.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Form of results
    #[arg(short, long, global = true, value_enum, value_name = "FORM", default_value = "table")]
    pub(crate) output: Format,
    /// Socket of agentd
    #[arg(
        long,
        global = true,
        env = "AGENTGUARD_SOCKET",
        hide_env_values = true,
        value_name = "PATH",
        default_value = agentguard_api::DEFAULT_SOCKET
    )]
    pub(crate) socket: PathBuf,
    /// When to use colours
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// How agentd is, what it cannot do here, and proof that the kernel denies; status 1 if something is wrong
    Status,
    /// What this kernel can and cannot do, and what to change; status 1 unless everything can be enforced
    ///
    /// Needs neither agentd nor root. Only root can try whether the kernel takes the programs; without that nothing is
    /// proven and the status is 1.
    Doctor,
    /// Registered agents: make, try, promote, restrict and start them
    #[command(subcommand)]
    Agent(agent::Typed),
    /// Run a command under a spec, as yourself, in this terminal; its status is the status of run
    Run(run::Arguments),
    /// Put a unit, a cgroup or a process under a spec
    Enroll(enroll::Arguments),
    /// Free an agent's processes
    Release(release::Arguments),
    /// List the agents that run
    Agents(agents::Arguments),
    /// What was recorded, and what is recorded now
    Events(events::Arguments),
    /// What one agent did: what it was allowed, what was blocked, and why
    Summary(summary::Arguments),
    /// Read-only SQL over what was recorded
    Query(query::Arguments),
    /// The story of one denial: who, what, which rule, where it is written, how to allow it
    Explain(explain::Arguments),
    /// Requests that wait for a person: list them, approve or deny them
    Approvals(approvals::Arguments),
    /// Ask whether an agent would be promoted, without promoting it
    #[command(subcommand)]
    Governance(governance::Typed),
    /// Keys that sign proofs
    #[command(subcommand)]
    Keys(keys::Typed),
    /// What agents cost
    #[command(subcommand)]
    Budget(budget::Typed),
    /// The audit log: prove that nothing was changed, read it, export it as evidence
    #[command(subcommand)]
    Audit(audit::Typed),
    /// Check, test, compare and change the policy
    #[command(subcommand)]
    Policy(policy::Typed),
    /// Check a spec, hash it, and how one is written
    #[command(subcommand)]
    Spec(spec::Typed),
    /// Agents, their rates and what waits, on the whole screen; needs a terminal
    Top,
    /// Which log lines agentd writes; with a level, others until it restarts
    LogLevel(log_level::Arguments),
    /// One file for a maintainer: versions, state, journal, metrics, without secrets; agentd need not run
    Bugreport(bugreport::Arguments),
    /// Copy the state of this host into one file: agents, proofs, policies, records, audit log, configuration
    Backup(backup::Arguments),
    /// Put a backup back; agentd must be stopped
    Restore(restore::Arguments),
    /// Prove on this host that agentd blocks what it should
    Selftest(selftest::Arguments),
    /// What of agentd is in the kernel now
    Kernel(kernel::Arguments),
    /// Print completions for a shell
    Completions(completions::Arguments),
    /// Write the man pages
    Man(man::Arguments),
    /// Print the reference of this command line as Markdown
    #[command(hide = true)]
    ReferenceCli,
    /// The waiting half of `run`
    #[command(name = run::COMMAND, hide = true)]
    ExecWhenTold(run::WhenTold),
}

/// The definition of the command line, for help, man pages, completions and the reference.
pub fn command() -> clap::Command {
    Typed::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn the_options_of_every_command_may_stand_behind_it() {
        let typed =
            Typed::try_parse_from(["agentctl", "status", "-o", "json", "--socket", "/tmp/s"]).unwrap();
        assert_eq!((typed.global.output, typed.global.socket), (Format::Json, PathBuf::from("/tmp/s")));
    }
}
