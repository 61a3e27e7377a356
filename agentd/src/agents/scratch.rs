//! Scratch directories: where agents in the sandbox write, one each, gone at their end.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use agentguard_core::ids::{AgentKey, AgentName};

/// Others may pass through to their own, and list nothing.
const PARENT_MODE: u32 = 0o711;
const OWN_MODE: u32 = 0o700;

/// A directory that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("scratch directory {}: {source}", path.display())]
pub struct ScratchError {
    path: PathBuf,
    source: io::Error,
}

/// Where a run writes.
pub(super) fn path(root: &Path, name: &AgentName, key: AgentKey) -> PathBuf {
    root.join(format!("{name}-{}", key.serial))
}

/// Makes it, for a user.
pub(super) fn make(root: &Path, path: &Path, uid: u32) -> Result<(), ScratchError> {
    let failed = |source| ScratchError { path: path.to_owned(), source };
    fs::create_dir_all(root).map_err(failed)?;
    fs::set_permissions(root, fs::Permissions::from_mode(PARENT_MODE)).map_err(failed)?;
    // A serial is never used twice, so whatever is there is not ours.
    fs::DirBuilder::new().mode(OWN_MODE).create(path).map_err(failed)?;
    chown(path, Some(uid), None).map_err(|source| {
        remove(path);
        failed(source)
    })
}

/// Removes it with everything in it. Links in it are removed, not followed.
pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::error!(scratch = %path.display(), %error, "a scratch directory could not be removed; remove it by hand");
    }
}

/// Removes those that no run has: agentd or the host ended before it could.
pub(super) fn remove_others(root: &Path, used: &[&Path]) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if !used.contains(&entry.path().as_path()) {
            remove(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_is_its_users_own_and_goes_with_everything_in_it() {
        let home = tempfile::tempdir().unwrap();
        let (root, kept) = (home.path().join("scratch"), home.path().join("kept"));
        fs::write(&kept, "x").unwrap();
        let name = AgentName("a".to_owned());
        let [one, other] = [1, 2].map(|serial| path(&root, &name, AgentKey { slot: 1, serial }));
        let uid = nix::unistd::geteuid().as_raw();
        make(&root, &one, uid).unwrap();
        make(&root, &other, uid).unwrap();
        assert!(make(&root, &one, uid).is_err(), "nobody can have put it there before");
        assert_eq!(fs::metadata(&one).unwrap().permissions().mode() & 0o777, OWN_MODE);
        std::os::unix::fs::symlink(&kept, one.join("link")).unwrap();
        fs::create_dir_all(one.join("a/b")).unwrap();
        remove_others(&root, &[&other]);
        assert!(!one.exists() && other.exists() && kept.exists());
        remove(&other);
        assert!(!other.exists());
    }
}
