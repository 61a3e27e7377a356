//! `backup`: everything of agentd on this host that no package brings back, in one file; `restore` puts it back. Works
//! whether agentd runs or not, and asks it nothing.

pub(crate) mod manifest;
mod take;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;

use crate::archive::{self, NewArchive, Owned};
use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen, Tone};
use crate::settings::{Settings, below};
use manifest::{FORMAT, Manifest, What};
pub(crate) use take::{RESTORED, STORE};

/// What was typed after `backup`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// File to make, which is not there yet; its name ends in .tar.gz
    #[arg(long, value_name = "FILE", value_parser = archive::named)]
    out: PathBuf,
    /// Also what is secret: keys that sign, the word for budgets, secrets of webhooks
    ///
    /// Whoever reads such a file can sign as this host. Keep it as you would keep the keys themselves.
    #[arg(long)]
    with_keys: bool,
    /// Directory in which the host's files are, such as a mounted disk
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

/// What was made.
#[derive(Serialize)]
struct Made<'a> {
    file: &'a Path,
    bytes: u64,
    agents: usize,
    files: usize,
    with_keys: bool,
    left_out: &'a [String],
}

/// Makes a backup.
pub(crate) fn run(arguments: &Arguments, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let Arguments { out, with_keys, root } = arguments;
    let settings = Settings::read(root)?;
    if !below(root, &settings.state_dir).is_dir() {
        let place = below(root, &settings.state_dir);
        return Err(Failure::Failed(format!("{}: there is no state of agentd to keep", place.display())));
    }
    // First, so that a name that is taken is said before anything is copied.
    let archive = NewArchive::create(out)?;
    let all = take::take(root, &settings, *with_keys, archive.staging())?;
    let manifest = Manifest {
        format: FORMAT,
        product: env!("CARGO_PKG_VERSION").to_owned(),
        host: nix::unistd::gethostname()
            .map_or_else(|_| String::new(), |name| name.to_string_lossy().into_owned()),
        time: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        with_keys: *with_keys,
        folders: all.folders.into_iter().map(|(name, path)| (name.to_owned(), path)).collect(),
        entries: all.taken.iter().map(|taken| taken.entry.clone()).collect(),
        left_out: all.left_out,
    };
    if let Some(mistake) = manifest.mistake() {
        return Err(Failure::Failed(format!("this could not be put back: {mistake}")));
    }
    let bytes = write(archive, &manifest, &all.taken)?;
    let made = Made {
        file: out,
        bytes,
        agents: manifest.agents(),
        files: manifest.files().0,
        with_keys: *with_keys,
        left_out: &manifest.left_out,
    };
    match screen.format() {
        Format::Table => show(screen, &made)?,
        Format::Json | Format::Ndjson => screen.document(&made)?,
    }
    Ok(Outcome::Done)
}

fn write(mut archive: NewArchive, manifest: &Manifest, all: &[take::Taken]) -> Result<u64, Failure> {
    let text = serde_json::to_vec_pretty(manifest)
        .map_err(|error| Failure::Failed(format!("the manifest could not be written: {error}")))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let owned = Owned { mode: 0o600, uid: 0, gid: 0, time_sec: now };
    let written = |error: io::Error| Failure::Failed(format!("the backup could not be written: {error}"));
    archive.file(manifest::NAME, owned, text.len() as u64, text.as_slice()).map_err(written)?;
    for taken in all {
        let entry = &taken.entry;
        let owned = Owned { mode: entry.mode, uid: entry.uid, gid: entry.gid, time_sec: taken.time_sec };
        match &entry.what {
            What::Folder => archive.folder(&entry.path, owned),
            What::Link { target } => archive.link(&entry.path, owned, target),
            What::File { bytes, .. } => {
                File::open(&taken.from).and_then(|file| archive.file(&entry.path, owned, *bytes, file))
            }
        }
        .map_err(written)?;
    }
    archive.finish()
}

fn show(screen: &mut Screen<'_>, made: &Made<'_>) -> io::Result<()> {
    let (agents, files) =
        (describe::count(made.agents, "registered agent"), describe::count(made.files, "file"));
    let size = describe::bytes(made.bytes);
    screen.line(format!("{}: {agents}, {files}, {size}", made.file.display()))?;
    if made.with_keys {
        let warning = "KEYS ARE IN IT: whoever reads this file can sign as this host";
        return screen.line(screen.paint(Tone::Bad, warning));
    }
    let words = match made.left_out {
        [] => "no secrets were there to leave out".to_owned(),
        left_out => format!("left out, keep them elsewhere: {}", left_out.join(", ")),
    };
    screen.line(words)?;
    screen.line("Where the keys are missing no registered agent starts until they are put back")
}
