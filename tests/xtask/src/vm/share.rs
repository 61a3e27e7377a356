//! Directories that travel into the VM and back, each as a tar on a disk of its own.
//!
//! Only what the command changed comes back. What the guest reports as removed is removed here too, but
//! never anything outside the directory.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::machine::Disk;
use crate::tools::{run, tool};

/// The room for what comes back. The file is sparse, so room that is not used costs nothing.
const ROOM_BYTES: u64 = 16 << 30;

/// One `--share`.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) host: PathBuf,
    /// The directory's name below `/share`.
    pub(crate) name: String,
    disk: PathBuf,
}

/// Checks the directories and writes their disks.
pub(crate) fn pack(directories: &[PathBuf], run_directory: &Path) -> Result<Vec<Share>> {
    let mut shares: Vec<Share> = Vec::new();
    for (number, directory) in directories.iter().enumerate() {
        let host =
            directory.canonicalize().with_context(|| format!("cannot share {}", directory.display()))?;
        let Some(name) = host.file_name().and_then(|name| name.to_str()).filter(|_| host.is_dir()) else {
            bail!("cannot share {}: it is no directory with a name", host.display());
        };
        if shares.iter().any(|share| share.name == name) {
            bail!("cannot share two directories named {name}");
        }
        let disk = run_directory.join(format!("share{number}.tar"));
        run(tool("tar").args(["--numeric-owner", "-cf"]).arg(&disk).arg("-C").arg(&host).arg("."))
            .with_context(|| format!("cannot pack {}", host.display()))?;
        let file = std::fs::OpenOptions::new().write(true).open(&disk)?;
        file.set_len(file.metadata()?.len() + ROOM_BYTES)?;
        shares.push(Share { name: name.to_owned(), host, disk });
    }
    Ok(shares)
}

/// The disks of `shares`, in order.
pub(crate) fn disks(shares: &[Share]) -> impl Iterator<Item = Disk> {
    shares.iter().enumerate().map(|(number, share)| Disk {
        path: share.disk.clone(),
        serial: format!("share{number}"),
        keep: true,
    })
}

impl Share {
    /// Takes over what the guest wrote back.
    pub(crate) fn unpack(&self) -> Result<()> {
        run(tool("tar").args(["--numeric-owner", "-xpf"]).arg(&self.disk).arg("-C").arg(&self.host))
            .with_context(|| format!("cannot write back to {}", self.host.display()))?;
        Ok(())
    }

    /// Removes one path that the guest reported as removed.
    pub(crate) fn remove(&self, path: &str) -> Result<()> {
        let Some(target) = inside(&self.host, Path::new(path)) else {
            bail!("the VM asked to remove {path}, which is not inside the share");
        };
        let removed = match std::fs::symlink_metadata(&target) {
            Ok(metadata) if metadata.is_dir() => std::fs::remove_dir(&target),
            Ok(_) => std::fs::remove_file(&target),
            Err(error) => Err(error),
        };
        match removed {
            // Somebody on the host was faster, or keeps a file of his own in the directory.
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::DirectoryNotEmpty
                ) =>
            {
                Ok(())
            }
            other => other.with_context(|| format!("cannot remove {}", target.display())),
        }
    }
}

/// `root/path` when the path cannot lead outside, not even through a symbolic link.
fn inside(root: &Path, path: &Path) -> Option<PathBuf> {
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    if !plain || path.as_os_str().is_empty() {
        return None;
    }
    let target = root.join(path);
    let parent = target.parent()?;
    // A parent that is gone holds nothing to remove.
    match parent.canonicalize() {
        Ok(real) => real.starts_with(root).then_some(target),
        Err(_) => Some(target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removal_stays_inside_the_share() {
        let scratch = tempfile::tempdir().expect("a directory");
        let root = scratch.path().canonicalize().expect("a real path");
        std::os::unix::fs::symlink("/etc", root.join("link")).expect("a link");
        for path in ["../x", "/etc/passwd", "", "a/../../b", "link/passwd"] {
            assert_eq!(inside(&root, Path::new(path)), None, "{path}");
        }
        assert_eq!(inside(&root, Path::new("file")), Some(root.join("file")));
        assert_eq!(inside(&root, Path::new("link")), Some(root.join("link")));
    }

    #[test]
    fn two_shares_of_one_name_are_refused() {
        let scratch = tempfile::tempdir().expect("a directory");
        let (one, two) = (scratch.path().join("1/x"), scratch.path().join("2/x"));
        for directory in [&one, &two] {
            std::fs::create_dir_all(directory).expect("a directory");
        }
        let error = pack(&[one, two], scratch.path()).expect_err("the same name");
        assert!(error.to_string().contains("named x"), "{error}");
    }
}
