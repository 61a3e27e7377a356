//! Kernel programs of an agentd whose maps have another layout, before or after this version. They enforce on, beside those of
//! this agentd, until it has labelled every task that they govern; then they go. Of their maps only what no layout changes is
//! read: labels, and how the entry of an agent begins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use agentguard_bpf::types;
use agentguard_core::ids::AgentKey;
use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType};

use super::KernelError;
use super::load::{list, remove_file};
use super::maps::failed;
use super::tasks;
use super::wire::value_of;

/// The first layout, before they were hashes, and how long those are.
const FIRST: &str = "v1";
const DIGITS: usize = 12;

/// What is pinned beside the maps of this agentd.
#[derive(Default)]
pub(super) struct Others(Vec<Other>);

struct Other {
    root: PathBuf,
    /// Task to agent, and slot to agent; nothing if no program is left.
    maps: Option<(MapHandle, MapHandle)>,
}

impl Others {
    /// What is pinned below `root` in layouts other than `own`.
    ///
    /// # Errors
    /// When programs are pinned there whose labels can not be read: they must stay, and so nothing else may start.
    pub(super) fn below(root: &Path, own: &str) -> Result<Self, KernelError> {
        let layouts = list(root)?.into_iter().filter(|layout| is_layout(layout) && !layout.ends_with(own));
        layouts.map(Other::open).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Processes that these programs govern.
    pub(super) fn governed(&self) -> Result<BTreeMap<u32, AgentKey>, KernelError> {
        let mut found = BTreeMap::new();
        if self.is_empty() {
            return Ok(found);
        }
        for pid in tasks::processes()? {
            for (labels, agents) in self.0.iter().filter_map(|other| other.maps.as_ref()) {
                match tasks::label_in(labels, pid) {
                    Ok(Some(label)) if is_in_force(agents, &label)? => {
                        found.insert(pid, AgentKey { slot: label.slot, serial: label.serial });
                    }
                    // Not of an agent, or it has ended.
                    Ok(_) | Err(KernelError::Missing(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(found)
    }

    /// Takes these programs and their maps away. Returns the names of their layouts.
    pub(super) fn retire(&mut self) -> Result<Vec<String>, KernelError> {
        let mut names = Vec::new();
        while let Some(other) = self.0.last() {
            other.unpin()?;
            names.push(other.name());
            self.0.pop();
        }
        Ok(names)
    }
}

impl Other {
    fn open(root: PathBuf) -> Result<Self, KernelError> {
        let map = |name| MapHandle::from_pinned_path(root.join("maps").join(name)).ok();
        let labels = map("task_label").filter(|map| {
            map.map_type() == MapType::TaskStorage && map.value_size() as usize == size_of::<types::label>()
        });
        let agents = map("agents").filter(|map| {
            map.map_type() == MapType::Array && map.value_size() as usize >= size_of::<Beginning>()
        });
        let other = Self { maps: labels.zip(agents), root };
        if other.maps.is_none() && other.has_programs()? {
            return Err(KernelError::Unsupported(format!(
                "{} holds the kernel programs of an agentd from which this one can not take over; they go on enforcing: \
                 start that agentd again, or free every agent of this host with agentd --unload",
                other.root.display()
            )));
        }
        Ok(other)
    }

    fn name(&self) -> String {
        self.root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn has_programs(&self) -> Result<bool, KernelError> {
        let folders = list(&self.root)?.into_iter().filter(|folder| !folder.ends_with("maps"));
        folders.map(|folder| list(&folder)).try_fold(false, |any, pins| Ok(any || !pins?.is_empty()))
    }

    /// Programs before maps: interrupted, no program is left that nobody can take over from.
    fn unpin(&self) -> Result<(), KernelError> {
        let (maps, programs): (Vec<_>, Vec<_>) =
            list(&self.root)?.into_iter().partition(|folder| folder.ends_with("maps"));
        for folder in programs.into_iter().chain(maps) {
            list(&folder)?.iter().try_for_each(|pin| remove_file(pin))?;
            remove_folder(&folder)?;
        }
        remove_folder(&self.root)
    }
}

/// Whether an agentd names its folder so. A second agentd may have pins of its own below this root.
fn is_layout(folder: &Path) -> bool {
    let name = folder.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    name == FIRST || name.len() == DIGITS && name.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// How the entry of an agent begins: serial and mode.
type Beginning = [u32; 2];

fn is_in_force(agents: &MapHandle, label: &types::label) -> Result<bool, KernelError> {
    let entry = agents
        .lookup(&label.slot.to_ne_bytes(), MapFlags::ANY)
        .map_err(|error| failed("reading the agents of another layout", error))?;
    let number = |at: usize| -> Option<u32> { value_of(entry.as_deref()?.get(at..)?) };
    Ok(number(0) == Some(label.serial) && number(4) != Some(types::mode::MODE_RELEASED.0))
}

fn remove_folder(folder: &Path) -> Result<(), KernelError> {
    std::fs::remove_dir(folder)
        .map_err(|source| KernelError::System { what: format!("removing {}", folder.display()), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_layouts_are_told_from_those_of_a_second_agentd() {
        assert!(is_layout(Path::new("/sys/fs/bpf/agentguard/v1")));
        assert!(is_layout(&Path::new("/sys/fs/bpf/agentguard").join(super::super::load::LAYOUT)));
        assert!(!is_layout(Path::new("/sys/fs/bpf/agentguard/second")));
    }
}
