//! `run`: starts one command under a spec, as the calling user, in this terminal.
//!
//! The command's process is there before it is enrolled and runs not one instruction of its own until agentd has
//! answered; if agentd says no, it never does. This module decides nothing about what the command may do.

mod environment;
mod gate;
mod here;
mod wait;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use agentguard_api::report::Enrolled;
use agentguard_api::v1;
use clap::Args;

pub(crate) use environment::EnvironmentArguments;
pub(crate) use gate::WhenTold;
pub(crate) use gate::{COMMAND, exec_when_told};
pub(crate) use here::launch_here;

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::screen::printable;
use crate::spec_text::{SpecText, Variable};

/// The spec of `run` without `--spec`.
pub(crate) const DEFAULT_SPEC: &str = "coding-agent";

/// What was typed after `run`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Spec: a file, or the name of one in /etc/agentguard/specs or /usr/share/agentguard/specs
    #[arg(long, value_name = "FILE|NAME", default_value = DEFAULT_SPEC)]
    spec: String,
    /// Set a variable of the spec; `workspace` is the current directory if it is not set
    #[arg(long = "set", value_name = "NAME=VALUE")]
    variables: Vec<Variable>,
    /// Name of the agent; otherwise the name in the spec, with a number if it is taken
    #[arg(long)]
    name: Option<String>,
    /// Block nothing, and record what would have been blocked
    #[arg(long, conflicts_with = "enforce")]
    observe: bool,
    /// Block, whatever mode the spec says
    #[arg(long)]
    enforce: bool,
    #[command(flatten)]
    environment: EnvironmentArguments,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Arguments {
    /// The request to agentd, all but the process.
    fn request(&self, spec: SpecText) -> Result<v1::EnrollRequest, Failure> {
        let variables = spec.variables(&self.variables)?;
        Ok(v1::EnrollRequest {
            spec_toml: spec.text,
            spec_file: spec.file,
            name: self.name.clone().unwrap_or_default(),
            variables,
            mode: mode(self.observe, self.enforce),
            ..v1::EnrollRequest::default()
        })
    }
}

/// A command, and what agentd is asked for it.
pub(crate) struct Launch<'a> {
    /// All but the process.
    pub(crate) request: v1::EnrollRequest,
    pub(crate) command: &'a [OsString],
    pub(crate) environment: Vec<(OsString, OsString)>,
}

/// The mode in the words of the API: empty leaves it to the spec.
pub(crate) fn mode(observe: bool, enforce: bool) -> String {
    match (observe, enforce) {
        (true, _) => "observe".to_owned(),
        (false, true) => "enforce".to_owned(),
        (false, false) => String::new(),
    }
}

/// Starts the command, enrolls it, lets it go, and waits for it.
pub(crate) fn run(arguments: &Arguments, daemon: Daemon) -> Result<Outcome, Failure> {
    let request = arguments.request(SpecText::find(&arguments.spec)?)?;
    let environment = arguments.environment.of_command();
    launch(Launch { request, command: &arguments.command, environment }, daemon)
}

/// The same for whoever knows what to ask agentd for.
pub(crate) fn launch(launch: Launch<'_>, mut daemon: Daemon) -> Result<Outcome, Failure> {
    let Launch { request, command: typed, environment } = launch;
    daemon.connect()?;

    let gate = gate::Gate::new()?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("agentctl").args(gate.arguments()).arg("--").args(typed);
    command.env_clear().envs(environment);
    let mut child =
        command.spawn().map_err(|error| Failure::Failed(format!("cannot start a process: {error}")))?;

    let waiting = gate.wait_until_ready()?;
    let target = Some(v1::enroll_request::Target::RunPid(child.id()));
    let answer = daemon.call(async |client| client.enroll(v1::EnrollRequest { target, ..request }).await);
    // The command may run for days; agentd need not keep a connection for it.
    drop(daemon);
    let enrolled = match answer {
        Ok(enrolled) => enrolled,
        Err(failure) => {
            waiting.never();
            let _gone = child.wait();
            return Err(refused(failure));
        }
    };
    tell(&enrolled);
    let signals = wait::Signals::take()?;
    waiting.go(&gate::Told { agent: enrolled.agent.name.0, scratch: enrolled.scratch });
    signals.wait_for(&mut child).map(Outcome::Status)
}

/// What the user should know before the command runs.
fn tell(enrolled: &Enrolled) {
    for warning in &enrolled.warnings {
        eprintln!("agentctl: {warning}");
    }
    if let Some(line) = sandbox_line(enrolled) {
        eprintln!("agentctl: {line}");
    }
}

/// What is different in the sandbox, if the agent is there.
pub(super) fn sandbox_line(enrolled: &Enrolled) -> Option<String> {
    let scratch = printable(enrolled.scratch.as_deref()?);
    Some(format!("sandbox: writes only to {scratch}, which is removed at the end; no calls"))
}

/// Whatever agentd says instead of yes, the command was refused.
fn refused(failure: Failure) -> Failure {
    match failure {
        Failure::Failed(words) => Failure::Refused(words),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: Arguments,
    }

    fn typed(words: &[&str]) -> Result<Arguments, clap::Error> {
        Line::try_parse_from([&["run"], words].concat()).map(|line| line.run)
    }

    fn spec(text: &str) -> SpecText {
        SpecText { file: "x.toml".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn needs_a_command_behind_two_dashes() {
        assert!(typed(&["--observe"]).is_err());
        assert!(typed(&["ls"]).is_err());
        assert_eq!(typed(&["--", "ls", "--spec", "x"]).unwrap().command, ["ls", "--spec", "x"]);
    }

    #[test]
    fn refuses_both_modes_at_once() {
        assert!(typed(&["--observe", "--enforce", "--", "ls"]).is_err());
    }

    #[test]
    fn leaves_name_and_mode_to_the_spec_unless_typed() {
        let request = typed(&["--", "ls"]).unwrap().request(spec("")).unwrap();
        assert_eq!((request.name.as_str(), request.mode.as_str()), ("", ""));
        let request = typed(&["--name", "a", "--observe", "--", "ls"]).unwrap().request(spec("")).unwrap();
        assert_eq!((request.name.as_str(), request.mode.as_str()), ("a", "observe"));
    }

    #[test]
    fn sets_the_workspace_to_the_current_directory_where_the_spec_wants_one() {
        let here = std::env::current_dir().unwrap().to_string_lossy().into_owned();
        let request = typed(&["--", "ls"]).unwrap().request(spec("[variables]\nworkspace = \"\"\n")).unwrap();
        assert_eq!(request.variables.get("workspace"), Some(&here));
        let set = ["--set", "workspace=/srv", "--", "ls"];
        let request = typed(&set).unwrap().request(spec("[variables]\nworkspace = \"\"\n")).unwrap();
        assert_eq!(request.variables.get("workspace").map(String::as_str), Some("/srv"));
        assert!(typed(&["--", "ls"]).unwrap().request(spec("")).unwrap().variables.is_empty());
    }
}
