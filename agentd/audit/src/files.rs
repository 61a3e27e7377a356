//! The files of a log: which segments there are, and one that is appended to.
//!
//! A segment is named by the number of its first record. What stands in it is never changed; a write that failed in
//! the middle is cut off again, and so is, on opening, what a crash left behind.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{AuditError, at};

const PREFIX: &str = "audit-";
const SUFFIX: &str = ".ndjson";
/// Digits of a number in a name: as many as the largest has, so that names sort as numbers do.
const DIGITS: usize = 20;
/// Records say who did what: only root reads them.
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// The name of the segment whose first record has this number.
pub(crate) fn segment_name(first: u64) -> String {
    format!("{PREFIX}{first:0DIGITS$}{SUFFIX}")
}

/// The number in a segment's name, if that is one.
pub(crate) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let plain = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// A segment that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) first: u64,
    pub(crate) path: PathBuf,
}

/// What is in the directory: segments in order, and names that do not belong there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) segments: Vec<Found>,
    pub(crate) strangers: Vec<PathBuf>,
}

pub(crate) fn list(dir: &Path) -> Result<Listing, AuditError> {
    let mut listing = Listing::default();
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let entry = entry.map_err(at(dir))?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_str().unwrap_or_default();
        let is_file = entry.file_type().map_err(at(&path))?.is_file();
        match first_of(name) {
            Some(first) if is_file => listing.segments.push(Found { first, path }),
            _ if is_file && (name == crate::head::HEAD_FILE || name == crate::head::PARTIAL) => {}
            _ => listing.strangers.push(path),
        }
    }
    listing.segments.sort_by_key(|found| found.first);
    listing.strangers.sort();
    Ok(listing)
}

/// Makes the directory; one that is there keeps its mode, which `verify` looks at.
pub(crate) fn make_dir(dir: &Path) -> Result<(), AuditError> {
    fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir).map_err(at(dir))
}

pub(crate) fn sync_dir(dir: &Path) -> Result<(), AuditError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir))
}

/// Writes a file beside its place and renames it there, so that there is the old one or the new one.
pub(crate) fn replace(
    dir: &Path,
    name: &str,
    partial: &str,
    bytes: &[u8],
    sync: bool,
) -> Result<(), AuditError> {
    let (path, partial) = (dir.join(name), dir.join(partial));
    let write = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(FILE_MODE).open(&partial)?;
        file.write_all(bytes)?;
        if sync {
            file.sync_all()?;
        }
        fs::rename(&partial, &path)
    };
    write().map_err(at(&path))?;
    if sync { sync_dir(dir) } else { Ok(()) }
}

/// The segment that is appended to.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    file: File,
    len: u64,
    /// A failed write could not be cut off: `len` is where to cut before anything else is written.
    stuck: bool,
    #[cfg(test)]
    pub(crate) room: Option<u64>,
}

impl Segment {
    /// Begins a segment. One of that name must be empty: a crash came before its first record.
    pub(crate) fn begin(dir: &Path, first: u64) -> Result<Self, AuditError> {
        let path = dir.join(segment_name(first));
        let mut options = OpenOptions::new();
        let file =
            options.read(true).append(true).create(true).mode(FILE_MODE).open(&path).map_err(at(&path))?;
        let segment = Self::new(path, file)?;
        if segment.len > 0 {
            return Err(at(&segment.path)(io::Error::from(io::ErrorKind::AlreadyExists)));
        }
        Ok(segment)
    }

    /// Goes on with a segment, of which `len` bytes are whole records; more is cut off.
    pub(crate) fn resume(path: &Path, len: u64) -> Result<Self, AuditError> {
        let file = OpenOptions::new().read(true).append(true).open(path).map_err(at(path))?;
        let mut segment = Self::new(path.to_path_buf(), file)?;
        if segment.len > len {
            segment.len = len;
            segment.cut()?;
        }
        Ok(segment)
    }

    fn new(path: PathBuf, mut file: File) -> Result<Self, AuditError> {
        let len = file.seek(SeekFrom::End(0)).map_err(at(&path))?;
        Ok(Self {
            path,
            file,
            len,
            stuck: false,
            #[cfg(test)]
            room: None,
        })
    }

    /// Bytes of whole records.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// Appends a line whole or not at all.
    pub(crate) fn append(&mut self, line: &[u8]) -> Result<(), AuditError> {
        if self.stuck {
            self.cut()?;
        }
        match self.write(line) {
            Ok(()) => {
                self.len = self.len.saturating_add(line.len() as u64);
                Ok(())
            }
            Err(error) => {
                // The write's own error is what the caller must hear; whether the cut works is seen next time.
                self.stuck = self.cut().is_err();
                Err(at(&self.path)(error))
            }
        }
    }

    /// Takes back what was appended after `len`, when it cannot be made durable.
    pub(crate) fn cut_to(&mut self, len: u64) {
        self.len = len;
        self.stuck = self.cut().is_err();
    }

    /// Makes everything durable that was appended.
    pub(crate) fn sync(&mut self) -> Result<(), AuditError> {
        self.file.sync_data().map_err(at(&self.path))
    }

    fn cut(&mut self) -> Result<(), AuditError> {
        let cut = self.file.set_len(self.len);
        cut.map_err(|source| AuditError::Stuck { path: self.path.clone(), source })?;
        self.stuck = false;
        Ok(())
    }

    #[cfg(not(test))]
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.write_all(line)
    }

    /// As on a disk with so much room.
    #[cfg(test)]
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let room =
            self.room.map_or(line.len(), |room| usize::try_from(room.saturating_sub(self.len)).unwrap());
        self.file.write_all(&line[..line.len().min(room)])?;
        if room < line.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_named_by_twenty_digits() {
        assert_eq!(segment_name(7), "audit-00000000000000000007.ndjson");
        assert_eq!(first_of(&segment_name(u64::MAX)), Some(u64::MAX));
        for name in
            ["audit-7.ndjson", "audit-+0000000000000000007.ndjson", "audit-00000000000000000007.ndjson~"]
        {
            assert_eq!(first_of(name), None, "{name}");
        }
    }
}
