//! `cargo xtask bench`: what governance costs, measured and written into docs/BENCHMARKS.md.
//!
//! Everything runs in the test VM, a boot for each part, but the pipeline, which runs on this host's own kernel. This
//! module starts the measuring program and keeps what it says; [`figures`] makes ratios of it, [`document`] tables.

mod document;
mod figures;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::build::{Build, workspace};

/// The measuring program.
const PROGRAM: &str = "agentguard-bench";

/// Where results of an earlier run are kept, below the target folder.
const KEPT: &str = "bench";

/// What was typed after `bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Kernel of the VM, as for `vm`
    #[arg(long, default_value = "6.1", value_name = "K")]
    kernel: String,
    /// How often the arms without governance are measured; governed ones take part in every second
    #[arg(long, default_value_t = 4)]
    cycles: u32,
    /// How often the real loads are run in each arm
    #[arg(long, default_value_t = 2)]
    loads: u32,
    /// Measure only this part, and take the others from the last run
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Take the binaries that are there
    #[arg(long)]
    no_build: bool,
    /// Print the tables and leave docs/BENCHMARKS.md as it is
    #[arg(long)]
    no_write: bool,
}

/// Parts that can be measured alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Operations and loads with and without governance, in the VM
    Arms,
    /// Requests that wait for policy, in the VM
    Held,
    /// Time in each kernel program, in the VM
    Programs,
    /// agentd's pipeline on this host's kernel
    Pipeline,
    /// agentd's memory with many agents, in the VM
    Memory,
    /// Another policy for many promoted agents, in the VM
    Revalidation,
}

impl Part {
    const ALL: [Self; 6] =
        [Self::Arms, Self::Held, Self::Programs, Self::Pipeline, Self::Memory, Self::Revalidation];

    fn name(self) -> &'static str {
        match self {
            Self::Arms => "arms",
            Self::Held => "held",
            Self::Programs => "programs",
            Self::Pipeline => "pipeline",
            Self::Memory => "memory",
            Self::Revalidation => "revalidation",
        }
    }
}

/// Measures, prints, writes.
pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode> {
    let workspace = workspace()?;
    let build = Build::new(&workspace, true);
    if !args.no_build {
        build.run(&[PROGRAM])?;
    }
    let bench = Bench { args, bin: build.folder(), kept: build.target().join(KEPT), workspace };
    fs::create_dir_all(&bench.kept)?;
    for part in Part::ALL {
        if args.only.is_empty() || args.only.contains(&part) {
            eprintln!("bench: {}", part.name());
            bench.measure(part)?;
        }
    }
    let text = document::write(&bench.results()?)?;
    println!("{text}");
    if !args.no_write {
        let path = bench.workspace.join("docs/BENCHMARKS.md");
        document::put(&path, &text)?;
        eprintln!("bench: written to {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

struct Bench<'a> {
    args: &'a BenchArgs,
    workspace: PathBuf,
    bin: PathBuf,
    kept: PathBuf,
}

impl Bench<'_> {
    /// Runs one part and keeps its lines. A part that fails leaves those of the last run.
    fn measure(&self, part: Part) -> Result<()> {
        let new = self.kept.join(format!("{}.new", part.name()));
        let out = fs::File::create(&new)?;
        let folder = tempfile::tempdir()?;
        let mut command = match part {
            Part::Pipeline => self.here(part, folder.path()),
            _ => self.in_vm(part, folder.path())?,
        };
        let status = command.stdin(Stdio::null()).stdout(out).status().context("cannot start")?;
        if !status.success() {
            bail!("{} failed: {status}; what it said is in {}", part.name(), new.display());
        }
        Ok(fs::rename(&new, self.lines_of(part))?)
    }

    fn lines_of(&self, part: Part) -> PathBuf {
        self.kept.join(format!("{}.ndjson", part.name()))
    }

    /// This program again, as `vm`: the measuring program travels as a share.
    fn in_vm(&self, part: Part, folder: &Path) -> Result<Command> {
        let share = folder.join("bench");
        fs::create_dir(&share)?;
        fs::copy(self.bin.join(PROGRAM), share.join(PROGRAM))
            .with_context(|| format!("{PROGRAM} is not built"))?;
        let mut inside = format!("uname -r >&2; exec /share/bench/{PROGRAM} {}", part.name());
        if part == Part::Arms {
            inside.push_str(&format!(" --cycles {} --loads {}", self.args.cycles, self.args.loads));
        }
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["vm", "--icount", "--release", "--no-build", "--timeout", "3600"]);
        command.args(["--kernel", &self.args.kernel, "--share"]);
        command.arg(share).args(["--", "sh", "-c", &inside]);
        Ok(command)
    }

    fn here(&self, part: Part, folder: &Path) -> Command {
        let mut command = Command::new(self.bin.join(PROGRAM));
        command.arg(part.name()).arg("--folder").arg(folder).arg("--bin").arg(&self.bin);
        command.arg("--policies").arg(self.workspace.join("policies"));
        command
    }

    fn results(&self) -> Result<figures::Results> {
        let read = |part| fs::read_to_string(self.lines_of(part)).unwrap_or_default();
        figures::Results::read(self.args.kernel.clone(), read)
    }
}
