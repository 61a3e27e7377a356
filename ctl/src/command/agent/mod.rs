//! `agent`: registered agents, from a draft in the sandbox to a promoted one and to its end. What each step means is
//! agentd's to say; here it is asked, and the answer is shown.

mod change;
mod create;
mod delete;
mod diff;
mod export;
mod history;
mod list;
mod promote;
#[cfg(test)]
mod samples;
mod show;
pub(crate) mod start;
mod update;
mod validate;

use clap::Subcommand;

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::screen::Screen;

/// The commands below `agent`.
#[derive(Debug, Subcommand)]
pub(crate) enum Typed {
    /// Register a new agent, in the sandbox
    Create(Box<create::Arguments>),
    /// List the registered agents
    List,
    /// One agent: where it stands, its proof, whether it may start, and what the kernel has for it
    ///
    /// As root the kernel's table is also read here, without agentd; status 1 if anything is not as it was signed.
    Show(show::Arguments),
    /// How two specs of an agent differ; status 1 if they do
    Diff(diff::Arguments),
    /// What became of an agent, oldest first
    History(history::Arguments),
    /// Whether an agent would be promoted and may start; status 1 if anything stands against it
    Validate(validate::Arguments),
    /// Give an agent another spec: it is in the sandbox again
    Update(update::Arguments),
    /// Ask policy to let agents out of the sandbox, and sign that; status 1 if any was refused
    Promote(promote::Arguments),
    /// Put a promoted agent under the tightened rules of policy
    Restrict(change::Because),
    /// Take a restriction by a person back
    Lift(change::Arguments),
    /// Stop an agent and let it not start again, until it is promoted anew
    Revoke(change::Because),
    /// Print an agent's spec, or all that proves what it may do
    Export(export::Arguments),
    /// Forget an agent
    Delete(delete::Arguments),
    /// Run a command as an agent, as yourself, in this terminal; its status is the status of start
    Start(start::Arguments),
}

/// Runs a command below `agent`.
pub(crate) fn run(typed: &Typed, mut daemon: Daemon, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let agentd = &mut daemon;
    match typed {
        Typed::Create(arguments) => create::run(arguments, agentd, screen),
        Typed::List => list::run(agentd, screen),
        Typed::Show(arguments) => show::run(arguments, agentd, screen),
        Typed::Diff(arguments) => diff::run(arguments, agentd, screen),
        Typed::History(arguments) => history::run(arguments, agentd, screen),
        Typed::Validate(arguments) => validate::run(arguments, agentd, screen),
        Typed::Update(arguments) => update::run(arguments, agentd, screen),
        Typed::Promote(arguments) => promote::run(arguments, agentd, screen),
        Typed::Restrict(arguments) => change::restrict(arguments, agentd, screen),
        Typed::Lift(arguments) => change::lift(arguments, agentd, screen),
        Typed::Revoke(arguments) => change::revoke(arguments, agentd, screen),
        Typed::Export(arguments) => export::run(arguments, agentd, screen),
        Typed::Delete(arguments) => delete::run(arguments, agentd, screen),
        Typed::Start(arguments) => start::run(arguments, daemon),
    }
}
