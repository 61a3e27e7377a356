//! What of a host goes into a backup, such that it belongs together although agentd goes on writing.
//!
//! Records are copied by SQLite itself. Of the audit log, segments that have ended never change; the last one and the head
//! are read until both are of one moment. Everything else is small, and copied again if it changed meanwhile.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};

use super::manifest::{CONFIG, Entry, POLICIES, STATE, What};
use crate::exit::Failure;
use crate::settings::{FOLDER, Settings, below};

/// The store of records, in the state directory.
pub(crate) const STORE: &str = "records.db";
/// What a restore leaves for agentd, in the state directory: nothing to keep.
pub(crate) const RESTORED: &str = "restored.json";
/// The audit log, in the state directory.
const AUDIT: &str = "audit";
const AUDIT_HEAD: &str = "head.json";

/// How often something that changes while it is copied is copied again, and how long that waits.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// Folders in folders: the register has three.
const MAX_DEPTH: usize = 16;

/// A file of a backup and where its bytes are now.
pub(super) struct Taken {
    pub(super) entry: Entry,
    /// The host's own file, or a copy of it.
    pub(super) from: PathBuf,
    pub(super) time_sec: u64,
}

/// Everything that was taken.
pub(super) struct All {
    pub(super) folders: Vec<(&'static str, PathBuf)>,
    pub(super) taken: Vec<Taken>,
    pub(super) left_out: Vec<String>,
}

/// Something of a folder, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    path: PathBuf,
    /// Path in the archive.
    name: String,
    kind: FoundKind,
    mode: u32,
    uid: u32,
    gid: u32,
    bytes: u64,
    inode: u64,
    changed: (i64, i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FoundKind {
    Folder,
    File,
    Link,
}

/// Takes everything; copies go into `staging`, and of secrets only `with_keys`.
pub(super) fn take(
    root: &Path,
    settings: &Settings,
    with_keys: bool,
    staging: &Path,
) -> Result<All, Failure> {
    let mut folders = vec![(STATE, settings.state_dir.clone()), (CONFIG, PathBuf::from(FOLDER))];
    if !settings.policy_dir.starts_with(FOLDER) && below(root, &settings.policy_dir).is_dir() {
        folders.push((POLICIES, settings.policy_dir.clone()));
    }
    folders.retain(|(name, path)| *name == STATE || below(root, path).is_dir());
    let secrets: Vec<PathBuf> = settings.secrets.iter().map(|path| below(root, path)).collect();
    let mut all = All { folders: folders.clone(), taken: Vec::new(), left_out: Vec::new() };
    let rest = settled(
        || {
            let mut found = Vec::new();
            for (name, path) in &folders {
                walk(&below(root, path), name, 0, &mut found)?;
            }
            found.retain(|found| !is_apart(&found.name));
            Ok(found)
        },
        |found| {
            let leaves_out = !with_keys && found.kind == FoundKind::File && is_secret(found, &secrets);
            if leaves_out { Ok(None) } else { copy(found, staging).map(Some) }
        },
    )?;
    for (found, copied) in rest {
        match copied {
            Some(copied) => all.taken.push(taken(&found, copied)?),
            None => all.left_out.push(found.name),
        }
    }
    audit(&below(root, &settings.state_dir).join(AUDIT), staging, &mut all.taken)?;
    store(&below(root, &settings.state_dir).join(STORE), staging, &mut all.taken)?;
    Ok(all)
}

/// What is not copied as a file among others.
fn is_apart(name: &str) -> bool {
    let in_state = name.strip_prefix("state/").unwrap_or_default();
    in_state == AUDIT || in_state == RESTORED || in_state.starts_with("audit/") || in_state.starts_with(STORE)
}

/// Keys that sign, words that are shown to others.
fn is_secret(found: &Found, named: &[PathBuf]) -> bool {
    let ends = |suffix| found.name.ends_with(suffix);
    named.contains(&found.path) || ends(".key") || (found.name.starts_with(CONFIG) && ends(".token"))
}

fn walk(path: &Path, name: &str, depth: usize, out: &mut Vec<Found>) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    let kind = match meta.file_type() {
        kind if kind.is_dir() => FoundKind::Folder,
        kind if kind.is_file() => FoundKind::File,
        kind if kind.is_symlink() => FoundKind::Link,
        // A socket or a pipe is nothing to keep.
        _ => return Ok(()),
    };
    out.push(found(path, name, kind, &meta));
    if kind != FoundKind::Folder || depth == MAX_DEPTH {
        return Ok(());
    }
    let mut inner = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
    inner.sort_by_key(fs::DirEntry::file_name);
    for entry in inner {
        let file_name = entry.file_name();
        let file_name = file_name.to_str().ok_or_else(|| {
            io::Error::other(format!("{}: its name is not UTF-8; rename it", entry.path().display()))
        })?;
        walk(&entry.path(), &format!("{name}/{file_name}"), depth + 1, out)?;
    }
    Ok(())
}

fn found(path: &Path, name: &str, kind: FoundKind, meta: &Metadata) -> Found {
    // The times of folders change with what is in them, which is looked at itself.
    let changed = if kind == FoundKind::Folder { (0, 0) } else { (meta.ctime(), meta.ctime_nsec()) };
    Found {
        path: path.to_owned(),
        name: name.to_owned(),
        kind,
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        bytes: if kind == FoundKind::File { meta.len() } else { 0 },
        inode: meta.ino(),
        changed,
    }
}

/// Looks, copies, and looks again: until nothing changed in between.
fn settled<T>(
    look: impl Fn() -> io::Result<Vec<Found>>,
    copy: impl Fn(&Found) -> io::Result<T>,
) -> Result<Vec<(Found, T)>, Failure> {
    let mut last = None;
    for _ in 0..TRIES {
        let tried = (|| {
            let before = look()?;
            let copies = before.iter().map(&copy).collect::<io::Result<Vec<_>>>()?;
            let is_same = look()? == before;
            Ok::<_, io::Error>(is_same.then(|| before.into_iter().zip(copies).collect()))
        })();
        match tried {
            Ok(Some(all)) => return Ok(all),
            Ok(None) => {}
            // It was there when it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => last = Some(error),
            Err(error) => return Err(failed(&error)),
        }
        std::thread::sleep(PAUSE);
    }
    Err(match last {
        Some(error) => failed(&error),
        None => Failure::Failed(
            "the state changes faster than it can be copied; try again, or stop agentd".to_owned(),
        ),
    })
}

fn failed(error: &io::Error) -> Failure {
    let words = format!("the state of agentd could not be read: {error}");
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::Permission(format!("{words}; a backup is made as root")),
        _ => Failure::Failed(words),
    }
}

