//! Shared directories in the guest: unpacked from their disks before the command, changes packed afterwards.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};

use super::Line;
use crate::vm::frame::{Frame, Removed};

/// Where shares are.
const SHARES: &str = "/share";

/// What tells whether a file was changed. The change time cannot be set by a program.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { inode: metadata.ino(), changed: (metadata.ctime(), metadata.ctime_nsec()) }
    }
}

/// One share as it was before the command.
pub(super) struct Before {
    directory: PathBuf,
    disk: PathBuf,
    files: BTreeMap<PathBuf, Stamp>,
}

/// Unpacks every share and remembers its state.
pub(super) fn unpack(names: &[String]) -> Result<Vec<Before>> {
    let mut shares = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let directory = Path::new(SHARES).join(name);
        let disk = disk(&format!("share{number}"))?;
        fs::create_dir_all(&directory)?;
        tar(Command::new("tar").args(["--numeric-owner", "-xpf"]).arg(&disk).arg("-C").arg(&directory), b"")?;
        let mut files = BTreeMap::new();
        scan(&directory, Path::new(""), &mut files)?;
        shares.push(Before { directory, disk, files });
    }
    Ok(shares)
}

/// Writes what was changed back to the disks and reports what was removed.
pub(super) fn pack(shares: &[Before], line: &Line) -> Result<()> {
    for (number, share) in shares.iter().enumerate() {
        let mut now = BTreeMap::new();
        scan(&share.directory, Path::new(""), &mut now)?;
        // From the end: what is in a directory goes before the directory.
        for path in share.files.keys().rev().filter(|path| !now.contains_key(*path)) {
            let path =
                path.to_str().ok_or_else(|| anyhow!("a removed name in a share is no UTF-8: {path:?}"))?;
            line.send(&Frame::Removed(Removed { share: number, path: path.to_owned() }))?;
        }
        let mut changed = Vec::new();
        for path in
            now.iter().filter(|(path, stamp)| share.files.get(*path) != Some(stamp)).map(|(path, _)| path)
        {
            changed.extend_from_slice(path.as_os_str().as_bytes());
            changed.push(0);
        }
        tar(
            Command::new("tar")
                .args(["--numeric-owner", "--no-recursion", "-cf"])
                .arg(&share.disk)
                .arg("-C")
                .arg(&share.directory)
                // -C only counts for what comes after it.
                .args(["--null", "-T", "-"]),
            &changed,
        )?;
        // The machine is switched off, not shut down.
        OpenOptions::new().write(true).open(&share.disk)?.sync_all()?;
    }
    Ok(())
}

fn scan(root: &Path, below: &Path, files: &mut BTreeMap<PathBuf, Stamp>) -> Result<()> {
    let directory = root.join(below);
    for entry in fs::read_dir(&directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let metadata = fs::symlink_metadata(entry.path())?;
        if metadata.is_dir() {
            scan(root, &path, files)?;
        }
        files.insert(path, Stamp::of(&metadata));
    }
    Ok(())
}

fn tar(command: &mut Command, names: &[u8]) -> Result<()> {
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot run tar")?;
    let mut stderr = child.stderr.take();
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(names).context("tar does not take the list of files")?;
    }
    let mut complaint = String::new();
    if let Some(stderr) = stderr.as_mut() {
        stderr.read_to_string(&mut complaint)?;
    }
    if !child.wait()?.success() {
        bail!("tar: {}", complaint.trim_end());
    }
    Ok(())
}

fn disk(serial: &str) -> Result<PathBuf> {
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        let mut found = String::new();
        // Devices of other kinds have no such file.
        if File::open(entry.path().join("serial"))
            .and_then(|mut file| file.read_to_string(&mut found))
            .is_ok()
            && found.trim() == serial
        {
            return Ok(Path::new("/dev").join(entry.file_name()));
        }
    }
    bail!("there is no disk {serial}")
}
