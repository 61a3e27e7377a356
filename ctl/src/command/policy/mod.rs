//! `policy`: checks, tests, compares and changes what anyone may be allowed. `check` and `test` are offline; what
//! runs is agentd's, and changes all or nothing.

mod change;
mod check;
mod diff;
mod explain;
mod history;
mod reload;
mod replay;
mod rollback;
mod show;
mod test;

use std::path::Path;

use agentguard_api::v1::{PolicyFile, PolicyTreeRequest};
use agentguard_policy::{PolicyErrors, PolicyFiles};
use clap::Subcommand;

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen};

/// The commands below `policy`.
#[derive(Debug, Subcommand)]
pub(crate) enum Typed {
    /// Check a policy directory offline; every error with file and line
    Check(check::Arguments),
    /// Run the tests of a policy directory offline
    Test(test::Arguments),
    /// List the rules in force
    Show(show::Arguments),
    /// What both layers say to one operation on one object, and where that is written; status 1 if it is denied
    Explain(explain::Arguments),
    /// What another policy would change; status 1 if anything
    Diff(diff::Arguments),
    /// What another policy would have said to recorded requests; status 1 if anything else
    Replay(replay::Arguments),
    /// Read the policy again and put it into force, for every agent or for none
    Reload,
    /// List the policies that were in force
    History,
    /// Put an earlier policy into force
    Rollback(rollback::Arguments),
}

/// Runs a command below `policy`.
pub(crate) fn run(typed: &Typed, daemon: &mut Daemon, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    match typed {
        Typed::Check(arguments) => check::run(arguments, screen),
        Typed::Test(arguments) => test::run(arguments, screen),
        Typed::Show(arguments) => show::run(arguments, daemon, screen),
        Typed::Explain(arguments) => explain::run(arguments, daemon, screen),
        Typed::Diff(arguments) => diff::run(arguments, daemon, screen),
        Typed::Replay(arguments) => replay::run(arguments, daemon, screen),
        Typed::Reload => reload::run(daemon, screen),
        Typed::History => history::run(daemon, screen),
        Typed::Rollback(arguments) => rollback::run(arguments, daemon, screen),
    }
}

/// A directory as it travels to agentd.
fn tree(directory: &Path) -> Result<PolicyTreeRequest, Failure> {
    let files = PolicyFiles::read(directory).map_err(|errors| Failure::Failed(errors.to_string()))?;
    let file =
        |(path, content): (&str, &str)| PolicyFile { path: path.to_owned(), content: content.to_owned() };
    Ok(PolicyTreeRequest { files: files.iter().map(file).collect() })
}

/// Prints what is wrong with a policy: the answer of a check is no.
fn wrong(errors: &PolicyErrors, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    match screen.format() {
        Format::Table => {
            for error in &errors.0 {
                screen.line(error.to_string())?;
            }
            screen.line(crate::describe::count(errors.0.len(), "error"))?;
        }
        Format::Json | Format::Ndjson => {
            let errors: Vec<_> = errors
                .0
                .iter()
                .map(|error| serde_json::json!({"file": error.file, "line": error.line, "message": error.message}))
                .collect();
            screen.document(&serde_json::json!({"ok": false, "errors": errors}))?;
        }
    }
    Ok(Outcome::Negative)
}
