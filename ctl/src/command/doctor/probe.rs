//! What this kernel really accepts: loads one program of two instructions for each kind that agentd needs, attaches
//! it where that is how the kernel says yes, and takes it away at once. Needs root and changes nothing.

use std::io;

use aya::maps::MapType;
use aya::programs::{LsmAttachType, ProgramError, ProgramType};
use aya::sys::{BpfHelper, SyscallError, is_helper_supported, is_map_supported, is_program_supported};
use serde::Serialize;

/// The answer of the kernel to one trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "result", content = "why")]
pub(super) enum Probe {
    /// Loaded.
    Works,
    /// The kernel knows it and refuses it, also to root.
    Refused(String),
    /// The kernel does not know it.
    Unsupported,
    /// Not tried.
    Untried(String),
}

impl Probe {
    pub(super) fn works(&self) -> bool {
        *self == Self::Works
    }

    /// Whether it surely does not work.
    pub(super) fn fails(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Unsupported)
    }

    fn of<E>(
        result: Result<bool, E>,
        errno: impl Fn(&E) -> Option<String>,
        words: impl Fn(&E) -> String,
    ) -> Self {
        match result {
            Ok(true) => Self::Works,
            Ok(false) => Self::Unsupported,
            Err(error) => Self::Refused(errno(&error).unwrap_or_else(|| words(&error))),
        }
    }
}

/// One answer for each thing that a back end is made of.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Probes {
    /// A BPF LSM program, attached.
    pub(super) lsm: Probe,
    /// A tracing program on a kernel function, attached: what fmod_ret is made of.
    pub(super) trampoline: Probe,
    /// A raw tracepoint program.
    pub(super) tracepoint: Probe,
    /// A cgroup program on connect().
    pub(super) cgroup: Probe,
    /// Storage on tasks, which holds the label of governed tasks.
    pub(super) task_storage: Probe,
    /// The ring buffer.
    pub(super) ring_buffer: Probe,
    /// Bounded loops by helper, which walk patterns.
    pub(super) loops: Probe,
}

impl Probes {
    /// When nothing could be tried.
    pub(super) fn untried(why: &str) -> Self {
        let untried = || Probe::Untried(why.to_owned());
        Self {
            lsm: untried(),
            trampoline: untried(),
            tracepoint: untried(),
            cgroup: untried(),
            task_storage: untried(),
            ring_buffer: untried(),
            loops: untried(),
        }
    }

    /// Tries everything on the running kernel.
    pub(super) fn run() -> Self {
        Self {
            lsm: program(ProgramType::Lsm(LsmAttachType::Mac)),
            trampoline: program(ProgramType::Tracing),
            tracepoint: program(ProgramType::RawTracePoint),
            cgroup: program(ProgramType::CgroupSockAddr),
            task_storage: map(MapType::TaskStorage),
            ring_buffer: map(MapType::RingBuf),
            loops: helper(BpfHelper::BPF_FUNC_loop),
        }
    }
}

fn program(kind: ProgramType) -> Probe {
    Probe::of(is_program_supported(kind), program_errno, ToString::to_string)
}

fn helper(helper: BpfHelper) -> Probe {
    Probe::of(is_helper_supported(ProgramType::RawTracePoint, helper), program_errno, ToString::to_string)
}

fn map(kind: MapType) -> Probe {
    Probe::of(is_map_supported(kind), |error| errno(&error.io_error), ToString::to_string)
}

fn program_errno(error: &ProgramError) -> Option<String> {
    match error {
        ProgramError::SyscallError(SyscallError { io_error, .. }) => errno(io_error),
        _ => None,
    }
}

/// `EPERM`, as manuals name it.
fn errno(error: &io::Error) -> Option<String> {
    error.raw_os_error().map(|number| format!("{:?}", nix::errno::Errno::from_raw(number)))
}
