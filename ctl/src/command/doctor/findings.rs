//! One finding per thing that matters: how it stands, what was found, and what to change.

use serde::Serialize;

use super::advice;
use super::facts::{Cgroups, Facts, Lsm};
use super::judge::OLDEST_KERNEL;
use super::probe::Probe;

/// Before that something may work, and nobody looks.
const OLDEST_TESTED: (u32, u32) = (6, 1);

/// Until then a trampoline skips a program that is already running on the same CPU.
const NO_RECURSION_MISSES: (u32, u32) = (6, 2);

/// How a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Ok,
    Warn,
    Fail,
    Unknown,
}

impl State {
    const fn of(good: bool, otherwise: Self) -> Self {
        if good { Self::Ok } else { otherwise }
    }
}

/// One line of the report.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) state: State,
    pub(super) found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) change: Option<String>,
}

impl Finding {
    fn new(check: &'static str, state: State, found: impl Into<String>) -> Self {
        Self { check, state, found: found.into(), change: None }
    }

    fn unless_ok(mut self, change: impl Into<String>) -> Self {
        if self.state != State::Ok {
            self.change = Some(change.into());
        }
        self
    }
}

pub(super) fn kernel(facts: &Facts) -> Finding {
    let before = |(major, minor): (u32, u32)| facts.kernel.before(major, minor);
    let release = &facts.kernel.release;
    if before(OLDEST_KERNEL) {
        let found = format!(
            "{release}: too old, helpers that the programs call are missing (bpf_loop, ring buffer dynptrs)"
        );
        return Finding::new("kernel", State::Fail, found)
            .unless_ok("install a kernel from 5.19 on (tested from 6.1)");
    }
    if before(OLDEST_TESTED) {
        let found = format!("{release}: older than the oldest kernel that is tested, 6.1");
        return Finding::new("kernel", State::Warn, found).unless_ok("install a kernel from 6.1 on");
    }
    if before(NO_RECURSION_MISSES) {
        let found = format!(
            "{release}: a program that is running on a CPU is skipped if it is called there again (recursion_misses counts it)"
        );
        return Finding::new("kernel", State::Warn, found)
            .unless_ok("install a kernel from 6.2 on to close this gap for LSM programs");
    }
    Finding::new("kernel", State::Ok, release.clone())
}

pub(super) fn btf(facts: &Facts) -> Finding {
    let found = if facts.btf { "/sys/kernel/btf/vmlinux" } else { "/sys/kernel/btf/vmlinux is missing" };
    Finding::new("BTF", State::of(facts.btf, State::Fail), found)
        .unless_ok("boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (Debian 12, Ubuntu 22.04, RHEL 9 and later have it)")
}

pub(super) fn build(facts: &Facts) -> Finding {
    const NEEDED: [&str; 6] = [
        "CONFIG_BPF_SYSCALL",
        "CONFIG_BPF_JIT",
        "CONFIG_BPF_LSM",
        "CONFIG_CGROUP_BPF",
        "CONFIG_SECURITY_PATH",
        "CONFIG_SECURITY_NETWORK",
    ];
    if facts.config.is_none() {
        let found = format!("neither /proc/config.gz nor /boot/config-{} is there", facts.kernel.release);
        return Finding::new("kernel build", State::Unknown, found)
            .unless_ok("nothing, if the programs below load; else install the kernel's configuration file");
    }
    let missing: Vec<&str> =
        NEEDED.into_iter().filter(|option| facts.configured(option) != Some(true)).collect();
    if missing.is_empty() {
        return Finding::new("kernel build", State::Ok, "all options are there");
    }
    Finding::new("kernel build", State::Fail, format!("without {}", missing.join(", ")))
        .unless_ok(format!("boot a kernel built with {}=y", missing.join("=y, ")))
}

