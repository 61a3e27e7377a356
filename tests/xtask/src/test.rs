//! `cargo xtask test`: every test there is, and a table at the end. VMs run beside each other, the rest alone.
//!
//! A step that fails does not keep the others from running. What cannot run here is skipped by name, or fails.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread::available_parallelism;

use anyhow::{Context, Result, bail};

use crate::build::{Build, cargo, workspace};
use crate::demo::vm;
use crate::steps::Steps;
use crate::{host, lint};

/// How long each fuzz target tries: enough to catch a gross mistake on every run.
const FUZZ_SEC: u32 = 20;

/// Longest run of scenarios in one VM, on a slow machine with another VM beside it.
const SCENARIOS_TIMEOUT_SEC: &str = "3600";

/// VMs at once, where there are processors for more: each takes 2 GiB of memory.
const VMS_MAX: usize = 4;

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
    Boot { kernel: "6.12", lsm: "yes", only: &LOADS },
    Boot { kernel: "newest", lsm: "yes", only: &DIFFERS },
];

/// That every family of programs loads between the two, blocks and holds.
const LOADS: [&str; 3] = ["hold-exec", "F1a", "N1a"];

/// Some of each family of hooks, the work that must go on, and the neighbours that must not be touched.
const DIFFERS: [&str; 7] = ["hold-exec", "F1a", "E1b", "C1a", "N1a", "work-git", "U1"];

/// All scenarios, as two parts, each in a VM of its own. Those of the first one are long, those of the second one many.
const HALVES: [(&str, [&str; 8]); 2] = [
    ("work and agentd", ["--only", "daemon", "--only", "process", "--only", "hold", "--only", "ungoverned"]),
    ("ways around", ["--only", "files", "--only", "exec", "--only", "identity", "--only", "network"]),
];

/// Topics of a host's life with the deb; with `--full` also those that take long: monitoring, backups, failures.
const TOPICS: [&str; 6] = ["install", "agent", "units", "upgrade", "no-gap", "remove"];

/// What the scripts of a VM check with, shared with it beside them.
const CHECKS: &str = "tests/vm/lib";

/// Kernels on which held requests are put under stress: the first one always, the other with `--full`.
const STRESSED: [&str; 2] = ["6.1", "newest"];

/// Requests held while agentd is killed, and how often it is; with `--full` the larger numbers.
const FEW_HOLDS: [&str; 2] = ["1000", "1"];
const MANY_HOLDS: [&str; 2] = ["10000", "5"];

/// Scenarios that are run again with everything that they may do held, and allowed by policy: some of each kind, and
/// with `--full` all groups in which answers are about paths and addresses.
const HELD: [&str; 5] = ["F1a", "E1b", "C1a", "N1a", "work-git"];
const HELD_GROUPS: [&str; 4] = ["files", "exec", "identity", "network"];

/// A kernel without task storage: agentd must refuse it and say so.
const TOO_OLD: &str = "5.10";

