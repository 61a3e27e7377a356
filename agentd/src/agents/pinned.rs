//! Executables that are granted by hash: agentd hashes the file, the kernel knows it by its identity from then on.
//!
//! A file that changes later has another ctime, so the kernel denies it. A file that is missing or has another hash is
//! not pinned, so the kernel denies that too; it is a warning and no error, or an update of one tool would keep all of
//! an agent's other rules out of force.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use agentguard_core::tables::Pinned;
use nix::sys::stat::{major, minor};
use sha2::{Digest, Sha256};

use crate::kernel::PinnedFile;

/// Larger than any executable that is worth a hash.
const MAX_BYTES: u64 = 4 << 30;

/// Files to pin, and what is wrong with the others.
pub(super) fn pin(pinned: &[Pinned]) -> (Vec<PinnedFile>, Vec<String>) {
    let mut files = Vec::new();
    let mut warnings = Vec::new();
    for wanted in pinned {
        match identify(wanted) {
            Ok(Ok(file)) => files.push(file),
            Ok(Err(found)) => warnings.push(format!(
                "{} has the sha256 {found}, the spec grants {}; it can not be executed",
                wanted.path, wanted.sha256
            )),
            Err(error) => warnings
                .push(format!("{} is granted by hash, but {error}; it can not be executed", wanted.path)),
        }
    }
    (files, warnings)
}

/// The identity of the file with the wanted hash, or the hash that it has.
fn identify(wanted: &Pinned) -> io::Result<Result<PinnedFile, String>> {
    let mut file = File::open(&wanted.path)?;
    let before = file.metadata()?;
    if !before.is_file() || before.len() > MAX_BYTES {
        return Err(io::Error::other("it is no regular file of a sensible size"));
    }
    let hash = hash(&mut file)?;
    let after = file.metadata()?;
    if (before.ctime(), before.ctime_nsec()) != (after.ctime(), after.ctime_nsec()) {
        return Err(io::Error::other("it changes just now"));
    }
    if !hash.eq_ignore_ascii_case(&wanted.sha256) {
        return Ok(Err(hash));
    }
    Ok(Ok(PinnedFile {
        device: kernel_device(after.dev()),
        inode: after.ino(),
        changed_sec: after.ctime(),
        changed_nsec: u32::try_from(after.ctime_nsec()).unwrap_or(0),
        answer: wanted.answer,
    }))
}

fn hash(file: &mut File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = file.read(&mut buffer)?;
        match buffer.get(..length) {
            Some([]) | None => break,
            Some(bytes) => hash.update(bytes),
        }
    }
    Ok(hex::encode(hash.finalize()))
}

/// The kernel's own encoding: major << 20 | minor.
fn kernel_device(device: u64) -> u32 {
    u32::try_from(major(device) << 20 | minor(device) & 0xf_ffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use agentguard_core::verdict::{Answer, Verdict};

    use super::*;

    fn wanted(path: &str, sha256: &str) -> Pinned {
        Pinned {
            path: path.to_owned(),
            sha256: sha256.to_owned(),
            answer: Answer::default_of(Verdict::Allow),
        }
    }

    #[test]
    fn the_right_file_is_pinned_by_its_identity() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tool");
        std::fs::write(&path, "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let (files, warnings) = pin(&[wanted(path.to_str().unwrap(), abc)]);
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(files[0].inode, path.metadata().unwrap().ino());
    }

    #[test]
    fn a_wrong_or_missing_file_is_a_warning_and_not_pinned() {
        let (files, warnings) = pin(&[wanted("/bin/sh", "00"), wanted("/nonexistent/tool", "00")]);
        assert!(files.is_empty());
        assert!(
            warnings[0].contains("the spec grants 00") && warnings[1].contains("/nonexistent/tool"),
            "{warnings:?}"
        );
    }
}
