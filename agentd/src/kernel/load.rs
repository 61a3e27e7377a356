//! Loads the object for one back end, attaches it and pins everything, so that enforcement outlives agentd.
//!
//! A new agentd attaches its programs beside those of the old one and proves them before it unpins those: there is no
//! moment without.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use agentguard_bpf::{AgentguardSkel, AgentguardSkelBuilder, OpenAgentguardSkel, types};
use libbpf_rs::skel::{OpenSkel as _, Skel as _, SkelBuilder as _};
use libbpf_rs::{Link, MapHandle, ProgramAttachType, libbpf_sys};

use super::cgroups::{CgroupProgram, duplicate};
use super::hooks::{self, KernelFunctions};
use super::maps::{Maps, entries, failed};
use super::{Backend, KernelError};

/// Names the maps: those of another layout can not be used, only taken over from ([`super::others`]).
pub(super) use agentguard_bpf::LAYOUT;

/// Where the pins are.
pub(super) struct Pins {
    root: PathBuf,
    links: PathBuf,
}

/// What a load leaves behind.
pub(super) struct Loaded {
    pub(super) maps: Maps,
    pub(super) labeller: Link,
    pub(super) file_reporter: Link,
    pub(super) cgroup_programs: Vec<CgroupProgram>,
    pub(super) programs: Vec<OwnedFd>,
    pub(super) missing: Vec<String>,
}

/// This path, or a number more: in a container each agentd has the number of the one before.
fn free(path: &Path) -> PathBuf {
    let numbered = (2_u32..).map(|number| path.with_extension(number.to_string()));
    std::iter::once(path.to_owned())
        .chain(numbered)
        .find(|path| !path.exists())
        .unwrap_or_else(|| path.to_owned())
}

impl Pins {
    /// Pins below `root`, on a mounted bpffs.
    pub(super) fn below(root: &Path) -> Result<Self, KernelError> {
        let root = root.join(LAYOUT);
        let links = free(&root.join(format!("links-{}", std::process::id())));
        for dir in [root.join("maps"), root.join("cgroups"), links.clone()] {
            fs::create_dir_all(&dir).map_err(|source| KernelError::System {
                what: format!("making {} (is bpffs mounted on /sys/fs/bpf?)", dir.display()),
                source,
            })?;
        }
        Ok(Self { root, links })
    }

    fn map(&self, name: &str) -> PathBuf {
        self.root.join("maps").join(name)
    }

    /// Where the link of a packet program on one cgroup is pinned.
    pub(super) fn cgroup_link(&self, id: u64, program: &str) -> PathBuf {
        self.root.join("cgroups").join(format!("{id}-{program}"))
    }

    /// Pins a link by its descriptor.
    pub(super) fn pin(&self, link: &OwnedFd, path: &Path) -> Result<(), KernelError> {
        let text = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| KernelError::Unsupported(format!("{} holds a NUL", path.display())))?;
        // SAFETY: an open descriptor and a path that ends with NUL.
        let result = unsafe { libbpf_sys::bpf_obj_pin(link.as_fd().as_raw_fd(), text.as_ptr()) };
        if result < 0 {
            let source = std::io::Error::from_raw_os_error(-result);
            return Err(KernelError::System { what: format!("pinning {}", path.display()), source });
        }
        Ok(())
    }

    /// Takes the packet programs off one cgroup.
    pub(super) fn unpin_cgroup(&self, id: u64) -> Result<(), KernelError> {
        let prefix = format!("{id}-");
        for entry in list(&self.root.join("cgroups"))? {
            if entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)) {
                remove_file(&entry)?;
            }
        }
        Ok(())
    }

    /// The programs of earlier loads go: those of this load are attached.
    pub(super) fn drop_older_links(&self) -> Result<(), KernelError> {
        for dir in list(&self.root)? {
            let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name.starts_with("links-") && dir != self.links {
                list(&dir)?.iter().try_for_each(|link| remove_file(link))?;
                fs::remove_dir(&dir).map_err(|source| KernelError::System {
                    what: format!("removing {}", dir.display()),
                    source,
                })?;
            }
        }
        Ok(())
    }

    /// This load failed: what it pinned goes, what was there before stays.
    pub(super) fn drop_own_links(&self) {
        for link in list(&self.links).unwrap_or_default() {
            let _ = fs::remove_file(link);
        }
        let _ = fs::remove_dir(&self.links);
    }
}

/// Processes that wait for an earlier agentd, with their start in nanoseconds after boot; none if nothing is pinned.
pub fn waiting(root: &Path) -> Vec<(u32, u64)> {
    let path = root.join(LAYOUT).join("maps/holds");
    let Ok(map) = MapHandle::from_pinned_path(path) else { return Vec::new() };
    entries::<u64, types::hold>(&map).into_iter().map(|(_, hold)| (hold.tgid, hold.start_ns)).collect()
}

