//! Tells the kernel programs where the host mounts each file system, so that a path seen through another mount is
//! also decided by its path on the host.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, thread};

use agentguard_bpf::types;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use procfs::process::{MountInfo, Process};

use super::KernelError;
use super::maps::{Maps, entries, remove, update};
use super::wire::text_of;

/// The mount namespace of PID 1 is the host's, whatever namespace agentd runs in.
const HOST: i32 = 1;
const MOUNTS: &str = "/proc/1/mountinfo";

/// A change is told by poll; this is for a kernel that forgets to.
const REFRESH: Duration = Duration::from_secs(30);

/// Keeps the mounts current on a thread of its own for as long as agentd runs.
pub(super) fn follow(maps: Arc<Maps>) -> Result<(), KernelError> {
    let watch = move || {
        let Ok(file) = fs::File::open(MOUNTS) else { return };
        loop {
            let mut waiting = [PollFd::new(file.as_fd(), PollFlags::POLLPRI)];
            let timeout = PollTimeout::try_from(REFRESH).unwrap_or(PollTimeout::NONE);
            if nix::poll::poll(&mut waiting, timeout).is_err() {
                thread::sleep(REFRESH);
            }
            if let Err(error) = refresh(&maps) {
                tracing::warn!(%error, "the host's mounts could not be read");
            }
        }
    };
    thread::Builder::new()
        .name("host-mounts".to_owned())
        .spawn(watch)
        .map(drop)
        .map_err(|source| KernelError::System { what: "starting a thread".to_owned(), source })
}

/// Reads the mounts.
pub(super) fn refresh(maps: &Maps) -> Result<(), KernelError> {
    let mounts = Process::new(HOST).and_then(|process| process.mountinfo()).map_err(|error| {
        KernelError::System { what: format!("reading {MOUNTS}"), source: std::io::Error::other(error) }
    })?;
    let wanted = roots(mounts.0.iter());
    // First what is gone, so that a full table has room again.
    for (device, _) in entries::<u32, types::host_mount>(&maps.host_mounts) {
        if !wanted.contains_key(&device) {
            remove(&maps.host_mounts, &device)?;
        }
    }
    for (device, mount) in &wanted {
        update(&maps.host_mounts, device, mount)?;
    }
    Ok(())
}

/// The first mount of each file system's own root.
fn roots<'a>(mounts: impl Iterator<Item = &'a MountInfo>) -> HashMap<u32, types::host_mount> {
    let mut found = HashMap::new();
    for mount in mounts.filter(|mount| mount.root == "/") {
        let Some(device) = kernel_device(&mount.majmin) else { continue };
        let root = Path::new("/");
        let path = if mount.mount_point == root { Path::new("") } else { mount.mount_point.as_path() };
        // One that is too long is a miss: decided by the path inside the file system.
        let Some(prefix) = text_of(path) else { continue };
        found.entry(device).or_insert(types::host_mount {
            mount_id: mount.mnt_id as u32,
            prefix_len: path.as_os_str().len() as u32,
            prefix,
        });
    }
    found
}

/// `major:minor` in the kernel's own encoding.
fn kernel_device(text: &str) -> Option<u32> {
    let (major, minor) = text.split_once(':')?;
    Some(major.parse::<u32>().ok()? << 20 | minor.parse::<u32>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_first_mount_of_a_root_and_no_bind_mount() {
        let lines = [
            "21 1 8:1 / / rw - ext4 /dev/sda1 rw",
            "30 21 8:1 /srv/data /data rw - ext4 /dev/sda1 rw",
            "31 21 0:30 / /tmp rw - tmpfs tmpfs rw",
            "32 21 0:30 / /mnt/again rw - tmpfs tmpfs rw",
        ];
        let mounts: Vec<_> = lines.iter().filter_map(|line| MountInfo::from_line(line).ok()).collect();
        let found = roots(mounts.iter());
        assert_eq!(found.len(), 2);
        assert_eq!(found.get(&(8 << 20 | 1)).map(|mount| (mount.mount_id, mount.prefix_len)), Some((21, 0)));
        assert_eq!(found.get(&30).map(|mount| (mount.mount_id, mount.prefix_len)), Some((31, 4)));
    }
}