pub(super) fn lsm_list(facts: &Facts) -> Finding {
    let list = facts.lsm.modules().join(",");
    match &facts.lsm {
        Lsm::Active(_) if facts.lsm.has_bpf() => Finding::new("lsm= list", State::Ok, list),
        Lsm::Active(_) => Finding::new("lsm= list", State::Warn, format!("{list}: bpf is not in it"))
            .unless_ok(advice::add_bpf_to_lsm(facts)),
        Lsm::Guessed { from, .. } if facts.lsm.has_bpf() => Finding::new(
            "lsm= list",
            State::Unknown,
            format!("securityfs is not mounted; {from} says {list}"),
        )
        .unless_ok(advice::MOUNT_SECURITYFS),
        Lsm::Guessed { from, .. } => {
            let found = format!("securityfs is not mounted; {from} says {list}: bpf is not in it");
            let change = format!(
                "{}; if bpf is not in the list there: {}",
                advice::MOUNT_SECURITYFS,
                advice::add_bpf_to_lsm(facts)
            );
            Finding::new("lsm= list", State::Warn, found).unless_ok(change)
        }
        Lsm::Unknown => Finding::new("lsm= list", State::Unknown, "securityfs is not mounted")
            .unless_ok(advice::MOUNT_SECURITYFS),
    }
}

pub(super) fn lsm_programs(facts: &Facts) -> Finding {
    let check = "LSM programs";
    match &facts.probes.lsm {
        Probe::Works if facts.lsm.has_bpf() => Finding::new(check, State::Ok, "load and attach"),
        Probe::Works => {
            Finding::new(check, State::Warn, "load and attach, but never run: bpf is not in lsm=")
                .unless_ok("see the lsm= list")
        }
        Probe::Refused(errno) => {
            Finding::new(check, State::Fail, format!("this kernel refuses them, also to root: {errno}"))
                .unless_ok(advice::REFUSED_BY_KERNEL)
        }
        Probe::Unsupported => Finding::new(check, State::Fail, "this kernel does not know them")
            .unless_ok("boot a kernel built with CONFIG_BPF_LSM=y"),
        Probe::Untried(why) => {
            Finding::new(check, State::Unknown, format!("not tried: {why}")).unless_ok(advice::AS_ROOT)
        }
    }
}

pub(super) fn fmod_ret_programs(facts: &Facts) -> Finding {
    let check = "fmod_ret programs";
    match &facts.probes.trampoline {
        Probe::Works if lsm_works(facts) => {
            Finding::new(check, State::Ok, "programs on kernel functions load and attach")
        }
        Probe::Works => Finding::new(
            check,
            State::Ok,
            "programs on kernel functions load and attach (one that is running on a CPU is skipped if it is called there again)",
        ),
        Probe::Refused(errno) => {
            let found =
                format!("this kernel refuses programs on its functions (fentry), also to root: {errno}");
            Finding::new(check, State::of(lsm_works(facts), State::Fail), found)
                .unless_ok(advice::REFUSED_BY_KERNEL)
        }
        Probe::Unsupported => {
            let found = "this kernel cannot attach programs to its functions";
            Finding::new(check, State::of(lsm_works(facts), State::Fail), found)
                .unless_ok("boot a kernel built with CONFIG_FUNCTION_TRACER=y and CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS=y")
        }
        Probe::Untried(why) => {
            Finding::new(check, State::Unknown, format!("not tried: {why}")).unless_ok(advice::AS_ROOT)
        }
    }
}

fn lsm_works(facts: &Facts) -> bool {
    facts.probes.lsm.works() && facts.lsm.has_bpf()
}

pub(super) fn trial(check: &'static str, probe: &Probe, what: &str) -> Finding {
    match probe {
        Probe::Works => Finding::new(check, State::Ok, format!("{what} load")),
        Probe::Refused(errno) => {
            Finding::new(check, State::Fail, format!("this kernel refuses {what}: {errno}"))
                .unless_ok(advice::REFUSED_BY_KERNEL)
        }
        Probe::Unsupported => Finding::new(check, State::Fail, format!("this kernel does not know {what}"))
            .unless_ok("boot a kernel from 5.19 on (tested from 6.1)"),
        Probe::Untried(why) => {
            Finding::new(check, State::Unknown, format!("not tried: {why}")).unless_ok(advice::AS_ROOT)
        }
    }
}

pub(super) fn parts(facts: &Facts) -> Finding {
    let probes = &facts.probes;
    let parts = [
        ("task storage", &probes.task_storage),
        ("ring buffer", &probes.ring_buffer),
        ("bpf_loop", &probes.loops),
    ];
    let missing: Vec<_> = parts.iter().filter(|(_, probe)| probe.fails()).map(|(name, _)| *name).collect();
    let check = "maps and helpers";
    if !missing.is_empty() {
        let found = format!("missing: {}", missing.join(", "));
        return Finding::new(check, State::Fail, found)
            .unless_ok("boot a kernel from 5.19 on (tested from 6.1)");
    }
    match &probes.task_storage {
        Probe::Untried(why) => {
            Finding::new(check, State::Unknown, format!("not tried: {why}")).unless_ok(advice::AS_ROOT)
        }
        Probe::Works | Probe::Refused(_) | Probe::Unsupported => {
            Finding::new(check, State::Ok, "task storage, ring buffer, bpf_loop")
        }
    }
}

