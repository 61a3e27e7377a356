//! `completions`: what a shell needs to complete agentctl's words.

use clap_complete::Shell;

use crate::exit::{Failure, Outcome};
use crate::screen::Screen;

/// What was typed after `completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

/// Prints the script for the shell.
pub(crate) fn run(arguments: &Arguments, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut crate::typed::command(), "agentctl", &mut script);
    screen.raw(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Done)
}
