//! `cargo xtask package`: a deb and an rpm of one build. Both are made of one tree, which `packaging/install` writes.
//!
//! Knows how packages are made and checked, not what is in them: that is in `packaging/`.

mod check;
mod deb;
mod rpm;
mod stage;
mod third_party;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::build::{Build, workspace};
use crate::tools::{self, run, tool};

/// The name of the package.
const NAME: &str = "agentguard";

/// Version of the workspace, which is written in Cargo.toml and nowhere else.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What to make, of what, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct PackageArgs {
    /// A package; `check` makes two revisions of each and looks at them from all sides
    #[arg(value_enum)]
    kind: Kind,
    /// Folder of built programs; without it the release is built
    #[arg(long, value_name = "DIR")]
    build_dir: Option<PathBuf>,
    /// Counts packages of one version
    #[arg(long, default_value_t = 1, value_name = "N")]
    revision: u32,
    /// Where packages are written, instead of target/package
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Deb,
    Rpm,
    Check,
}

/// Runs the verb.
pub(crate) fn run_verb(args: &PackageArgs) -> Result<ExitCode> {
    let workspace = workspace()?;
    let build = Build::new(&workspace, true);
    let programs = match &args.build_dir {
        Some(folder) => folder.canonicalize().with_context(|| folder.display().to_string())?,
        None => {
            build.run(&[])?;
            build.folder()
        }
    };
    let packages = build.target().join("package");
    let out = args.out.clone().unwrap_or_else(|| packages.clone());
    std::fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let packing = Packing {
        date_sec: date_sec(&workspace)?,
        workspace,
        work: packages.join("build"),
        out: out.canonicalize()?,
        quick: args.kind == Kind::Check,
    };
    // Two at once would remove each other's work.
    std::fs::create_dir_all(&packing.work)?;
    let lock = std::fs::File::create(packing.work.join("lock"))?;
    lock.lock().with_context(|| packing.work.display().to_string())?;
    let package = match args.kind {
        Kind::Check => return check::run_all(&packing, &programs),
        Kind::Deb => {
            tools::install("package", &tools::missing(&deb::NEEDED))?;
            deb::make(&packing, &stage::stage(&packing, &programs)?, args.revision)?
        }
        Kind::Rpm => {
            tools::install("package", &tools::missing(&rpm::NEEDED))?;
            rpm::make(&packing, &stage::stage(&packing, &programs)?, args.revision)?
        }
    };
    println!("{}", package.display());
    Ok(ExitCode::SUCCESS)
}

/// Where packages are made, and how.
struct Packing {
    workspace: PathBuf,
    /// For what is of no use afterwards, but for whoever looks why something failed.
    work: PathBuf,
    out: PathBuf,
    /// Seconds since 1970 that every file and package is dated at, so that the same build gives the same bytes.
    date_sec: u64,
    /// Compresses little: for packages that are tested and thrown away.
    quick: bool,
}

impl Packing {
    /// An empty folder for work.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.work.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(folder)
    }

    /// A file of `packaging/`.
    fn source(&self, name: &str) -> PathBuf {
        self.workspace.join("packaging").join(name)
    }

    /// The date, as `date` writes it.
    fn date(&self, format: &str) -> Result<String> {
        let date = run(tool("date").args(["--utc", "--date", &format!("@{}", self.date_sec), format]))?;
        Ok(date.trim_end().to_owned())
    }

    /// Moves a package to where it was wanted.
    fn deliver(&self, package: &Path) -> Result<PathBuf> {
        let name = package.file_name().with_context(|| format!("no file name: {}", package.display()))?;
        let delivered = self.out.join(name);
        std::fs::copy(package, &delivered).with_context(|| delivered.display().to_string())?;
        Ok(delivered)
    }
}

/// `SOURCE_DATE_EPOCH`, else the date of the last commit.
pub(crate) fn date_sec(workspace: &Path) -> Result<u64> {
    let text = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => run(tool("git").current_dir(workspace).args(["log", "-1", "--format=%ct"]))
            .context("no commit to take a date from; set SOURCE_DATE_EPOCH to seconds since 1970")?,
    };
    let text = text.trim();
    text.parse().with_context(|| format!("SOURCE_DATE_EPOCH: no number of seconds: {text}"))
}
