//! Puts a backup in its places: everything is written beside them first, then each folder is exchanged by renaming. Until
//! the first of these nothing is changed, and a failure takes back those that were done.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use super::read::{self, Sink};
use super::stamp;
use crate::command::backup::manifest::{Entry, Manifest, STATE, What};
use crate::command::backup::{RESTORED, STORE};
use crate::exit::Failure;
use crate::settings::below;

/// 2025-01-01, from which agentd counts the numbers of agents in a new store.
const FIRST_SERIAL_SEC: u64 = 1_735_689_600;

/// What came of it.
pub(super) struct Placed {
    pub(super) set_aside: Vec<PathBuf>,
    pub(super) kept: Vec<String>,
    pub(super) missing: Vec<String>,
}

/// One folder: where it belongs, where it is written, where the old one goes.
struct Exchange {
    name: String,
    place: PathBuf,
    new: PathBuf,
    aside: PathBuf,
}

/// Secrets that the backup lacks: those that this host has, and those that it has not.
pub(super) fn secrets(root: &Path, manifest: &Manifest) -> (Vec<String>, Vec<String>) {
    let paths = manifest.left_out.iter().filter_map(|name| {
        let (folder, rest) = manifest.place(name)?;
        Some(folder.join(rest).display().to_string())
    });
    paths.partition(|path| is_own_file(&below(root, Path::new(path))))
}

fn is_own_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file())
}

/// Does it.
pub(super) fn restore(
    root: &Path,
    file: &Path,
    manifest: &Manifest,
    now: Duration,
) -> Result<Placed, Failure> {
    let stamp = stamp(now);
    let exchanges: Vec<Exchange> = manifest
        .folders
        .iter()
        .map(|(name, place)| {
            let place = below(root, place);
            let beside = |what: &str| {
                let mut path = place.clone().into_os_string();
                path.push(format!(".{what}-{stamp}"));
                PathBuf::from(path)
            };
            Exchange {
                name: name.clone(),
                new: beside("restoring"),
                aside: beside("before-restore"),
                place: place.clone(),
            }
        })
        .collect();
    let (kept, missing) = secrets(root, manifest);
    let written = write(root, file, manifest, &exchanges, now).and_then(|()| exchange(&exchanges));
    match written {
        Ok(set_aside) => Ok(Placed { set_aside, kept, missing }),
        Err(failure) => {
            for exchange in &exchanges {
                // Only what this run began: the name has its time.
                let _ = fs::remove_dir_all(&exchange.new);
            }
            Err(failure)
        }
    }
}

fn write(
    root: &Path,
    file: &Path,
    manifest: &Manifest,
    exchanges: &[Exchange],
    now: Duration,
) -> Result<(), Failure> {
    for Exchange { place, new, .. } in exchanges {
        let parent = place.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).map_err(|error| changed_nothing(parent, &error))?;
        fs::create_dir(new).map_err(|error| changed_nothing(new, &error))?;
        // Until it is in its place nobody else looks into it.
        fs::set_permissions(new, Permissions::from_mode(0o700))
            .map_err(|error| changed_nothing(new, &error))?;
    }
    read::unpack(file, manifest, &mut Writer { exchanges })?;
    for name in &manifest.left_out {
        if let Some((folder, rest)) = manifest.place(name)
            && let Some(to) = target(exchanges, name)
            && is_own_file(&below(root, &folder.join(rest)))
        {
            keep(&below(root, &folder.join(rest)), &to).map_err(|error| changed_nothing(&to, &error))?;
        }
    }
    if let Some(store) = target(exchanges, &format!("{STATE}/{STORE}")).filter(|store| store.is_file()) {
        renumber(&store, now).map_err(|error| changed_nothing(&store, &error))?;
    }
    if let Some(note) = target(exchanges, &format!("{STATE}/{RESTORED}")) {
        tell_agentd(&note, manifest).map_err(|error| changed_nothing(&note, &error))?;
    }
    // Owners and modes last: a folder that may not be written is written until then.
    for entry in manifest.entries.iter().rev() {
        if let Some(path) = target(exchanges, &entry.path) {
            restrict(&path, entry).map_err(|error| changed_nothing(&path, &error))?;
        }
    }
    Ok(())
}

fn changed_nothing(path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::Failed(format!("{}: {error}; nothing was changed", path.display()))
}