/// Where a file's copy is; a folder or a link has none.
fn copy(found: &Found, staging: &Path) -> io::Result<PathBuf> {
    let to = staging.join(&found.name);
    match found.kind {
        FoundKind::Folder => folder(&to)?,
        FoundKind::File => drop(fs::copy(&found.path, &to)?),
        FoundKind::Link => return fs::read_link(&found.path),
    }
    Ok(to)
}

/// One in a folder that is there: where a signal has removed all of it, nothing comes back.
fn folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn taken(found: &Found, from: PathBuf) -> Result<Taken, Failure> {
    let what = match found.kind {
        FoundKind::Folder => What::Folder,
        FoundKind::Link => What::Link { target: from.clone() },
        FoundKind::File => hashed(&from)?,
    };
    let entry = Entry { path: found.name.clone(), mode: found.mode, uid: found.uid, gid: found.gid, what };
    Ok(Taken { entry, from, time_sec: u64::try_from(found.changed.0).unwrap_or(0) })
}

fn hashed(path: &Path) -> Result<What, Failure> {
    let hash = || {
        let mut hasher = Sha256::new();
        let bytes = io::copy(&mut File::open(path)?, &mut hasher)?;
        Ok::<_, io::Error>(What::File { bytes, sha256: hex::encode(hasher.finalize()) })
    };
    hash().map_err(|error| Failure::on(path, &error))
}

