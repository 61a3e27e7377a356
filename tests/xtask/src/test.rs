//! `cargo xtask test`: every test there is, one step after the other, and a table at the end.
//!
//! A step that fails does not keep the others from running. What cannot run here is skipped by name, or fails.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::demo::{built, release_build, vm};
use crate::host;
use crate::lint::{self, cargo};
use crate::steps::Steps;
use crate::vm::workspace;

/// How long each fuzz target tries: enough to catch a gross mistake on every run.
const FUZZ_SEC: u32 = 20;

/// Longest run of scenarios in one VM, on a slow machine.
const SCENARIOS_TIMEOUT_SEC: &str = "2400";

/// Scenarios on one kernel.
struct Boot {
    kernel: &'static str,
    lsm: &'static str,
    /// Groups of scenarios; none is all.
    only: &'static [&'static str],
}

/// All scenarios on the oldest supported kernel. On the others those that show what differs between kernels and back
/// ends: which hooks there are, and whether every family of programs loads and blocks.
const BOOTS: [Boot; 4] = [
    Boot { kernel: "6.1", lsm: "yes", only: &[] },
    Boot { kernel: "6.1", lsm: "no", only: &DIFFERS },
    Boot { kernel: "6.12", lsm: "yes", only: &DIFFERS },
    Boot { kernel: "newest", lsm: "yes", only: &DIFFERS },
];

/// Some of each family of hooks, the work that must go on, and the neighbours that must not be touched.
const DIFFERS: [&str; 17] = [
    "hold-command",
    "hold-create",
    "hold-threads",
    "hold-exec",
    "F1a",
    "F2a",
    "E1b",
    "E1d",
    "C1a",
    "C4a",
    "N1a",
    "N1c",
    "N6a",
    "work-build",
    "work-git",
    "work-curl",
    "U1",
];

/// Kernels on which held requests are put under stress.
const STRESSED: [&str; 2] = ["6.1", "newest"];

/// Requests held while agentd is killed, and how often it is; with `--full` the larger numbers.
const FEW_HOLDS: [&str; 2] = ["4000", "1"];
const MANY_HOLDS: [&str; 2] = ["10000", "5"];

/// Scenarios that are run again with everything that they may do held, and allowed by policy: some of each kind, and
/// with `--full` all groups in which answers are about paths and addresses.
const HELD: [&str; 8] = ["F1a", "F2a", "E1b", "C1a", "N1a", "N6a", "work-git", "work-curl"];
const HELD_GROUPS: [&str; 4] = ["files", "exec", "identity", "network"];

/// A kernel without task storage: agentd must refuse it and say so.
const TOO_OLD: &str = "5.10";