/// Where an entry is written.
fn target(exchanges: &[Exchange], name: &str) -> Option<PathBuf> {
    let (folder, rest) = name.split_once('/').unwrap_or((name, ""));
    let exchange = exchanges.iter().find(|exchange| exchange.name == folder)?;
    Some(if rest.is_empty() { exchange.new.clone() } else { exchange.new.join(rest) })
}

struct Writer<'a> {
    exchanges: &'a [Exchange],
}

impl Writer<'_> {
    fn path(&self, entry: &Entry) -> io::Result<PathBuf> {
        target(self.exchanges, &entry.path).ok_or_else(|| io::Error::other("it has no place"))
    }
}

impl Sink for Writer<'_> {
    fn folder(&mut self, entry: &Entry) -> io::Result<()> {
        let path = self.path(entry)?;
        if self.exchanges.iter().any(|exchange| exchange.new == path) {
            return Ok(());
        }
        fs::create_dir(path)
    }

    fn link(&mut self, entry: &Entry, target: &Path) -> io::Result<()> {
        std::os::unix::fs::symlink(target, self.path(entry)?)
    }

    fn file(&mut self, entry: &Entry) -> io::Result<Box<dyn Write>> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.path(entry)?)?;
        Ok(Box::new(Durable(file)))
    }
}

/// On disk when it is flushed.
struct Durable(File);

impl Write for Durable {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// The audit log should say that it was put back; agentd writes it.
fn tell_agentd(note: &Path, manifest: &Manifest) -> io::Result<()> {
    let by = format!("uid {}", nix::unistd::getuid());
    let detail = serde_json::json!({ "backup_of": manifest.host, "made": manifest.time, "by": by });
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(note)?;
    file.write_all(detail.to_string().as_bytes())?;
    file.sync_all()
}

/// A secret of this host, as it is.
fn keep(from: &Path, to: &Path) -> io::Result<()> {
    let meta = fs::metadata(from)?;
    fs::copy(from, to)?;
    own(to, meta.uid(), meta.gid())
}

/// Labels of agents that ran after the backup may still be in the kernel: new ones get numbers above all of them.
fn renumber(store: &Path, now: Duration) -> Result<(), rusqlite::Error> {
    let connection = Connection::open(store)?;
    let has_numbers: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence')",
        [],
        |row| row.get(0),
    )?;
    if has_numbers {
        let serial = i64::try_from(now.as_secs().saturating_sub(FIRST_SERIAL_SEC)).unwrap_or(0);
        connection
            .execute("UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'agents'", [serial])?;
    }
    connection.close().map_err(|(_, error)| error)
}

fn restrict(path: &Path, entry: &Entry) -> io::Result<()> {
    if matches!(entry.what, What::Link { .. }) {
        return Ok(());
    }
    own(path, entry.uid, entry.gid)?;
    // Nothing of agentd runs as its owner: such a bit is nothing to put back.
    fs::set_permissions(path, Permissions::from_mode(entry.mode & 0o1777))
}

/// Only root gives files away; whoever else restores, for a test or to look, owns them.
fn own(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
    }
    Ok(())
}

/// Exchanges all or none; where the old ones are then.
fn exchange(exchanges: &[Exchange]) -> Result<Vec<PathBuf>, Failure> {
    let mut set_aside = Vec::new();
    for (at, one) in exchanges.iter().enumerate() {
        if let Err(error) = one.exchange(&mut set_aside) {
            for done in exchanges.iter().take(at).rev() {
                done.take_back();
            }
            return Err(changed_nothing(&one.place, &error));
        }
    }
    for one in exchanges {
        let parent = one.place.parent().unwrap_or(Path::new("/"));
        File::open(parent)
            .and_then(|parent| parent.sync_all())
            .map_err(|error| Failure::on(parent, &error))?;
    }
    Ok(set_aside)
}

impl Exchange {
    fn exchange(&self, set_aside: &mut Vec<PathBuf>) -> io::Result<()> {
        let was_there = match fs::rename(&self.place, &self.aside) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if let Err(error) = fs::rename(&self.new, &self.place) {
            if was_there {
                fs::rename(&self.aside, &self.place)?;
            }
            return Err(error);
        }
        if was_there {
            set_aside.push(self.aside.clone());
        }
        Ok(())
    }

    fn take_back(&self) {
        // It worked the other way a moment ago; if it does not now, both folders are there to be renamed by hand.
        let _ = fs::rename(&self.place, &self.new);
        let _ = fs::rename(&self.aside, &self.place);
    }
}