/// The audit log: its folder, ended segments as they are, and of one moment the last segment and the head.
fn audit(dir: &Path, staging: &Path, out: &mut Vec<Taken>) -> Result<(), Failure> {
    if !dir.is_dir() {
        return Ok(());
    }
    let name = format!("{STATE}/{AUDIT}");
    for _ in 0..TRIES {
        let mut all = Vec::new();
        walk(dir, &name, 0, &mut all).map_err(|error| failed(&error))?;
        let is_segment = |found: &Found| found.kind == FoundKind::File && found.name.ends_with(".ndjson");
        let last = all.iter().rposition(is_segment);
        let head = all.iter().position(|found| found.path == dir.join(AUDIT_HEAD));
        let head_bytes = || head.map(|_| fs::read(dir.join(AUDIT_HEAD))).transpose();
        let newest = |at: usize| all.get(at).map(|found| read_lines(&found.path)).transpose();
        let read = || {
            let before = head_bytes()?;
            let lines = last.map(newest).transpose()?.flatten();
            Ok::<_, io::Error>((before == head_bytes()?).then_some((before, lines)))
        };
        let Some((head_bytes, lines)) = read().or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(None),
            _ => Err(failed(&error)),
        })?
        else {
            std::thread::sleep(PAUSE);
            continue;
        };
        folder(&staging.join(&name)).map_err(|error| Failure::on(staging, &error))?;
        for (at, found) in all.iter().enumerate() {
            let copied = match (&head_bytes, &lines) {
                (Some(bytes), _) if Some(at) == head => Some(bytes),
                (_, Some(bytes)) if Some(at) == last => Some(bytes),
                _ => None,
            };
            let from = match copied {
                Some(bytes) => {
                    let to = staging.join(&found.name);
                    fs::write(&to, bytes).map_err(|error| Failure::on(&to, &error))?;
                    to
                }
                None if found.name.ends_with(".partial") => continue,
                None => found.path.clone(),
            };
            out.push(taken(found, from)?);
        }
        return Ok(());
    }
    Err(Failure::Failed(
        "the audit log changes faster than it can be copied; try again, or stop agentd".to_owned(),
    ))
}

/// Without what is being written behind the last whole line.
fn read_lines(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    bytes.truncate(whole);
    Ok(bytes)
}

/// The store as SQLite copies it while others write.
fn store(path: &Path, staging: &Path, out: &mut Vec<Taken>) -> Result<(), Failure> {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(&error)),
    };
    let name = format!("{STATE}/{STORE}");
    let to = staging.join(&name);
    let copy = || {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(PAUSE * TRIES)?;
        connection.execute("VACUUM INTO ?1", [to.to_string_lossy()])
    };
    copy().map_err(|error| {
        Failure::Failed(format!(
            "{}: records could not be copied: {error}; is there room in {}?",
            path.display(),
            staging.display()
        ))
    })?;
    out.push(taken(&found(path, &name, FoundKind::File, &meta), to)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All bytes of all files below.
    fn bytes(path: &Path) -> Vec<u8> {
        if path.is_file() {
            return fs::read(path).unwrap();
        }
        fs::read_dir(path).unwrap().flat_map(|entry| bytes(&entry.unwrap().path())).collect()
    }

    /// What is copied, and the names of what is left out.
    fn copied(with_keys: bool) -> (String, Vec<String>) {
        let (root, staging) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (path, text) in [
            ("var/lib/agentguard/keys/trust.json", "[trusted]"),
            ("var/lib/agentguard/keys/ed25519-1.key", "[signs]"),
            ("etc/agentguard/agentd.toml", "[[notify]]\nsecret_file = '/etc/agentguard/hook'"),
            ("etc/agentguard/budget.token", "[spends]"),
            ("etc/agentguard/hook", "[tells]"),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let settings = Settings::read(root.path()).unwrap();
        let all = take(root.path(), &settings, with_keys, staging.path()).unwrap();
        (String::from_utf8(bytes(staging.path())).unwrap(), all.left_out)
    }

    #[test]
    fn secrets_that_are_left_out_are_not_copied_either() {
        let secrets = ["[signs]", "[spends]", "[tells]"];
        let (text, left_out) = copied(false);
        assert!(text.contains("[trusted]") && secrets.iter().all(|secret| !text.contains(secret)), "{text}");
        assert_eq!(left_out, ["state/keys/ed25519-1.key", "config/budget.token", "config/hook"]);
        let (text, left_out) = copied(true);
        assert!(secrets.iter().all(|secret| text.contains(secret)), "{text}");
        assert!(left_out.is_empty(), "{left_out:?}");
    }
}