/// Which steps to run.
#[derive(Debug, clap::Args)]
pub(crate) struct TestArgs {
    /// Leave the VMs out
    #[arg(long)]
    fast: bool,
    /// Run all scenarios on every kernel
    #[arg(long, conflicts_with = "fast")]
    full: bool,
    /// Only steps whose names contain this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

/// Runs the verb.
pub(crate) fn run(args: &TestArgs) -> Result<ExitCode> {
    let workspace = workspace()?;
    let mut steps = Steps::only(args.only.clone());
    lint::add(&mut steps, &workspace);
    steps.run("tests", cargo(&workspace).args(["test", "--workspace", "--locked", "--no-fail-fast"]));
    steps.run("release build", release_build(&workspace).arg("--quiet"));
    let mut policies = Command::new(built(&workspace, "agentctl"));
    steps.run("policies", policies.current_dir(&workspace).args(["policy", "test", "policies"]));
    fuzz(&mut steps, &workspace)?;
    match host::missing() {
        None => steps.check("this host's kernel", || host::test(&workspace)),
        Some(missing) => steps.skip("this host's kernel", &missing),
    }
    if args.fast {
        steps.skip("VMs", "--fast");
    } else {
        for boot in &BOOTS {
            scenarios(&mut steps, boot, args.full)?;
        }
        for kernel in STRESSED {
            holds(&mut steps, &workspace, kernel, args.full)?;
        }
        governance(&mut steps, &workspace)?;
        steps.check(&format!("VM {TOO_OLD} refusal"), refuses_an_old_kernel);
    }
    Ok(ExitCode::from(u8::from(!steps.finish())))
}

fn scenarios(steps: &mut Steps, boot: &Boot, full: bool) -> Result<()> {
    let Boot { kernel, lsm, only } = boot;
    let only = if full { &[] } else { *only };
    let mut command = vm()?;
    command.args(["--no-build", "--kernel", kernel, "--lsm", lsm, "--timeout", SCENARIOS_TIMEOUT_SEC]);
    steps.run(
        &format!("VM {kernel} lsm={lsm}"),
        command.args(["--", "agentctl", "selftest"]).args(only.iter().flat_map(|name| ["--only", name])),
    );
    Ok(())
}

fn holds(steps: &mut Steps, workspace: &Path, kernel: &str, full: bool) -> Result<()> {
    let mut command = vm()?;
    command.args(["--no-build", "--kernel", kernel, "--timeout", SCENARIOS_TIMEOUT_SEC, "--share"]);
    command.arg(workspace.join("tests/vm/holds"));
    command.args(["--", "sh", "/share/holds/run.sh"]).args(if full { MANY_HOLDS } else { FEW_HOLDS });
    command.args(if full { HELD_GROUPS.as_slice() } else { HELD.as_slice() });
    steps.run(&format!("VM {kernel} holds"), &mut command);
    Ok(())
}

/// The life of registered agents, with everything that can be done to their files.
fn governance(steps: &mut Steps, workspace: &Path) -> Result<()> {
    let mut command = vm()?;
    command.args(["--no-build", "--timeout", SCENARIOS_TIMEOUT_SEC, "--share"]);
    command.arg(workspace.join("tests/vm/governance")).args(["--", "bash", "/share/governance/run.sh"]);
    steps.run("VM governance", &mut command);
    Ok(())
}

/// agentd does not start there, and what it says is one line that names the kernel.
fn refuses_an_old_kernel() -> Result<()> {
    let output = vm()?
        .args([
            "--no-build",
            "--quiet",
            "--kernel",
            TOO_OLD,
            "--allow-failed-agentd",
            "--timeout",
            "120",
            "--",
        ])
        .args(["sh", "-c", "systemctl stop agentd; agentd 2>&1 >/dev/null; echo status $?"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("agentd: ")).collect();
    match lines.as_slice() {
        [line] if line.contains("kernel") && said.contains("status 1") => Ok(()),
        _ => bail!("expected status 1 and one line about the kernel from agentd on {TOO_OLD}"),
    }
}

/// Each target, briefly and from the seeds alone: reading what long runs have collected would take longer.
fn fuzz(steps: &mut Steps, workspace: &Path) -> Result<()> {
    let found = tempfile::tempdir()?;
    if !cargo(workspace).args(["fuzz", "--version"]).output()?.status.success() {
        let mut install = cargo(workspace);
        steps.run("fuzz: install cargo-fuzz", install.args(["install", "--quiet", "--locked", "cargo-fuzz"]));
    }
    for target in fuzz_targets(workspace)? {
        let corpus = found.path().join(&target);
        std::fs::create_dir(&corpus)?;
        let mut command = cargo(workspace);
        // Sanitizers need options of rustc that are not stable; the toolchain is the same one.
        command.env("RUSTC_BOOTSTRAP", "1");
        command.args(["fuzz", "run", "--fuzz-dir", "tests/fuzz", &target]).arg(&corpus);
        command.args([&format!("tests/fuzz/seeds/{target}"), "--"]);
        // Progress would be hundreds of lines; a finding is printed all the same.
        command.args([&format!("-max_total_time={FUZZ_SEC}"), "-verbosity=0"]);
        steps.run(&format!("fuzz: {target}"), &mut command);
    }
    Ok(())
}

fn fuzz_targets(workspace: &Path) -> Result<Vec<String>> {
    let directory = workspace.join("tests/fuzz/fuzz_targets");
    let mut targets = Vec::new();
    for entry in std::fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if let (Some(name), Some("rs")) = (path.file_stem(), path.extension().and_then(|kind| kind.to_str()))
        {
            targets.push(name.to_string_lossy().into_owned());
        }
    }
    targets.sort();
    Ok(targets)
}