pub(super) fn cgroups(cgroups: &Cgroups) -> Finding {
    let check = "cgroups";
    match cgroups {
        Cgroups::Unified(at) => Finding::new(check, State::Ok, format!("version 2 at {}", at.display())),
        Cgroups::Hybrid(at) => Finding::new(
            check,
            State::Ok,
            format!("hybrid: version 1, with version 2 beside it at {}", at.display()),
        ),
        Cgroups::Legacy => Finding::new(check, State::Fail, "only version 1 is mounted").unless_ok(
            "mount -t cgroup2 none /sys/fs/cgroup/unified, or boot with systemd.unified_cgroup_hierarchy=1",
        ),
        Cgroups::Absent => Finding::new(check, State::Fail, "no cgroups are mounted")
            .unless_ok("mount -t cgroup2 none /sys/fs/cgroup"),
    }
}

pub(super) fn bpffs(facts: &Facts) -> Finding {
    match &facts.bpffs {
        Some(at) => Finding::new("bpffs", State::Ok, format!("mounted at {}", at.display())),
        None => Finding::new(
            "bpffs",
            State::Fail,
            "not mounted: agentd cannot pin its programs and does not start",
        )
        .unless_ok("mount -t bpf bpf /sys/fs/bpf (systemd does this at boot)"),
    }
}

pub(super) fn lockdown(facts: &Facts) -> Finding {
    let check = "lockdown";
    match facts.lockdown.as_deref() {
        Some("confidentiality") => {
            Finding::new(check, State::Fail, "confidentiality: programs may not read kernel memory")
                .unless_ok("boot with lockdown=integrity instead of lockdown=confidentiality")
        }
        Some(mode) => Finding::new(check, State::Ok, mode),
        None => Finding::new(check, State::Ok, "off, or not to be seen without securityfs"),
    }
}

pub(super) fn jit(facts: &Facts) -> Finding {
    match facts.jit {
        Some(0) => {
            Finding::new("JIT", State::Warn, "off: every hook is slow, and LSM programs do not attach")
                .unless_ok("sysctl -w net.core.bpf_jit_enable=1")
        }
        Some(_) => Finding::new("JIT", State::Ok, "on"),
        None => Finding::new("JIT", State::Unknown, "/proc/sys/net/core/bpf_jit_enable is missing")
            .unless_ok("boot a kernel built with CONFIG_BPF_JIT=y"),
    }
}

/// Since 5.11 maps are charged to the cgroup, not to the limit.
pub(super) fn memlock(facts: &Facts) -> Finding {
    let found = match facts.memlock_bytes {
        None => "unlimited".to_owned(),
        Some(bytes) => format!("{} KiB; this kernel charges BPF memory to the cgroup instead", bytes / 1024),
    };
    let good = facts.memlock_bytes.is_none() || !facts.kernel.before(5, 11);
    Finding::new("memlock", State::of(good, State::Warn), found)
        .unless_ok("set LimitMEMLOCK=infinity in agentd.service")
}

pub(super) fn unprivileged(facts: &Facts) -> Finding {
    let check = "unprivileged bpf";
    match facts.unprivileged_bpf_disabled {
        Some(0) => Finding::new(check, State::Warn, "allowed: any user may load BPF programs")
            .unless_ok("sysctl -w kernel.unprivileged_bpf_disabled=1"),
        Some(_) => Finding::new(check, State::Ok, "disabled"),
        None => Finding::new(check, State::Unknown, "/proc/sys/kernel/unprivileged_bpf_disabled is missing")
            .unless_ok("mount /proc, or boot a kernel built with CONFIG_BPF_SYSCALL=y"),
    }
}

pub(super) fn init(facts: &Facts) -> Finding {
    let found = if facts.systemd {
        "systemd: agents get a scope each"
    } else {
        "not systemd: agents get a cgroup each"
    };
    Finding::new("PID 1", State::Ok, found)
}
