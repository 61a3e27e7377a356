//! A new archive: a tar, compressed with gzip, private, and whole or not there. Never in the place of a file that is there.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};
use tempfile::NamedTempFile;

use crate::exit::Failure;
use crate::staging::Staging;

/// Names of archives end so, which says how to read them.
pub(crate) const SUFFIX: &str = ".tar.gz";

/// One that is being written; however that ends before it is finished, nothing is left of it.
pub(crate) struct NewArchive {
    path: PathBuf,
    /// For root alone, as it is made: what is in archives says a lot about a host.
    builder: Builder<GzEncoder<NamedTempFile>>,
    staging: Staging,
}

/// How an entry is put back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owned {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) time_sec: u64,
}

/// A path as an archive of this kind is named, for the command line.
pub(crate) fn named(text: &str) -> Result<PathBuf, String> {
    if text.ends_with(SUFFIX) {
        Ok(text.into())
    } else {
        Err(format!("an archive is a compressed tar; write a name that ends in {SUFFIX}"))
    }
}

impl NewArchive {
    /// Begins one where nothing is.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        // Said now, before there is work that is for nothing; `finish` makes sure.
        if path.symlink_metadata().is_ok() {
            return Err(failed(path, &io::ErrorKind::AlreadyExists.into()));
        }
        let staging = Staging::beside(path)?;
        let file = NamedTempFile::new_in(staging.path()).map_err(|error| failed(path, &error))?;
        let builder = Builder::new(GzEncoder::new(file, Compression::default()));
        Ok(Self { path: path.to_owned(), builder, staging })
    }

    /// A folder for what goes into it, which goes when it does.
    pub(crate) fn staging(&self) -> &Path {
        self.staging.path()
    }

    /// Adds a file of exactly so many bytes.
    pub(crate) fn file(&mut self, name: &str, owned: Owned, bytes: u64, from: impl Read) -> io::Result<()> {
        let mut header = header(EntryType::Regular, owned);
        header.set_size(bytes);
        self.builder.append_data(&mut header, name, from.take(bytes))
    }

    /// Adds a folder.
    pub(crate) fn folder(&mut self, name: &str, owned: Owned) -> io::Result<()> {
        let mut header = header(EntryType::Directory, owned);
        self.builder.append_data(&mut header, format!("{name}/"), io::empty())
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, name: &str, owned: Owned, target: &Path) -> io::Result<()> {
        self.builder.append_link(&mut header(EntryType::Symlink, owned), name, target)
    }

    /// Everything is in it: makes it durable, and puts it where it belongs.
    pub(crate) fn finish(self) -> Result<u64, Failure> {
        let Self { path, builder, staging } = self;
        let place = || {
            let file = builder.into_inner()?.finish()?;
            file.as_file().sync_all()?;
            let bytes = file.persist_noclobber(&path)?.metadata()?.len();
            if let Some(parent) = staging.path().parent() {
                File::open(parent)?.sync_all()?;
            }
            Ok(bytes)
        };
        place().map_err(|error| failed(&path, &error))
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::Failed(format!(
            "{}: is there already, and is not replaced; name another",
            path.display()
        )),
        _ => Failure::on(path, error),
    }
}

fn header(kind: EntryType, owned: Owned) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(0);
    header.set_mode(owned.mode);
    header.set_uid(owned.uid.into());
    header.set_gid(owned.gid.into());
    header.set_mtime(owned.time_sec);
    header
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const OWNED: Owned = Owned { mode: 0o600, uid: 0, gid: 0, time_sec: 1 };

    #[test]
    fn an_archive_is_private_and_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar.gz");
        let mut archive = NewArchive::create(&path).unwrap();
        archive.file("x", OWNED, 3, &b"abc"[..]).unwrap();
        archive.finish().unwrap();
        let before = fs::read(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = NewArchive::create(&path).err().unwrap().to_string();
        assert!(refused.contains("is there already"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_file_that_came_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar.gz");
        let archive = NewArchive::create(&path).unwrap();
        fs::write(&path, "theirs").unwrap();
        let refused = archive.finish().unwrap_err().to_string();
        assert!(refused.contains("is there already"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_archive_that_was_not_finished_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar.gz");
        drop(NewArchive::create(&path).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_a_name_that_says_what_it_is_is_taken() {
        assert!(named("/root/b.tar.gz").is_ok());
        assert!(named("/root/b.zip").unwrap_err().contains(".tar.gz"));
    }
}
