//! `cargo xtask demo` and `cargo xtask shell`: the test VM with a scene in it, or with a person.
//!
//! The scene itself is tests/demo/scene.sh. It makes users' files, servers and attacks, so it plays in the VM also
//! where this host's own kernel could enforce: a demo that writes to /etc belongs on a machine that is thrown away.

use std::io::{IsTerminal, stdin, stdout};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::build::{Build, workspace};
use crate::vm::EXIT_VM_FAILED;

/// Longer than the scene takes on a slow machine.
const SCENE_TIMEOUT_SEC: &str = "300";

/// A person at a shell is not hurried: a week.
const SHELL_TIMEOUT_SEC: &str = "604800";

/// What a person sees first in the shell.
const WELCOME: &str = "cd /root
cat <<'END'
agentd governs here. Try: agentctl run --spec coding-agent --set workspace=/tmp -- bash, and there: cat /etc/shadow; curl 10.77.0.2
Back here: agentctl events --verdict deny; agentctl explain INCIDENT; agentctl status; agentctl selftest --only F1. Leave with exit.
END
exec bash -l";

/// Governs a real session of an agent on a real kernel.
pub(crate) fn run() -> Result<ExitCode> {
    let workspace = workspace()?;
    let build = Build::new(&workspace, true);
    build.run(&[])?;
    eprintln!("demo: {}", where_it_plays(&build)?);
    let mut vm = vm()?;
    vm.args(["--no-build", "--release", "--timeout", SCENE_TIMEOUT_SEC, "--share"])
        .arg(workspace.join("tests/demo"));
    if stdin().is_terminal() && stdout().is_terminal() {
        vm.arg("--interactive");
    }
    status(vm.args(["--", "bash", "/share/demo/scene.sh", "/share/demo"]))
}

/// Leaves a person in the VM.
pub(crate) fn shell() -> Result<ExitCode> {
    status(vm()?.args(["--interactive", "--timeout", SHELL_TIMEOUT_SEC, "--", "bash", "-c", WELCOME]))
}

/// This program, as `cargo xtask vm`.
pub(crate) fn vm() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
    command.arg("vm");
    Ok(command)
}

fn where_it_plays(build: &Build) -> Result<&'static str> {
    let doctor = Command::new(build.program("agentctl"))
        .arg("doctor")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot run agentctl doctor")?;
    Ok(if doctor.success() {
        "this host's kernel can enforce; the scene plays in the test VM all the same, because it writes to /etc"
    } else {
        "this host's kernel cannot block files and programs (see `agentctl doctor`): playing in the test VM"
    })
}

fn status(command: &mut Command) -> Result<ExitCode> {
    let code = command.status()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(EXIT_VM_FAILED)))
}
