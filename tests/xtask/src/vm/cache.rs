//! The cache directory: where things are, who may change them, and how a finished piece appears at once.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Overrides the place, for instance to share one cache between work trees.
const OVERRIDE: &str = "AGENTGUARD_VM_DIR";

/// `.vm/` of the workspace.
pub(crate) struct Cache {
    pub(crate) root: PathBuf,
}

/// Held while the cache is changed or files of it are being opened by a VM.
pub(crate) struct CacheLock {
    _file: File,
}

impl Cache {
    pub(crate) fn open(workspace: &Path) -> Result<Self> {
        let root = std::env::var_os(OVERRIDE).map_or_else(|| workspace.join(".vm"), PathBuf::from);
        for part in ["kernels", "log", "work"] {
            let directory = root.join(part);
            std::fs::create_dir_all(&directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        Ok(Self { root: root.canonicalize()? })
    }

    /// Waits until no other `xtask vm` changes the cache.
    pub(crate) fn lock(&self) -> Result<CacheLock> {
        let path = self.root.join("lock");
        let file = File::create(&path).with_context(|| format!("cannot open {}", path.display()))?;
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        self.sweep();
        Ok(CacheLock { _file: file })
    }

    /// Where the kernel `name`, made by `recipe`, is or will be.
    pub(crate) fn kernel(&self, name: &str, recipe: &str) -> PathBuf {
        self.root.join("kernels").join(format!("{name}-{}", key(recipe)))
    }

    /// Where the root file system made by `recipe` is or will be.
    pub(crate) fn rootfs(&self, recipe: &str) -> PathBuf {
        self.root.join(format!("rootfs-{}", key(recipe)))
    }

    /// A scratch directory on the same file system, gone when dropped.
    pub(crate) fn work_directory(&self, what: &str) -> Result<TempDir> {
        tempfile::Builder::new()
            // The process id tells who owns it, see `sweep`.
            .prefix(&format!("{what}-{}-", std::process::id()))
            .tempdir_in(self.root.join("work"))
            .with_context(|| format!("cannot create a directory for the {what}"))
    }

    /// Removes scratch directories whose process was killed before it could.
    fn sweep(&self) {
        for entry in std::fs::read_dir(self.root.join("work")).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let owner = name.to_str().and_then(|name| name.split('-').nth(1));
            if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                // Space is all that is lost, and the next run tries again.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Moves a finished directory to its place and removes what older recipes left beside it.
    pub(crate) fn publish(&self, finished: &Path, place: &Path) -> Result<()> {
        if place.exists() {
            std::fs::remove_dir_all(place)?;
        }
        std::fs::rename(finished, place).with_context(|| format!("cannot move to {}", place.display()))?;
        let (Some(parent), Some(name)) = (place.parent(), place.file_name().and_then(|name| name.to_str()))
        else {
            return Ok(());
        };
        let Some((kind, _)) = name.rsplit_once('-') else {
            return Ok(());
        };
        for entry in std::fs::read_dir(parent)?.flatten() {
            let other = entry.file_name();
            let Some((other_kind, _)) = other.to_str().and_then(|other| other.rsplit_once('-')) else {
                continue;
            };
            if other_kind == kind && other.to_str() != Some(name) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

fn key(recipe: &str) -> String {
    Sha256::digest(recipe.as_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishing_replaces_older_recipes_of_the_same_thing_only() {
        let workspace = tempfile::tempdir().expect("a directory");
        let cache = Cache { root: workspace.path().to_owned() };
        for name in ["rootfs-000000000000", "other-000000000000", "new"] {
            std::fs::create_dir(cache.root.join(name)).expect("a directory");
        }
        let place = cache.rootfs("recipe");
        cache.publish(&cache.root.join("new"), &place).expect("published");
        assert!(place.exists());
        assert!(!cache.root.join("rootfs-000000000000").exists());
        assert!(cache.root.join("other-000000000000").exists());
    }
}
