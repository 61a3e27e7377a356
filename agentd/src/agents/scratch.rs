//! Scratch directories: where agents in the sandbox write, one each, gone at their end.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use agentguard_core::ids::{AgentKey, AgentName};

/// Others may pass through to their own, and list nothing.
const PARENT_MODE: u32 = 0o711;
const OWN_MODE: u32 = 0o700;
/// Begins the name of what is being removed.
const GONE: &str = ".gone-";

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

/// Removes it with everything in it; links are removed, not followed. It is out of the way at once. An agent may have
/// made a million files, or folders a thousand deep, so the rest is done beside by a program that is made for that.
pub(super) fn remove(path: &Path) {
    let gone =
        path.with_file_name(format!("{GONE}{}", path.file_name().unwrap_or_default().to_string_lossy()));
    match fs::rename(path, &gone) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound && !gone.exists() => return,
        Err(error) => {
            tracing::error!(scratch = %path.display(), %error, "a scratch directory could not be put away")
        }
    }
    std::thread::spawn(move || {
        let done = Command::new("rm").args(["-rf", "--one-file-system", "--"]).arg(&gone).status();
        if !done.is_ok_and(|status| status.success()) {
            tracing::error!(scratch = %gone.display(), "a scratch directory could not be removed; remove it by hand");
        }
    });
}

/// Removes those that no run has: agentd or the host ended before it could.
pub(super) fn remove_others(root: &Path, used: &[&Path]) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if !used.contains(&path.as_path()) {
            // What another agentd put away already has its name.
            remove(&name.strip_prefix(GONE).map_or(path, |name| root.join(name)));
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
        assert!(!one.exists() && other.exists());
        remove(&other);
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while fs::read_dir(&root).unwrap().count() > 0 {
            assert!(std::time::Instant::now() < limit, "nothing is left of them");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(kept.exists());
    }
}
