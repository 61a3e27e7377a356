//! `--here`: this process becomes the command. For services: whoever started agentctl has the command itself as its child,
//! in the cgroup that it chose.
//!
//! Everything that rules could forbid is done before agentd is asked: from its yes on this process is governed.

use std::os::unix::process::CommandExt;
use std::process::Command;

use agentguard_api::v1;

use super::{Launch, gate, refused, tell};
use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};

/// Enrolls this process, then executes. Returns only if the command does not run.
pub(crate) fn launch_here(launch: Launch<'_>, mut daemon: Daemon) -> Result<Outcome, Failure> {
    let Launch { request, command: typed, environment } = launch;
    let [program, rest @ ..] = typed else {
        return Err(Failure::Usage("--here needs a command behind --".to_owned()));
    };
    gate::close_inherited()
        .map_err(|error| Failure::Failed(format!("cannot prepare for the command: {error}")))?;
    let mut command = Command::new(program);
    command.args(rest).env_clear().envs(environment);

    daemon.connect()?;
    let target = Some(v1::enroll_request::Target::Pid(std::process::id()));
    let enrolled = daemon
        .call(async |client| client.enroll(v1::EnrollRequest { target, ..request }).await)
        .map_err(refused)?;
    tell(&enrolled);
    gate::lead_to(enrolled.scratch.as_deref(), &mut command);
    Err(gate::not_executed(&program.to_string_lossy(), &enrolled.agent.name.0, &command.exec()))
}
