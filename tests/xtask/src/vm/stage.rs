//! The current build as a disk: what `packaging/install` would put on a host, plus the guest half of this
//! program and the units that start it.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::build::{Build, PROGRAMS};

use super::cache::Cache;
use crate::tools::{run, tool};

const TARGET: &str = include_str!("../../../vm/overlay/usr/lib/systemd/system/agentguard-vm.target");
const SERVICE: &str = include_str!("../../../vm/overlay/usr/lib/systemd/system/agentguard-vm.service");

/// Writes the payload disk. Without a build, AgentGuard itself is not on it.
pub(crate) fn write_payload(build: Option<&Build>, cache: &Cache, payload: &Path) -> Result<()> {
    let overlay = cache.work_directory("overlay")?;
    write_overlay(overlay.path(), build.is_some())?;
    let mut archive = tool("tar");
    archive.args(["--numeric-owner", "--owner=0", "--group=0", "-cf"]).arg(payload);
    if let Some(build) = build {
        let stage = install(build, cache)?;
        // Entries by name rather than `.`: the root directory itself is not ours to change.
        archive.arg("-C").arg(&stage).args(top_level(&stage)?);
    }
    archive.arg("-C").arg(overlay.path()).args(top_level(overlay.path())?);
    run(&mut archive).context("cannot write the disk with the build")?;
    Ok(())
}

fn install(build: &Build, cache: &Cache) -> Result<PathBuf> {
    for program in ["agentd", "agentctl"] {
        let program = build.program(program);
        if !program.exists() {
            bail!("{} is missing: leave out --no-build", program.display());
        }
    }
    let stage = cache.root.join("stage");
    if stage.exists() {
        std::fs::remove_dir_all(&stage)?;
    }
    std::fs::create_dir_all(&stage)?;
    let mut install = tool(build.workspace().join("packaging/install"));
    install
        .current_dir(build.workspace())
        .arg("--destdir")
        .arg(&stage)
        .arg("--build-dir")
        .arg(build.folder());
    run(&mut install)?;
    if !stage.join("usr").exists() {
        bail!("packaging/install put nothing below {}", stage.display());
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
        if stage.join(link).exists() {
            bail!("packaging/install wrote to /{link}, which is a link on the target; use /usr/{link}");
        }
    }
    for program in PROGRAMS {
        strip(&stage.join(program))?;
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
    strip(&own)
}

/// Debug information is most of a program, and every boot would unpack it.
fn strip(program: &Path) -> Result<()> {
    run(tool("strip").arg("--strip-debug").arg(program))?;
    Ok(())
}

fn top_level(directory: &Path) -> Result<Vec<std::ffi::OsString>> {
    let mut names: Vec<_> =
        std::fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}
