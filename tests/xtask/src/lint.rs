//! `cargo xtask lint`: what can be said about the sources without running them.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::steps::Steps;
use crate::vm::workspace;

/// Checks form and habits.
pub(crate) fn run() -> Result<ExitCode> {
    let workspace = workspace()?;
    let mut steps = Steps::default();
    add(&mut steps, &workspace);
    Ok(ExitCode::from(u8::from(!steps.finish())))
}

/// The same as steps of a longer verb.
pub(crate) fn add(steps: &mut Steps, workspace: &Path) {
    steps.run("format", cargo(workspace).args(["fmt", "--all", "--check"]));
    steps.run(
        "clippy",
        cargo(workspace).args([
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]),
    );
}

/// The cargo that runs us, in the workspace.
pub(crate) fn cargo(workspace: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace);
    command
}
