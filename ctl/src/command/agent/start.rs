//! `agent start`: `run` for a registered agent. Its spec is agentd's; here is only what the start adds to it.

use std::ffi::OsString;

use agentguard_api::v1::EnrollRequest;
use clap::Args;

use crate::command::run::{EnvironmentArguments, Launch, launch, launch_here};
use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::spec_text::{SpecText, Variable};

/// Without `$SHELL`.
const SHELL: &str = "sh";

/// What was typed after `agent start`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The agent
    name: String,
    /// Set a variable of its spec; `workspace` is the current directory if neither this nor agentd has a value
    #[arg(long = "set", value_name = "NAME=VALUE")]
    variables: Vec<Variable>,
    /// Become the command instead of waiting for it: for services, such as agentd-agent@.service
    #[arg(long, requires = "command")]
    here: bool,
    #[command(flatten)]
    environment: EnvironmentArguments,
    /// The command and its arguments; otherwise your shell
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn run(arguments: &Arguments, mut daemon: Daemon) -> Result<Outcome, Failure> {
    let request = request(&arguments.name, &arguments.variables, &mut daemon)?;
    let shell = [std::env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| SHELL.into())];
    let command = if arguments.command.is_empty() { &shell[..] } else { &arguments.command };
    let wanted = Launch { request, command, environment: arguments.environment.of_command() };
    if arguments.here { launch_here(wanted, daemon) } else { launch(wanted, daemon) }
}

/// What agentd is asked for a run of a registered agent, all but the target.
pub(crate) fn request(
    agent: &str,
    typed: &[Variable],
    daemon: &mut Daemon,
) -> Result<EnrollRequest, Failure> {
    let detail = super::show::ask(agent, daemon)?;
    let spec = SpecText { file: agent.to_owned(), text: detail.spec };
    let variables = spec.variables_beside(typed, &detail.variables)?;
    Ok(EnrollRequest { agent: agent.to_owned(), variables, ..EnrollRequest::default() })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        start: Arguments,
    }

    #[test]
    fn the_command_stands_behind_two_dashes_or_is_left_out() {
        let command = |words: &[&str]| {
            Line::try_parse_from([&["start", "coder"], words].concat()).map(|line| line.start.command)
        };
        assert_eq!(command(&[]).unwrap(), [""; 0]);
        assert_eq!(command(&["--", "ls", "--set", "x"]).unwrap(), ["ls", "--set", "x"]);
        assert!(command(&["ls"]).is_err());
        assert!(command(&["--here"]).is_err());
    }
}
