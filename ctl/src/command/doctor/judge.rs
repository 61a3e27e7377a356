//! From facts to findings: which back end agentd would take, what it could not enforce, and what to change.
//! Pure: the same facts always give the same findings.

use serde::Serialize;

use super::facts::{Cgroups, Facts, Lsm};
use super::findings::{self, Finding};
use super::probe::Probe;

/// Ring buffer dynptrs, which records of any length are written with: the last to come of what the programs call.
pub(super) const OLDEST_KERNEL: (u32, u32) = (5, 19);

/// Hooks that came late: what older kernels cannot enforce, whatever the back end.
const LATE_HOOKS: [((u32, u32), &str); 1] = [(
    (6, 1),
    "refusing new user namespaces as such (hook userns_create since 6.1); what they allow is still checked",
)];

/// What each class of operations needs a hook in the kernel's security layer for.
const NEEDS_SECURITY_HOOKS: [&str; 4] = [
    "files: open, create, delete, rename, link, attributes",
    "exec and executable mappings",
    "unix sockets",
    "process: ptrace, signal, mount, credentials, capabilities, kernel, io_uring",
];

/// How agentd would block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Backend {
    /// BPF LSM programs.
    Lsm,
    /// Programs on `security_*` that change the result.
    FmodRet,
    /// Cgroup programs block network; everything else is only seen.
    Tracing,
    /// Nothing works.
    None,
}

impl Backend {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Lsm => "lsm: BPF LSM programs",
            Self::FmodRet => "fmod-ret: programs on security_* that change the result",
            Self::Tracing => "tracing: blocks network by cgroup programs, only observes the rest",
            Self::None => "none: agentd would refuse to start",
        }
    }
}

/// Whether everything that a spec says could be enforced here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Enforcement {
    /// Tried: yes.
    Possible,
    /// Nothing speaks against it, but it was not tried.
    Unproven,
    /// No.
    NotPossible,
}

/// Everything doctor says.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    pub(super) backend: Backend,
    pub(super) full_enforcement: Enforcement,
    pub(super) not_enforceable: Vec<String>,
    pub(super) findings: Vec<Finding>,
    pub(super) facts: Facts,
}

/// Judges the facts.
pub(super) fn judge(facts: Facts) -> Report {
    let backend = backend(&facts);
    let findings = vec![
        findings::kernel(&facts),
        findings::btf(&facts),
        findings::build(&facts),
        findings::lsm_list(&facts),
        findings::lsm_programs(&facts),
        findings::fmod_ret_programs(&facts),
        findings::trial("tracing programs", &facts.probes.tracepoint, "tracepoint programs"),
        findings::trial("cgroup programs", &facts.probes.cgroup, "programs on connect()"),
        findings::parts(&facts),
        findings::cgroups(&facts.cgroups),
        findings::bpffs(&facts),
        findings::lockdown(&facts),
        findings::jit(&facts),
        findings::memlock(&facts),
        findings::unprivileged(&facts),
        findings::init(&facts),
    ];
    let full_enforcement = enforcement(backend, &facts);
    Report { backend, full_enforcement, not_enforceable: not_enforceable(backend, &facts), findings, facts }
}

fn backend(facts: &Facts) -> Backend {
    let probes = &facts.probes;
    let parts = [&probes.tracepoint, &probes.task_storage, &probes.ring_buffer, &probes.loops];
    let cgroup = !matches!(facts.cgroups, Cgroups::Legacy | Cgroups::Absent);
    let (major, minor) = OLDEST_KERNEL;
    if facts.kernel.before(major, minor) || !facts.btf || !cgroup || parts.iter().any(|probe| probe.fails()) {
        return Backend::None;
    }
    if facts.lockdown.as_deref() == Some("confidentiality") {
        return Backend::None;
    }
    if facts.lsm.may_have_bpf() && may_work(&probes.lsm, facts.configured("CONFIG_BPF_LSM")) {
        return Backend::Lsm;
    }
    // security_* hooks that programs may change are there with or without CONFIG_BPF_LSM.
    if may_work(&probes.trampoline, None) {
        return Backend::FmodRet;
    }
    Backend::Tracing
}

fn enforcement(backend: Backend, facts: &Facts) -> Enforcement {
    let lsm = facts.probes.lsm.works() && matches!(facts.lsm, Lsm::Active(_));
    let proven = match backend {
        // agentd falls back by itself if the list turns out to lack bpf.
        Backend::Lsm => lsm || facts.probes.trampoline.works(),
        Backend::FmodRet => facts.probes.trampoline.works(),
        Backend::Tracing | Backend::None => return Enforcement::NotPossible,
    };
    if proven { Enforcement::Possible } else { Enforcement::Unproven }
}

/// What was tried counts; where nothing was tried, what the build says.
fn may_work(probe: &Probe, configured: Option<bool>) -> bool {
    probe.works() || (!probe.fails() && configured != Some(false))
}

fn not_enforceable(backend: Backend, facts: &Facts) -> Vec<String> {
    let late = LATE_HOOKS
        .iter()
        .filter(|((major, minor), _)| facts.kernel.before(*major, *minor))
        .map(|(_, what)| *what);
    match backend {
        Backend::None => vec!["everything".to_owned()],
        Backend::Tracing => NEEDS_SECURITY_HOOKS.iter().map(|what| (*what).to_owned()).collect(),
        Backend::Lsm | Backend::FmodRet => late.map(str::to_owned).collect(),
    }
}
