//! agentd as others see it: a service that is started and stopped, a metrics page, a command line.
//!
//! Either the host's own (under systemd), or one of our own with everything in a folder of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::process;

/// Policy as it is shipped, and where the host's own is.
const SHIPPED_POLICY: &str = "/usr/share/agentguard/policies";
const HOST_POLICY: &str = "/etc/agentguard/policies";

/// Where the host's agentd shows its metrics.
const HOST_METRICS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9464);

/// Longest start: programs are verified, under emulation for seconds.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A start is tried this often: what an earlier agentd left may need a moment to be gone.
const START_TRIES: u32 = 4;
const START_AGAIN: Duration = Duration::from_secs(2);

/// Longest wait for agentd to have written down what it was sent.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// agentd is idle when it used less than this share of a processor for this long.
const IDLE_FOR: Duration = Duration::from_millis(400);
const IDLE_SHARE: u32 = 8;

/// Samples of the metrics page, by name with labels.
pub(crate) struct Samples(BTreeMap<String, f64>);

impl Samples {
    /// Reads the page.
    pub(crate) fn read(from: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(from).context("metrics")?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        let samples = page.lines().filter(|line| line.starts_with("agentguard_"));
        let samples = samples.filter_map(|line| line.rsplit_once(' '));
        Ok(Self(samples.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()))
    }

    /// Samples of a metric: its labels and values.
    pub(crate) fn of<'a>(&'a self, metric: &'a str) -> impl Iterator<Item = (&'a str, u64)> {
        self.0.iter().filter_map(move |(name, value)| {
            let labels = name.strip_prefix(metric)?;
            // Counters are whole numbers.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            (labels.is_empty() || labels.starts_with('{')).then_some((labels, *value as u64))
        })
    }

    /// A sum of seconds, in nanoseconds.
    pub(crate) fn ns(&self, metric: &str, label: &str) -> u64 {
        let seconds = self.0.get(&format!("{metric}{{{label}}}")).copied().unwrap_or_default();
        // Never negative, and far from the limit.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let ns = (seconds * 1e9) as u64;
        ns
    }

    /// The sum over all labels that contain `label`.
    pub(crate) fn sum(&self, metric: &str, label: &str) -> u64 {
        self.of(metric).filter(|(labels, _)| labels.contains(label)).map(|(_, value)| value).sum()
    }
}

/// The host's agentd, under systemd.
pub(crate) struct Host;

impl Host {
    /// Its metrics.
    pub(crate) fn samples(&self) -> Result<Samples> {
        Samples::read(HOST_METRICS)
    }

    /// Puts a copy of the shipped policy in place for changes, and returns its folder.
    pub(crate) fn own_policy(&self) -> Result<PathBuf> {
        fs::create_dir_all(HOST_POLICY).context(HOST_POLICY)?;
        run(Command::new("cp").args(["-r", &format!("{SHIPPED_POLICY}/."), HOST_POLICY]))?;
        Ok(PathBuf::from(HOST_POLICY))
    }

    /// Loads, attaches and serves.
    pub(crate) fn start(&self) -> Result<()> {
        let mut tries = 1;
        while let Err(error) = run(Command::new("systemctl").args(["start", "agentd"])) {
            let why = output(Command::new("journalctl").args([
                "-u",
                "agentd",
                "-n",
                "6",
                "--no-pager",
                "-o",
                "cat",
            ]))?;
            eprintln!("agentguard-bench: agentd did not start, try {tries} of {START_TRIES}: {why}");
            if tries == START_TRIES {
                return Err(error);
            }
            tries += 1;
            sleep(START_AGAIN);
        }
        Ok(())
    }

    /// Nothing of it is in the kernel any more.
    pub(crate) fn stop(&self) -> Result<()> {
        run(Command::new("systemctl").args(["stop", "agentd"]))?;
        run(Command::new("agentd").arg("--unload"))
    }

    /// Waits as long as [`Host::settle`] does when there is nothing to do.
    pub(crate) fn rest(&self) -> Result<()> {
        sleep(IDLE_FOR);
        Ok(())
    }

