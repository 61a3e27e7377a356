//! What agentd has pinned: which object of the kernel is behind each file below its folder on bpffs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use aya::programs::links::PinnedLink;

use crate::exit::Failure;

/// Pins are few; a tree deeper or larger than this is not agentd's.
const PIN_DEPTH: usize = 4;
const PINS_MAX: usize = 4096;

/// What `/proc/self/fdinfo` says of one descriptor; the only place where the kernel tells the kind of a pin.
#[derive(Debug, Default)]
pub(super) struct FdInfo(String);

impl FdInfo {
    pub(super) fn of(fd: &impl AsFd) -> io::Result<Self> {
        fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd())).map(Self)
    }

    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.0
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| *name == key)?
            .1
            .trim()
            .parse()
            .ok()
    }
}

/// Pinned objects by id.
#[derive(Debug, Default)]
pub(super) struct Pins {
    pub(super) programs: BTreeMap<u32, PathBuf>,
    pub(super) maps: BTreeMap<u32, PathBuf>,
    pub(super) links: BTreeMap<u32, PathBuf>,
}

impl Pins {
    pub(super) fn read(root: &Path) -> Result<Self, Failure> {
        let mut pins = Self::default();
        if root.is_dir() {
            for path in files_below(root, PIN_DEPTH).map_err(|error| Failure::on(root, &error))? {
                pins.add(path);
            }
        }
        Ok(pins)
    }

    /// A pin that is gone or no BPF object by now is left out.
    fn add(&mut self, path: PathBuf) {
        // The name of the type says link; any pinned object opens this way, and fdinfo says what it is.
        let Ok(object) = PinnedLink::from_pin(&path) else { return };
        let Ok(entries) = fs::read_dir("/proc/self/fdinfo") else { return };
        for entry in entries.flatten() {
            let info = FdInfo(fs::read_to_string(entry.path()).unwrap_or_default());
            let id = |key| info.number(key).and_then(|id| u32::try_from(id).ok());
            // A link names its program too, so links come first.
            let (kind, id) = match (id("link_id"), id("prog_id"), id("map_id")) {
                (Some(id), ..) => (&mut self.links, id),
                (None, Some(id), _) => (&mut self.programs, id),
                (None, None, Some(id)) => (&mut self.maps, id),
                (None, None, None) => continue,
            };
            kind.insert(id, path);
            break;
        }
        drop(object);
    }
}

fn files_below(folder: &Path, depth: usize) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if depth > 0 {
                files.extend(files_below(&entry.path(), depth - 1)?);
            }
        } else if files.len() < PINS_MAX {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_out_of_fdinfo() {
        let info = FdInfo("pos:\t0\nprog_id:\t17\nrecursion_misses:\t2\n".to_owned());
        assert_eq!(
            (info.number("prog_id"), info.number("recursion_misses"), info.number("map_id")),
            (Some(17), Some(2), None)
        );
    }
}
