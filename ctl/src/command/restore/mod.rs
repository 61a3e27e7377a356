//! `restore`: puts a backup back, whole or not at all, while agentd is stopped. What was there before is moved aside, and
//! nothing of it is removed.

mod place;
mod read;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;

use crate::command::backup::manifest::Manifest;
use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen, Tone};
use crate::settings::{Settings, below};
use place::Placed;

/// Where systemd has the agents that run.
const AGENTS: &str = "/sys/fs/cgroup/agents.slice/cgroup.events";

/// What was typed after `restore`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A file that `agentctl backup` made; only one that you trust: it says what agents may do
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Verify the file and say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Directory in which the host's files are, such as a mounted disk
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

/// What was or would be done.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    about: About<'a>,
    dry_run: bool,
    /// Where what was there before is now.
    set_aside: &'a [PathBuf],
    /// Secrets of this host that stay, for the backup has none.
    kept: &'a [String],
    /// Secrets that neither the backup nor this host has.
    missing: &'a [String],
}

/// What the backup says of itself.
#[derive(Serialize)]
struct About<'a> {
    host: &'a str,
    time: &'a str,
    product: &'a str,
    with_keys: bool,
    agents: usize,
    files: usize,
    bytes: u64,
}

/// Verifies a backup, then puts it back.
pub(crate) fn run(arguments: &Arguments, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let Arguments { file, dry_run, root } = arguments;
    let is_stopped = is_stopped(root);
    if !dry_run {
        is_stopped.as_ref().map_err(|why| Failure::Refused(why.clone()))?;
    }
    let manifest = read::manifest(file)?;
    if *dry_run {
        read::verify(file, &manifest)?;
        let (kept, missing) = place::secrets(root, &manifest);
        show(screen, &manifest, true, &Placed { set_aside: Vec::new(), kept, missing })?;
        if let (Format::Table, Err(why)) = (screen.format(), is_stopped) {
            screen.line(screen.paint(Tone::Warn, &format!("now it would be refused: {why}")))?;
        }
        return Ok(Outcome::Done);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let placed = place::restore(root, file, &manifest, now)?;
    show(screen, &manifest, false, &placed)?;
    Ok(Outcome::Done)
}

/// Nobody may write what is replaced, and nobody may run whom the restored state does not know.
fn is_stopped(root: &Path) -> Result<(), String> {
    // A configuration that cannot be read is no reason to leave the host as it is: the usual places are looked at.
    let settings = Settings::read(root).ok();
    let socket =
        settings.as_ref().map_or(Path::new(agentguard_api::DEFAULT_SOCKET), |settings| &settings.socket);
    let socket = below(root, socket);
    if UnixStream::connect(&socket).is_ok() {
        return Err(format!(
            "agentd runs ({} answers); stop it first: systemctl stop agentd",
            socket.display()
        ));
    }
    let audit = settings.map(|settings| below(root, &settings.state_dir).join("audit"));
    if let Some(dir) = audit
        && let Ok(file) = fs::File::open(&dir)
        && let Err(fs::TryLockError::WouldBlock) = file.try_lock()
    {
        return Err(format!(
            "{}: somebody writes the audit log; stop agentd first: systemctl stop agentd",
            dir.display()
        ));
    }
    let events = fs::read_to_string(below(root, Path::new(AGENTS))).unwrap_or_default();
    if events.lines().any(|line| line == "populated 1") {
        return Err("agents run, and the restored state would not know them; end them first: systemctl stop agents.slice".to_owned());
    }
    Ok(())
}

fn show(screen: &mut Screen<'_>, manifest: &Manifest, dry_run: bool, placed: &Placed) -> io::Result<()> {
    let (files, bytes) = manifest.files();
    let about = About {
        host: &manifest.host,
        time: &manifest.time,
        product: &manifest.product,
        with_keys: manifest.with_keys,
        agents: manifest.agents(),
        files,
        bytes,
    };
    let Placed { set_aside, kept, missing } = placed;
    if screen.format() != Format::Table {
        return screen.document(&Report { about, dry_run, set_aside, kept, missing });
    }
    let count = (describe::count(about.agents, "registered agent"), describe::count(files, "file"));
    screen.line(format!(
        "backup of {} from {} by AgentGuard {}: {}, {}, {}; every file is as it was written",
        about.host,
        about.time,
        about.product,
        count.0,
        count.1,
        describe::bytes(bytes)
    ))?;
    let verb = if dry_run { "would be replaced" } else { "restored" };
    for place in manifest.folders.values() {
        screen.line(format!("{verb}: {}", place.display()))?;
    }
    for aside in set_aside {
        screen.line(format!("what was there before: {}", aside.display()))?;
    }
    if !kept.is_empty() {
        screen.line(format!("secrets of this host that stay: {}", kept.join(", ")))?;
    }
    if !missing.is_empty() {
        let words = format!("MISSING, put back before agents can start: {}", missing.join(", "));
        screen.line(screen.paint(Tone::Bad, &words))?;
    }
    if dry_run {
        return screen.line("nothing was changed");
    }
    screen.line("next: systemctl start agentd && agentctl status && agentctl audit verify")
}

/// Names what is new and what is put aside, in the order of time.
fn stamp(now: Duration) -> String {
    let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + now).to_string();
    time.chars().filter(char::is_ascii_alphanumeric).collect()
}