    /// Waits until it has nothing to do.
    pub(crate) fn settle(&self) -> Result<()> {
        settle(self.pid()?)
    }

    /// Waits until it has nothing to do: the processor time that it used since it was started.
    pub(crate) fn settled_cpu_time(&self) -> Result<Duration> {
        let pid = self.pid()?;
        settle(pid)?;
        process::cpu_time(pid)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Result<u32> {
        let words = ["show", "--property", "MainPID", "--value", "agentd"];
        let pid = output(Command::new("systemctl").args(words))?;
        pid.trim().parse().context("agentd has no main process")
    }
}

/// What the shipped unit sets: it belongs to how much memory agentd takes.
fn shipped_environment() -> impl Iterator<Item = (&'static str, &'static str)> {
    include_str!("../../../systemd/agentd.service")
        .lines()
        .filter_map(|line| line.strip_prefix("Environment="))
        .flat_map(str::split_whitespace)
        .filter_map(|pair| pair.split_once('='))
}

/// An agentd of our own, on this host's kernel, that shares nothing with another.
pub(crate) struct Own {
    folder: PathBuf,
    bin: PathBuf,
    child: Child,
    metrics: SocketAddr,
}

impl Own {
    /// Starts one with the tracing back end, whose state is below `folder` and whose programs are those in `bin`.
    pub(crate) fn start(folder: &Path, bin: &Path, policies: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        // A port that is free now; nobody else on a test host asks for it in between.
        let metrics = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?.local_addr()?;
        let config = folder.join("agentd.toml");
        let text = format!(
            "socket = '{0}/agentd.sock'\npolicy_dir = '{1}'\nstate_dir = '{0}/state'\nrun_dir = '{0}/run'\n\
             pin_dir = '/sys/fs/bpf/agentguard-bench-{2}'\nbackend = 'tracing'\ndegraded = 'observe'\n\
             log_level = 'warn'\n[metrics]\nlisten = '{metrics}'\n[governance]\nscratch_dir = '{0}/scratch'\n",
            folder.display(),
            policies.display(),
            std::process::id()
        );
        fs::write(&config, text)?;
        let log = fs::File::create(folder.join("agentd.log"))?;
        let child = Command::new(bin.join("agentd"))
            .arg("--config")
            .arg(&config)
            .envs(shipped_environment())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("agentd")?;
        let mut own = Self { folder: folder.to_owned(), bin: bin.to_owned(), child, metrics };
        let limit = Instant::now() + START_LIMIT;
        while own.samples().is_err() || !folder.join("agentd.sock").exists() {
            if own.child.try_wait()?.is_some() || Instant::now() > limit {
                bail!("agentd did not start: {}", fs::read_to_string(folder.join("agentd.log"))?.trim());
            }
            sleep(Duration::from_millis(100));
        }
        Ok(own)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its metrics.
    pub(crate) fn samples(&self) -> Result<Samples> {
        Samples::read(self.metrics)
    }

    /// agentctl, speaking to this agentd.
    pub(crate) fn agentctl(&self) -> Command {
        let mut command = Command::new(self.bin.join("agentctl"));
        command.arg("--socket").arg(self.folder.join("agentd.sock"));
        command
    }

    /// Waits until it has nothing to do.
    pub(crate) fn settle(&self) -> Result<()> {
        settle(self.pid())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // What can not be taken away any more is left to whoever looks.
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
        }
        let _ = self.child.wait();
        let config = self.folder.join("agentd.toml");
        let _ = run(Command::new(self.bin.join("agentd")).arg("--unload").arg("--config").arg(config));
    }
}

fn settle(pid: u32) -> Result<()> {
    let limit = Instant::now() + IDLE_LIMIT;
    loop {
        let (start, before) = (Instant::now(), process::cpu_time(pid)?);
        sleep(IDLE_FOR);
        let used = process::cpu_time(pid)?.saturating_sub(before);
        if used * IDLE_SHARE < start.elapsed() {
            return Ok(());
        }
        if Instant::now() > limit {
            bail!("agentd is still busy after {} s", IDLE_LIMIT.as_secs());
        }
    }
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// What a command that must succeed says.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
