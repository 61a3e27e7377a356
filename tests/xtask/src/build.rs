//! The workspace and the programs that cargo builds of it: as the tests run them, or the release that users get.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

/// Packages with programs that are installed: the daemon, its command, and the scenarios' triggers.
pub(crate) const INSTALLED: [&str; 3] = ["agentd", "agentctl", "agentguard-scenarios"];

/// Where these programs are installed.
pub(crate) const PROGRAMS: [&str; 3] =
    ["usr/sbin/agentd", "usr/bin/agentctl", "usr/libexec/agentguard/agentguard-trigger"];

/// The root of the workspace that this program was built from.
pub(crate) fn workspace() -> Result<PathBuf> {
    let manifest =
        std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let manifest = PathBuf::from(manifest);
    match manifest.ancestors().nth(2) {
        Some(root) if root.join("Cargo.toml").exists() => Ok(root.to_owned()),
        _ => bail!("cannot find the workspace above {}", manifest.display()),
    }
}

/// The cargo that runs us, in the workspace.
pub(crate) fn cargo(workspace: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace);
    command
}

/// One build of the workspace.
#[derive(Clone, Debug)]
pub(crate) struct Build {
    workspace: PathBuf,
    release: bool,
}

impl Build {
    /// The release, or what the tests run: the same code, quicker to build.
    pub(crate) fn new(workspace: &Path, release: bool) -> Self {
        Self { workspace: workspace.to_owned(), release }
    }

    /// What is built.
    pub(crate) fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// Builds what is installed, and the programs of further packages.
    pub(crate) fn run(&self, further: &[&str]) -> Result<()> {
        if !self.command(further).status()?.success() {
            bail!("the build failed");
        }
        Ok(())
    }

    /// The command that does it.
    pub(crate) fn command(&self, further: &[&str]) -> Command {
        let mut command = cargo(&self.workspace);
        command.args(["build", "--quiet", "--bins", "--locked"]);
        if self.release {
            command.arg("--release");
            command.args(INSTALLED.iter().chain(further).flat_map(|package| ["--package", package]));
        } else {
            // With the features of all packages together, as the tests are built: else dependencies are built twice.
            command.arg("--workspace");
        }
        command
    }

    /// The folder of its programs.
    pub(crate) fn folder(&self) -> PathBuf {
        self.target().join(if self.release { "release" } else { "debug" })
    }

    /// One of its programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// cargo's folder.
    pub(crate) fn target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(
            || self.workspace.join("target"),
            // Relative to the workspace, as cargo sees it there.
            |directory| self.workspace.join(directory),
        )
    }
}
