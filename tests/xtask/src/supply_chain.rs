//! `cargo xtask supply-chain`: what a release is made of. An SBOM of each program, the judgement of cargo-deny about
//! licenses, bans, sources and known flaws, and checksums over target/package.
//!
//! No step of the tests: the two tools take minutes to build where they are missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use crate::build::{Build, INSTALLED, cargo, workspace};
use crate::package::date_sec;
use crate::tools::{run, tool};

/// Runs the verb.
pub(crate) fn run_verb() -> Result<ExitCode> {
    let workspace = workspace()?;
    let out = Build::new(&workspace, true).target().join("package");
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    for plugin in ["deny", "cyclonedx"] {
        ensure_installed(&workspace, plugin)?;
    }
    deny(&workspace)?;
    sbom(&workspace, &out)?;
    checksums(&out)?;
    Ok(ExitCode::SUCCESS)
}

fn ensure_installed(workspace: &Path, plugin: &str) -> Result<()> {
    if cargo(workspace).args([plugin, "--version"]).output()?.status.success() {
        return Ok(());
    }
    let package = format!("cargo-{plugin}");
    eprintln!("supply-chain: installing {package}, which takes minutes");
    let done = cargo(workspace).args(["install", "--quiet", "--locked", &package]).status()?;
    ensure!(done.success(), "cannot install {package}: cargo install --locked {package}");
    Ok(())
}

/// By the rules of deny.toml. Known flaws are in a list on the net, which is not reached from everywhere.
fn deny(workspace: &Path) -> Result<()> {
    let judge = |checks: &[&str]| -> Result<()> {
        let done = cargo(workspace).args(["deny", "--locked", "check"]).args(checks).status()?;
        ensure!(done.success(), "cargo deny check {}: failed", checks.join(" "));
        Ok(())
    };
    judge(&["licenses", "bans", "sources"])?;
    println!("licenses, bans, sources: ok");
    let fetched = cargo(workspace).args(["deny", "fetch", "db"]).output()?;
    if fetched.status.success() {
        judge(&["advisories"])?;
        println!("advisories: ok");
    } else {
        println!("advisories: NOT CHECKED, the list of them is not reachable from here");
    }
    Ok(())
}

/// One CycloneDX document for each package that is installed. cargo-cyclonedx writes them beside the manifests of all
/// members.
fn sbom(workspace: &Path, out: &Path) -> Result<()> {
    let mut command = cargo(workspace);
    command.args(["cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5"]);
    command.args(["--target", "x86_64-unknown-linux-gnu", "--all"]);
    command.env("SOURCE_DATE_EPOCH", date_sec(workspace)?.to_string());
    let made = run(&mut command).context("cargo cyclonedx");
    let mut kept = 0;
    for file in written(workspace)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if made.is_ok() && INSTALLED.iter().any(|package| name == format!("{package}.cdx.json")) {
            let target = out.join(&name);
            fs::copy(&file, &target).with_context(|| target.display().to_string())?;
            println!("{}: {} components", target.display(), components(&target)?);
            kept += 1;
        }
        fs::remove_file(&file)?;
    }
    made?;
    ensure!(kept == INSTALLED.len(), "cargo cyclonedx described {kept} of {}", INSTALLED.join(", "));
    Ok(())
}

fn components(sbom: &Path) -> Result<usize> {
    let document: serde_json::Value = serde_json::from_slice(&fs::read(sbom)?)?;
    let count = document.get("components").and_then(|list| list.as_array()).map_or(0, Vec::len);
    if count == 0 {
        bail!("{}: an SBOM without components", sbom.display());
    }
    Ok(count)
}

/// What cargo-cyclonedx wrote into the workspace.
fn written(workspace: &Path) -> Result<Vec<PathBuf>> {
    let found = run(tool("git").current_dir(workspace).args([
        "ls-files",
        "--others",
        "--ignored",
        "--exclude=*.cdx.json",
        "--",
        ":!target",
    ]))?;
    Ok(found.lines().map(|file| workspace.join(file)).collect())
}

/// Over everything in the folder, as `sha256sum --check` reads it.
fn checksums(out: &Path) -> Result<()> {
    let sums = out.join("SHA256SUMS");
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(out)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_file() && entry.path() != sums {
            names.push(name);
        }
    }
    names.sort();
    fs::write(&sums, run(tool("sha256sum").current_dir(out).arg("--").args(&names))?)?;
    println!("{}: {} files", sums.display(), names.len());
    Ok(())
}
