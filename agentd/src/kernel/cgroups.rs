//! Governed cgroups: their ids, and the packet programs that are attached to each of them and to no other.

use std::fs::{self, File};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use agentguard_bpf::types;
use libbpf_rs::libbpf_sys;

use super::KernelError;
use super::load::Pins;
use super::maps::{Maps, entries, remove, update};
use super::wire::text_of;

/// A cgroup program and how it is attached.
pub(super) struct CgroupProgram {
    pub(super) name: String,
    pub(super) fd: OwnedFd,
    pub(super) attach_type: u32,
}

/// Labels every task that enters the cgroup from now on, also when it is made anew, and follows the packets of its sockets.
pub(super) fn govern(
    maps: &Maps,
    pins: &Pins,
    programs: &[CgroupProgram],
    label: types::label,
    path: &Path,
) -> Result<(), KernelError> {
    let place = place_of(path)?;
    if let Some(place) = &place {
        update(&maps.cgroup_place, place, &label)?;
    }
    match id_of(path) {
        // Gone, until it is made anew.
        Err(KernelError::Missing(_)) if place.is_some() => return Ok(()),
        id => update(&maps.cgroup_label, &id?, &label)?,
    }
    attach_all(pins, programs, path)
}

/// Attaches the cgroup programs; those that are attached already stay.
pub(super) fn attach_all(pins: &Pins, programs: &[CgroupProgram], path: &Path) -> Result<(), KernelError> {
    let id = id_of(path)?;
    let dir = File::open(path).map_err(|source| system(path, source))?;
    for program in programs {
        let pin = pins.cgroup_link(id, &program.name);
        if pin.exists() {
            continue;
        }
        let link = attach(program, &dir).map_err(|source| KernelError::System {
            what: format!("attaching {} to {}", program.name, path.display()),
            source,
        })?;
        pins.pin(&link, &pin)?;
    }
    Ok(())
}

/// Undoes [`govern`]. Labels that tasks have stay.
pub(super) fn forget(maps: &Maps, pins: &Pins, path: &Path) -> Result<(), KernelError> {
    if let Some(place) = place_of(path)? {
        remove(&maps.cgroup_place, &place)?;
    }
    let id = id_of(path)?;
    remove(&maps.cgroup_label, &id)?;
    pins.unpin_cgroup(id)
}

/// Forgets every cgroup of a label.
pub(super) fn forget_all(maps: &Maps, pins: &Pins, label: types::label) -> Result<(), KernelError> {
    let is_of = |of: &types::label| of.slot == label.slot && of.serial == label.serial;
    for (place, _) in entries::<types::cgroup_path, types::label>(&maps.cgroup_place)
        .into_iter()
        .filter(|(_, of)| is_of(of))
    {
        remove(&maps.cgroup_place, &place)?;
    }
    for (id, _) in entries::<u64, types::label>(&maps.cgroup_label).into_iter().filter(|(_, of)| is_of(of)) {
        remove(&maps.cgroup_label, &id)?;
        pins.unpin_cgroup(id)?;
    }
    Ok(())
}

/// Where a cgroup is, as the kernel tells it: below the mount. One that is too long for the table is not found again when it is
/// made anew.
fn place_of(path: &Path) -> Result<Option<types::cgroup_path>, KernelError> {
    let below = path.strip_prefix(mount_point()?).unwrap_or(path);
    let place = text_of(&Path::new("/").join(below)).map(|path| types::cgroup_path { path });
    if place.is_none() {
        tracing::warn!(
            "{}: its path is too long: when it is made anew its processes are not governed",
            path.display()
        );
    }
    Ok(place)
}

/// The kernel's id of a cgroup is the inode number of its directory.
fn id_of(path: &Path) -> Result<u64, KernelError> {
    if !path.join("cgroup.procs").exists() {
        return Err(KernelError::Missing(format!("{} is not a cgroup", path.display())));
    }
    fs::metadata(path).map(|meta| meta.ino()).map_err(|source| system(path, source))
}

/// Where the cgroup v2 tree is mounted, also beside a v1 tree.
pub(super) fn mount_point() -> Result<PathBuf, KernelError> {
    procfs::process::Process::myself()
        .and_then(|process| process.mountinfo())
        .ok()
        .and_then(|mounts| mounts.0.into_iter().find(|mount| mount.fs_type == "cgroup2"))
        .map(|mount| mount.mount_point)
        .ok_or_else(|| KernelError::Unsupported("no cgroup v2 tree is mounted".to_owned()))
}

/// The cgroup v2 directory of a process; `None` for the root, to which nothing is ever attached.
pub(super) fn of_process(pid: u32) -> Result<Option<PathBuf>, KernelError> {
    let path = format!("/proc/{pid}/cgroup");
    let text = fs::read_to_string(&path).map_err(|source| KernelError::System { what: path, source })?;
    let own = text.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    if own.is_empty() { Ok(None) } else { Ok(Some(mount_point()?.join(own))) }
}

fn attach(program: &CgroupProgram, dir: &File) -> std::io::Result<OwnedFd> {
    // SAFETY: both descriptors are open, and null options mean the defaults.
    let fd = unsafe {
        libbpf_sys::bpf_link_create(
            program.fd.as_raw_fd(),
            dir.as_raw_fd(),
            program.attach_type,
            std::ptr::null(),
        )
    };
    if fd < 0 {
        return Err(std::io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A duplicate of a program's descriptor that outlives the object it was loaded with.
pub(super) fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd, KernelError> {
    fd.try_clone_to_owned().map_err(|source| KernelError::System {
        what: "duplicating a program's descriptor".to_owned(),
        source,
    })
}

fn system(path: &Path, source: std::io::Error) -> KernelError {
    KernelError::System { what: format!("opening {}", path.display()), source }
}
