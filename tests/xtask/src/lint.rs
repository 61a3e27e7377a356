//! `cargo xtask lint`: what can be said about the sources without running them.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::build::{cargo, workspace};
use crate::steps::Steps;

/// Checks form and habits.
pub(crate) fn run() -> Result<ExitCode> {
    let workspace = workspace()?;
    let mut steps = Steps::new(None);
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
