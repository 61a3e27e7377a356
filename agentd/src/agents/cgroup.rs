//! The cgroup v2 file system, also where it is mounted beside version 1.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use procfs::process::Process;

/// Below the mount, cgroups that agentd makes itself.
const OWN: &str = "agentguard";

/// Where cgroup v2 is mounted.
#[derive(Debug, Clone)]
pub struct Cgroups {
    mount: PathBuf,
}

/// Why a cgroup can not be used. Messages name it.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// Nothing to work with.
    #[error("no cgroup v2 file system is mounted; mount one: mount -t cgroup2 none /sys/fs/cgroup/unified")]
    NotMounted,
    /// Not a cgroup.
    #[error("{0} is no cgroup below {1}; name one as /sys/fs/cgroup/… or relative to the mount")]
    NotOne(String, String),
    /// The root or agentd's own.
    #[error("{0} can not be governed: {1}")]
    Forbidden(String, &'static str),
    /// A file operation failed.
    #[error("cgroup {}: {source}", path.display())]
    File {
        /// The cgroup.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Cgroups {
    /// Finds the mount.
    pub fn find() -> Result<Self, CgroupError> {
        let mounts = Process::myself().and_then(|myself| myself.mountinfo());
        let mount = mounts.ok().and_then(|mounts| {
            mounts
                .into_iter()
                .find(|mount| mount.fs_type == "cgroup2" && mount.root == "/")
                .map(|found| found.mount_point)
        });
        mount.map(|mount| Self { mount }).ok_or(CgroupError::NotMounted)
    }

    /// With a mount that is known.
    #[cfg(test)]
    pub fn at(mount: PathBuf) -> Self {
        Self { mount }
    }

    /// The mount.
    pub fn mount(&self) -> &Path {
        &self.mount
    }

    /// A cgroup as a user names it: a path below the mount, or relative to it. Links and `..` are resolved first.
    pub fn named(&self, name: &str) -> Result<PathBuf, CgroupError> {
        let no_cgroup = || CgroupError::NotOne(name.to_owned(), self.mount.display().to_string());
        let given = Path::new(name);
        let path = if given.starts_with(&self.mount) { given.to_owned() } else { self.below(name) };
        let path = path.canonicalize().map_err(|_| no_cgroup())?;
        if path == self.mount {
            return Err(CgroupError::Forbidden(name.to_owned(), "it holds every process of the host"));
        }
        if !path.starts_with(&self.mount) || !path.join("cgroup.procs").is_file() {
            return Err(no_cgroup());
        }
        if self.of(std::process::id()).is_some_and(|own| own.starts_with(&path)) {
            return Err(CgroupError::Forbidden(name.to_owned(), "agentd itself runs in it"));
        }
        Ok(path)
    }

    /// A path as the kernel and systemd name it (`/agents.slice/x.scope`).
    pub fn below(&self, name: &str) -> PathBuf {
        self.mount.join(name.trim_start_matches('/'))
    }

    /// The cgroup of a process.
    pub fn of(&self, pid: u32) -> Option<PathBuf> {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("0::")).map(|path| self.below(path))
    }

    /// Makes a cgroup for one agent. The name is an agent's, so it has no `/`.
    pub fn make(&self, name: &str) -> Result<PathBuf, CgroupError> {
        let path = self.mount.join(OWN).join(name);
        fs::create_dir_all(&path).map_err(|source| CgroupError::File { path: path.clone(), source })?;
        Ok(path)
    }
}

/// Moves a process with all its threads.
pub fn enter(path: &Path, pid: u32) -> Result<(), CgroupError> {
    fs::write(path.join("cgroup.procs"), pid.to_string())
        .map_err(|source| CgroupError::File { path: path.to_owned(), source })
}

/// Processes directly in it.
pub fn processes(path: &Path) -> Vec<u32> {
    let text = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Whether any process is in it or below.
pub fn is_populated(path: &Path) -> bool {
    fs::read_to_string(path.join("cgroup.events"))
        .is_ok_and(|text| text.lines().any(|line| line == "populated 1"))
}

/// Removes an empty cgroup and the empty ones below it. One that is in use stays: its processes come first.
pub fn remove(path: &Path) {
    if path.components().any(|part| part == Component::ParentDir) {
        return;
    }
    let children = fs::read_dir(path).into_iter().flatten().flatten();
    for child in children.filter(|child| child.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove(&child.path());
    }
    if let Err(error) = fs::remove_dir(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(cgroup = %path.display(), %error, "a cgroup could not be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, Cgroups) {
        let root = tempfile::tempdir().unwrap();
        let cgroups = Cgroups::at(root.path().canonicalize().unwrap());
        fs::create_dir_all(cgroups.below("/a.slice/b.scope")).unwrap();
        fs::write(cgroups.below("/a.slice/b.scope/cgroup.procs"), "12\n34\n").unwrap();
        (root, cgroups)
    }

    #[test]
    fn a_cgroup_is_named_with_and_without_its_mount() {
        let (_root, cgroups) = tree();
        let wanted = cgroups.below("/a.slice/b.scope");
        for name in [
            "/a.slice/b.scope",
            "a.slice/b.scope",
            "a.slice/../a.slice/b.scope",
            &wanted.display().to_string(),
        ] {
            assert_eq!(cgroups.named(name).unwrap(), wanted, "{name}");
        }
        assert_eq!(processes(&wanted), [12, 34]);
    }

    #[test]
    fn the_root_and_what_is_no_cgroup_are_refused() {
        let (_root, cgroups) = tree();
        for name in ["/", "", "/missing", "/a.slice", "../../etc"] {
            let error = cgroups.named(name).unwrap_err().to_string();
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
