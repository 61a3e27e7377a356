//! Files that are whole or not there: written beside their place, flushed, renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Largest file that is read here: a spec, a proof, a list of keys.
const MAX_BYTES: u64 = 2 << 20;

/// Only root, or whoever runs the daemon, reads and writes here.
const PRIVATE_FILE: u32 = 0o600;
const PRIVATE_FOLDER: u32 = 0o700;

/// A file that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

pub(crate) fn at(path: &Path) -> impl Fn(io::Error) -> FileError {
    move |source| FileError { path: path.to_owned(), source }
}

/// Makes a private folder, if it is not there.
pub(crate) fn folder(path: &Path) -> Result<(), FileError> {
    let made = fs::DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(path);
    made.map_err(at(path))
}

/// The content, if there is such a file.
pub(crate) fn read(path: &Path) -> Result<Option<String>, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(at(path))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(at(path)(io::Error::other(format!("larger than {MAX_BYTES} bytes"))));
    }
    Ok(Some(text))
}

/// Writes a whole private file: after a crash there is the old one or the new one.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let partial = path.with_extension("partial");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(PRIVATE_FILE)
        .open(&partial)
        .map_err(at(&partial))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(at(&partial))?;
    fs::rename(&partial, path).map_err(at(path))?;
    flush_folder(path)
}

/// Adds one line to a private file.
pub(crate) fn append(path: &Path, line: &str) -> Result<(), FileError> {
    let mut file =
        OpenOptions::new().append(true).create(true).mode(PRIVATE_FILE).open(path).map_err(at(path))?;
    file.write_all(format!("{line}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(at(path))
}

/// Removes a file; one that is not there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        Ok(()) | Err(_) => flush_folder(path),
    }
}

/// Whether only its owner, who must be this process' user, may read or write a file.
pub(crate) fn is_private(path: &Path) -> Result<bool, FileError> {
    let meta = fs::symlink_metadata(path).map_err(at(path))?;
    Ok(meta.is_file() && meta.mode() & 0o077 == 0 && meta.uid() == nix::unistd::geteuid().as_raw())
}

fn flush_folder(path: &Path) -> Result<(), FileError> {
    let Some(folder) = path.parent() else { return Ok(()) };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}