/// Removes every pin below `root`: nothing is governed any more.
pub fn unload(root: &Path) -> Result<(), KernelError> {
    for dir in list(root)?.iter().flat_map(|layout| list(layout).unwrap_or_default()) {
        for pin in list(&dir)? {
            remove_file(&pin)?;
        }
    }
    fs::remove_dir_all(root)
        .map_err(|source| KernelError::System { what: format!("removing {}", root.display()), source })
}

/// Loads, attaches and pins for one back end.
pub(super) fn load(backend: Backend, pins: &Pins, kernel: &KernelFunctions) -> Result<Loaded, KernelError> {
    let result = try_load(backend, pins, kernel);
    if result.is_err() {
        pins.drop_own_links();
    }
    result
}

fn try_load(backend: Backend, pins: &Pins, kernel: &KernelFunctions) -> Result<Loaded, KernelError> {
    // The skeleton borrows its object; one small allocation per attempt lives as long as agentd.
    let storage = Box::leak(Box::new(MaybeUninit::uninit()));
    let mut open = AgentguardSkelBuilder::default()
        .open(storage)
        .map_err(|error| failed("opening the BPF object", error))?;
    configure(&mut open, backend)?;
    let missing = hooks::choose(open.open_object_mut(), backend, kernel);
    for mut map in open.open_object_mut().maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        let data_of_one_load = name.contains('.');
        if !data_of_one_load {
            map.set_pin_path(pins.map(&name))
                .map_err(|error| failed(format!("pinning map {name}"), error))?;
        }
    }
    let skeleton =
        open.load().map_err(|error| failed(format!("loading the programs for {backend}"), error))?;
    let maps = Maps::of(&skeleton.maps)?;
    let (cgroup_programs, programs) = attach(&skeleton, pins)?;
    let labeller =
        skeleton.progs.label_tasks.attach().map_err(|error| failed("attaching label_tasks", error))?;
    let file_reporter = skeleton
        .progs
        .report_files
        .attach_iter(maps.open_files.as_fd())
        .map_err(|error| failed("attaching report_files", error))?;
    Ok(Loaded { maps, labeller, file_reporter, cgroup_programs, programs, missing })
}

/// Constants that the verifier sees, and counters that must not repeat.
fn configure(open: &mut OpenAgentguardSkel<'_>, backend: Backend) -> Result<(), KernelError> {
    let absent = || KernelError::Unsupported("the BPF object has no data section".to_owned());
    let constants = open.maps.rodata_data.as_mut().ok_or_else(absent)?;
    constants.can_block = u32::from(backend != Backend::Tracing);
    constants.on_security_functions = u32::from(backend == Backend::FmodRet);
    constants.agentd_tgid = std::process::id();
    // Numbers that no earlier load has used.
    let start =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    constants.load_number = ((start >> 20) as u32).max(1);
    let data = open.maps.bss_data.as_mut().ok_or_else(absent)?;
    data.last_open_id = start;
    data.last_hold_id = start;
    Ok(())
}

fn attach(
    skeleton: &AgentguardSkel<'static>,
    pins: &Pins,
) -> Result<(Vec<CgroupProgram>, Vec<OwnedFd>), KernelError> {
    let mut cgroup_programs = Vec::new();
    let mut programs = Vec::new();
    for program in skeleton.object().progs_mut().filter(|program| program.autoload()) {
        let name = program.name().to_string_lossy().into_owned();
        programs.push(duplicate(program.as_fd())?);
        match program.attach_type() {
            kind if program.section().as_encoded_bytes().starts_with(b"cgroup") => {
                cgroup_programs.push(CgroupProgram {
                    name,
                    fd: duplicate(program.as_fd())?,
                    attach_type: kind as u32,
                });
            }
            ProgramAttachType::TraceIter => {} // agentd runs these itself
            _ => {
                // libbpf forgets how to attach a program whose type was changed.
                let link = match program.attach_type() {
                    ProgramAttachType::ModifyReturn | ProgramAttachType::TraceFentry => {
                        program.attach_trace()
                    }
                    _ => program.attach(),
                };
                let mut link = link.map_err(|error| failed(format!("attaching {name}"), error))?;
                link.pin(pins.links.join(&name)).map_err(|error| failed(format!("pinning {name}"), error))?;
            }
        }
    }
    Ok((cgroup_programs, programs))
}

pub(super) fn list(dir: &Path) -> Result<Vec<PathBuf>, KernelError> {
    let failed = |source| KernelError::System { what: format!("listing {}", dir.display()), source };
    fs::read_dir(dir).map_err(failed)?.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
}

pub(super) fn remove_file(path: &Path) -> Result<(), KernelError> {
    fs::remove_file(path)
        .map_err(|source| KernelError::System { what: format!("unpinning {}", path.display()), source })
}