/// Which steps to run.
#[derive(Debug, clap::Args)]
pub(crate) struct TestArgs {
    /// Leave the VMs out
    #[arg(long)]
    fast: bool,
    /// Run all scenarios on every kernel, with the release that users get
    #[arg(long, conflicts_with = "fast")]
    full: bool,
    /// Only steps whose names contain this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

/// Runs the verb.
pub(crate) fn run(args: &TestArgs) -> Result<ExitCode> {
    let workspace = workspace()?;
    let mut steps = Steps::new(args.only.clone());
    let build = Build::new(&workspace, args.full);
    lint::add(&mut steps, &workspace);
    // Builds the programs too, for tests of whole packages run them.
    steps.run("tests", cargo(&workspace).args(["test", "--workspace", "--locked", "--no-fail-fast"]));
    if args.full {
        steps.run("release build", &mut build.command(&[]));
    }
    let mut policies = Command::new(build.program("agentctl"));
    steps.run("policies", policies.current_dir(&workspace).args(["policy", "test", "policies"]));
    fuzz(&mut steps, &workspace)?;
    steps.run("packages", &mut packages(&build)?);
    match host::missing() {
        None => steps.check("this host's kernel", || host::test(&build)),
        Some(missing) => steps.skip("this host's kernel", &missing),
    }
    if args.fast {
        steps.skip("VMs", "--fast");
    } else {
        let at_once = available_parallelism().map_or(1, usize::from).min(VMS_MAX);
        steps.run_beside(in_vms(&workspace, &build, args.full)?, at_once);
        steps.check(&format!("VM {TOO_OLD} refusal"), || refuses_an_old_kernel(args.full));
    }
    Ok(ExitCode::from(u8::from(!steps.finish())))
}

/// What runs in a VM of its own. The longest ones begin first, so that the last ones end at about the same time.
fn in_vms(workspace: &Path, build: &Build, full: bool) -> Result<Vec<(String, Command)>> {
    let [most, differing @ ..] = &BOOTS;
    let mut programs = vec![install(workspace, build, full)?];
    programs.append(&mut scenarios(most, full)?);
    programs.push(governance(workspace, full)?);
    let stressed = if full { STRESSED.len() } else { 1 };
    for kernel in STRESSED.into_iter().take(stressed) {
        programs.push(holds(workspace, kernel, full)?);
    }
    for boot in differing {
        programs.append(&mut scenarios(boot, full)?);
    }
    Ok(programs)
}

fn scenarios(boot: &Boot, full: bool) -> Result<Vec<(String, Command)>> {
    let Boot { kernel, lsm, only } = boot;
    let selftest = || -> Result<Command> {
        let mut command = built_vm(full)?;
        command.args(["--kernel", kernel, "--lsm", lsm, "--timeout", SCENARIOS_TIMEOUT_SEC]);
        command.args(["--", "agentctl", "selftest"]);
        Ok(command)
    };
    let name = format!("VM {kernel} lsm={lsm}");
    if !full && !only.is_empty() {
        let mut command = selftest()?;
        command.args(only.iter().flat_map(|id| ["--only", id]));
        return Ok(vec![(name, command)]);
    }
    let halves = HALVES.iter().map(|(half, which)| {
        let mut command = selftest()?;
        command.args(which);
        Ok((format!("{name} {half}"), command))
    });
    halves.collect()
}

fn holds(workspace: &Path, kernel: &str, full: bool) -> Result<(String, Command)> {
    let mut command = built_vm(full)?;
    command.args(["--kernel", kernel, "--timeout", SCENARIOS_TIMEOUT_SEC]);
    share(&mut command, &[workspace.join("tests/vm/holds")]);
    command.args(["--", "sh", "/share/holds/run.sh"]).args(if full { MANY_HOLDS } else { FEW_HOLDS });
    command.args(if full { HELD_GROUPS.as_slice() } else { HELD.as_slice() });
    Ok((format!("VM {kernel} holds"), command))
}

/// The life of registered agents, with everything that can be done to their files.
fn governance(workspace: &Path, full: bool) -> Result<(String, Command)> {
    let mut command = built_vm(full)?;
    command.args(["--timeout", SCENARIOS_TIMEOUT_SEC]);
    share(&mut command, &[workspace.join(CHECKS), workspace.join("tests/vm/governance")]);
    command.args(["--", "bash", "/share/governance/run.sh"]);
    Ok(("VM governance".to_owned(), command))
}

/// Two revisions of each package, of what is built already, looked at from all sides.
fn packages(build: &Build) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["package", "check", "--build-dir"]).arg(build.folder());
    command.arg("--out").arg(checked_packages(build));
    Ok(command)
}

fn checked_packages(build: &Build) -> PathBuf {
    build.target().join("package/check")
}

/// The life of the deb on a host without AgentGuard.
fn install(workspace: &Path, build: &Build, full: bool) -> Result<(String, Command)> {
    let mut command = vm()?;
    command.args(["--bare", "--timeout", SCENARIOS_TIMEOUT_SEC]);
    share(
        &mut command,
        &[workspace.join(CHECKS), workspace.join("tests/vm/install"), checked_packages(build)],
    );
    command.args(["--", "env", if full { "PAUSE=0" } else { "PAUSE=0.05" }]);
    command.args(["bash", "/share/install/run.sh", "/share/check"]);
    command.args(if full { [].as_slice() } else { &TOPICS });
    Ok(("VM install".to_owned(), command))
}

/// Folders that the guest gets, each under its name in /share.
fn share(command: &mut Command, folders: &[PathBuf]) {
    command.args(folders.iter().flat_map(|folder| ["--share".as_ref(), folder.as_os_str()]));
}

/// `vm` with what is built already.
fn built_vm(release: bool) -> Result<Command> {
    let mut command = vm()?;
    command.arg("--no-build");
    if release {
        command.arg("--release");
    }
    Ok(command)
}

/// agentd does not start there, and what it says is one line that names the kernel.
fn refuses_an_old_kernel(full: bool) -> Result<()> {
    let output = built_vm(full)?
        .args(["--quiet", "--kernel", TOO_OLD, "--allow-failed-agentd", "--timeout", "120", "--"])
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
