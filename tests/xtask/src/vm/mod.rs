//! `cargo xtask vm`: run a command in a VM that has its own kernel, the current build and a running agentd.
//!
//! The story: what is missing on the host is installed; kernel and root file system come from a cache or are
//! made; the build travels as a disk; QEMU boots; the guest half of this program says hello over a serial
//! port, runs the command, and sends back its output and exit status.
//! This module knows nothing of what AgentGuard does, only of how it is installed and that it is a service.

mod archive;
mod cache;
mod frame;
mod guest;
mod initramfs;
mod kernel;
mod machine;
mod mirror;
mod progress;
mod rootfs;
mod session;
mod share;
mod signals;
mod stage;
mod terminal;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::build::{Build, workspace};
use crate::tools;

use cache::Cache;
use frame::Start;
use kernel::KernelName;
use machine::{Disk, MachineSpec};
use progress::Progress;
use session::{Plan, Session};

pub(crate) use guest::run as run_guest;

/// The VM itself failed: it did not boot, agentd did not start, or it died under the command.
pub(crate) const EXIT_VM_FAILED: u8 = 125;
/// The command did not end in time.
pub(crate) const EXIT_TIMED_OUT: u8 = 124;

/// Program and the Debian package that has it.
const NEEDED: [(&str, &str); 13] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("mmdebstrap", "mmdebstrap"),
    ("mke2fs", "e2fsprogs"),
    ("cpio", "cpio"),
    ("busybox", "busybox-static"),
    ("depmod", "kmod"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
    ("strip", "binutils"),
    ("tar", "tar"),
    ("dpkg-deb", "dpkg"),
    ("setpriv", "util-linux"),
    ("stty", "coreutils"),
];

/// The archive's keys, which verify every package that goes into the VM.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Exit status: that of COMMAND; 124 when it ran into the timeout; 125 when the VM itself failed.
#[derive(Debug, clap::Args)]
pub(crate) struct VmArgs {
    /// A kernel series (5.10, 6.1, 6.12, ...), `newest`, or `oldest` (the oldest fully supported one)
    #[arg(long, default_value = "6.1", value_name = "K")]
    kernel: KernelName,
    /// Boot with `bpf` in lsm=; `no` leaves agentd with its next back end
    #[arg(long, value_enum, default_value = "yes")]
    lsm: YesNo,
    /// Seconds that COMMAND may run; booting has its own limits
    #[arg(long, default_value_t = 600, value_name = "S")]
    timeout: u64,
    /// Make DIR available as /share/<its name>, and bring back what was changed in it
    #[arg(long, value_name = "DIR")]
    share: Vec<PathBuf>,
    /// Count time in instructions, a nanosecond each: slower, with one processor, but what takes as long takes the same time
    /// again
    #[arg(long)]
    icount: bool,
    /// Boot without AgentGuard
    #[arg(long)]
    bare: bool,
    /// Take the binaries that are there
    #[arg(long)]
    no_build: bool,
    /// Install the release that users get, rather than the build of the tests
    #[arg(long)]
    release: bool,
    /// Run COMMAND even when agentd did not start
    #[arg(long)]
    allow_failed_agentd: bool,
    /// Run COMMAND on a terminal; the default when there is no COMMAND
    #[arg(long, short)]
    interactive: bool,
    /// Say nothing but what COMMAND says
    #[arg(long, short)]
    quiet: bool,
    /// Look for newer kernels instead of taking the cached one
    #[arg(long)]
    refresh: bool,
    /// Print the kernels there are, and exit
    #[arg(long)]
    list_kernels: bool,
    /// What to run as root; a shell when absent
    #[arg(last = true)]
    command: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum YesNo {
    Yes,
    No,
}

/// Runs the verb on the host.
pub(crate) fn run(args: &VmArgs) -> Result<ExitCode> {
    let running = signals::watch()?;
    let progress = Progress::new(args.quiet);
    let workspace = workspace()?;
    let build = Build::new(&workspace, args.release);
    let cache = Cache::open(&workspace)?;
    {
        // Two at once would get into each other's way in apt.
        let _lock = cache.lock()?;
        ensure_installed()?;
    }
    if args.list_kernels {
        let _lock = cache.lock()?;
        print!("{}", kernel::list(&cache, args.refresh, progress)?);
        return Ok(ExitCode::SUCCESS);
    }
    let on_terminal = args.interactive || args.command.is_empty();
    if on_terminal && !terminal::is_interactive() {
        bail!("a shell needs a terminal; give a command after `--`");
    }
    if !args.bare && !args.no_build {
        let _step = progress.step("building");
        build.run(&[])?;
    }

    let directory = cache.work_directory("run")?;
    if let Ok(mut running) = running.lock() {
        running.run_directory = Some(directory.path().to_owned());
    }
    let shares = share::pack(&args.share, directory.path())?;

    let lock = cache.lock()?;
    let kernel = kernel::prepare(&cache, args.kernel, args.refresh, progress)?;
    let root = rootfs::prepare(&cache, progress)?;
    let payload = directory.path().join("payload.tar");
    stage::write_payload((!args.bare).then_some(&build), &cache, &payload)?;
    let mut disks = vec![
        Disk { path: root, serial: "root".into(), keep: false },
        Disk { path: kernel.modules.clone(), serial: "modules".into(), keep: false },
        Disk { path: payload, serial: "payload".into(), keep: false },
    ];
    disks.extend(share::disks(&shares));

    let lsm = args.lsm == YesNo::Yes;
    let log = cache.root.join("log").join(format!(
        "last-{}-lsm-{}.log",
        args.kernel,
        if lsm { "yes" } else { "no" }
    ));
    let plan = Plan {
        machine: MachineSpec {
            kernel,
            bpf_lsm: lsm,
            icount: args.icount,
            disks,
            run_directory: directory.path().to_owned(),
        },
        start: Start {
            command: if args.command.is_empty() {
                vec!["bash".into(), "-l".into()]
            } else {
                args.command.clone()
            },
            timeout_s: if args.command.is_empty() { NO_TIMEOUT.as_secs() } else { args.timeout },
            term: std::env::var("TERM").unwrap_or_else(|_| "dumb".into()),
            terminal: on_terminal.then(terminal::size),
            shares: shares.iter().map(|share| share.name.clone()).collect(),
        },
        shares,
        needs_agentd: !args.bare && !args.allow_failed_agentd,
        log,
        progress,
    };
    let status = Session::boot(&plan, lock, &running)?.command(&running)?;
    directory.close().context("cannot remove the run directory")?;
    Ok(ExitCode::from(status))
}

/// Installs with apt what this host lacks.
fn ensure_installed() -> Result<()> {
    let mut missing = tools::missing(&NEEDED);
    if !Path::new(KEYRING).exists() {
        missing.push("debian-archive-keyring");
    }
    tools::install("vm", &missing)
}

/// A person at a shell is not hurried.
const NO_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3600);
