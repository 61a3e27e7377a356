//! The current build as a disk: what `packaging/install` would put on a host, plus the guest half of this
//! program and the units that start it.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::cache::Cache;
use super::progress::Progress;
use super::tools::{run, tool};

/// Packages with programs that the VM gets: the daemon, its command, and the scenarios' triggers.
const PACKAGES: [&str; 3] = ["agentd", "agentctl", "agentguard-scenarios"];

const TARGET: &str = include_str!("../../../vm/overlay/usr/lib/systemd/system/agentguard-vm.target");
const SERVICE: &str = include_str!("../../../vm/overlay/usr/lib/systemd/system/agentguard-vm.service");

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

/// Builds what the VM is going to run.
pub(crate) fn build(workspace: &Path, progress: Progress) -> Result<()> {
    progress.note("building the release (cargo build --release)");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let metadata = run(Command::new(&cargo)
        .args(["metadata", "--no-deps", "--format-version=1"])
        .current_dir(workspace))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&metadata).context("cargo metadata is not JSON")?;
    let members: Vec<&str> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|package| package["name"].as_str())
        .collect();
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--bins", "--quiet"]).current_dir(workspace).stdout(Stdio::null());
    for package in PACKAGES.iter().filter(|package| members.contains(package)) {
        command.args(["--package", package]);
    }
    if !command.status().context("cannot run cargo")?.success() {
        bail!("the build failed");
    }
    Ok(())
}

/// Writes the payload disk. With `bare`, AgentGuard itself is not on it.
pub(crate) fn write_payload(workspace: &Path, cache: &Cache, bare: bool, payload: &Path) -> Result<()> {
    let overlay = cache.work_directory("overlay")?;
    write_overlay(overlay.path(), !bare)?;
    let mut archive = tool("tar");
    archive.args(["--numeric-owner", "--owner=0", "--group=0", "-cf"]).arg(payload);
    if !bare {
        let stage = install(workspace, cache)?;
        // Entries by name rather than `.`: the root directory itself is not ours to change.
        archive.arg("-C").arg(&stage).args(top_level(&stage)?);
    }
    archive.arg("-C").arg(overlay.path()).args(top_level(overlay.path())?);
    run(&mut archive).context("cannot write the disk with the build")?;
    Ok(())
}

fn install(workspace: &Path, cache: &Cache) -> Result<PathBuf> {
    let script = workspace.join("packaging/install");
    let binaries = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace.join("target"), |directory| workspace.join(directory))
        .join("release");
    if !script.exists() {
        bail!(
            "{} is missing: there is nothing to install (use --bare for a VM without AgentGuard)",
            script.display()
        );
    }
    for program in ["agentd", "agentctl"] {
        if !binaries.join(program).exists() {
            bail!(
                "{} is missing: run `cargo build --release` first, or leave out --no-build",
                binaries.join(program).display()
            );
        }
    }
    let stage = cache.root.join("stage");
    if stage.exists() {
        std::fs::remove_dir_all(&stage)?;
    }
    std::fs::create_dir_all(&stage)?;
    run(tool(&script).current_dir(workspace).arg("--destdir").arg(&stage).arg("--build-dir").arg(&binaries))?;
    if !stage.join("usr").exists() {
        bail!("packaging/install put nothing below {}", stage.display());
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
        if stage.join(link).exists() {
            bail!("packaging/install wrote to /{link}, which is a link on the target; use /usr/{link}");
        }
    }
    Ok(stage)
}

fn write_overlay(root: &Path, with_agentd: bool) -> Result<()> {
    let units = root.join("usr/lib/systemd/system");
    let enabled = root.join("etc/systemd/system");
    let wants = enabled.join("agentguard-vm.target.wants");
    let library = root.join("usr/lib/agentguard-vm");
    for directory in [&units, &wants, &library] {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(units.join("agentguard-vm.target"), TARGET)?;
    std::fs::write(units.join("agentguard-vm.service"), SERVICE)?;
    symlink("/usr/lib/systemd/system/agentguard-vm.target", enabled.join("default.target"))?;
    symlink("/usr/lib/systemd/system/agentguard-vm.service", wants.join("agentguard-vm.service"))?;
    if with_agentd {
        symlink("/usr/lib/systemd/system/agentd.service", wants.join("agentd.service"))?;
    }
    let own = library.join("xtask");
    std::fs::copy(std::env::current_exe()?, &own)?;
    std::fs::set_permissions(&own, Permissions::from_mode(0o755))?;
    // Its debug information is most of the file and every boot would unpack it.
    run(tool("strip").arg("--strip-debug").arg(&own))?;
    Ok(())
}

fn top_level(directory: &Path) -> Result<Vec<std::ffi::OsString>> {
    let mut names: Vec<_> =
        std::fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}
