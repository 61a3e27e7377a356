//! Machines as users have them, and what doctor says to each.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::facts::{Cgroups, Facts, Kernel, Lsm};
use super::findings::State;
use super::judge::{Backend, Enforcement, Report, judge};
use super::probe::{Probe, Probes};
use super::show;
use crate::screen::{Format, Screen};

fn list(names: &str) -> Vec<String> {
    names.split(',').map(str::to_owned).collect()
}

fn good() -> Facts {
    let works = || Probe::Works;
    let options = ["BPF_SYSCALL", "BPF_JIT", "BPF_LSM", "CGROUP_BPF", "SECURITY_PATH", "SECURITY_NETWORK"];
    let config: BTreeMap<_, _> =
        options.iter().map(|option| (format!("CONFIG_{option}"), "y".to_owned())).collect();
    Facts {
        kernel: Kernel::parse("6.12.0-1-amd64"),
        distribution: list("debian"),
        root: true,
        btf: true,
        lsm: Lsm::Active(list("lockdown,capability,landlock,yama,apparmor,bpf")),
        config: Some(config),
        cgroups: Cgroups::Unified(PathBuf::from("/sys/fs/cgroup")),
        bpffs: Some(PathBuf::from("/sys/fs/bpf")),
        unprivileged_bpf_disabled: Some(2),
        lockdown: Some("none".to_owned()),
        systemd: true,
        jit: Some(1),
        memlock_bytes: None,
        probes: Probes {
            lsm: works(),
            trampoline: works(),
            tracepoint: works(),
            cgroup: works(),
            task_storage: works(),
            ring_buffer: works(),
            loops: works(),
        },
    }
}

fn text(report: &Report) -> String {
    let mut out = Vec::new();
    show(&mut Screen::plain(&mut out, Format::Table, 110), report).unwrap();
    String::from_utf8(out).unwrap()
}

fn state(report: &Report, check: &str) -> State {
    report.findings.iter().find(|finding| finding.check == check).map(|finding| finding.state).unwrap()
}

#[test]
fn a_debian_with_bpf_in_lsm_enforces_everything() {
    let report = judge(good());
    assert_eq!(report.backend, Backend::Lsm);
    assert_eq!(report.full_enforcement, Enforcement::Possible);
    assert!(report.not_enforceable.is_empty());
    insta::assert_snapshot!(text(&report));
}

#[test]
fn a_stock_ubuntu_takes_fmod_ret_and_is_told_the_boot_line() {
    let lsm = Lsm::Active(list("lockdown,capability,landlock,yama,apparmor"));
    let report = judge(Facts { lsm, distribution: list("ubuntu,debian"), ..good() });
    assert_eq!(report.backend, Backend::FmodRet);
    assert_eq!(report.full_enforcement, Enforcement::Possible);
    insta::assert_snapshot!(text(&report));
}

#[test]
fn a_kernel_that_refuses_lsm_and_fentry_can_only_trace() {
    let mut facts = good();
    facts.probes.lsm = Probe::Refused("EPERM".to_owned());
    facts.probes.trampoline = Probe::Refused("EPERM".to_owned());
    facts.lsm = Lsm::Unknown;
    facts.cgroups = Cgroups::Hybrid(PathBuf::from("/sys/fs/cgroup/unified"));
    facts.systemd = false;
    let report = judge(facts);
    assert_eq!(report.backend, Backend::Tracing);
    assert_eq!(report.full_enforcement, Enforcement::NotPossible);
    insta::assert_snapshot!(text(&report));
}

#[test]
fn an_old_kernel_gets_nothing() {
    let report = judge(Facts { kernel: Kernel::parse("5.10.0-30-amd64"), ..good() });
    assert_eq!(report.backend, Backend::None);
    assert_eq!(state(&report, "kernel"), State::Fail);
    assert_eq!(report.not_enforceable, ["everything"]);
}

#[test]
fn before_6_2_recursion_is_a_warning() {
    let report = judge(Facts { kernel: Kernel::parse("6.1.0-18-amd64"), ..good() });
    assert_eq!(report.full_enforcement, Enforcement::Possible);
    assert_eq!(state(&report, "kernel"), State::Warn);
}

#[test]
fn without_root_nothing_is_proven() {
    let report = judge(Facts { root: false, probes: Probes::untried("only root may"), ..good() });
    assert_eq!(report.backend, Backend::Lsm);
    assert_eq!(report.full_enforcement, Enforcement::Unproven);
    assert_eq!(state(&report, "LSM programs"), State::Unknown);
}

#[test]
fn only_cgroup_version_1_is_not_enough() {
    let report = judge(Facts { cgroups: Cgroups::Legacy, ..good() });
    assert_eq!((report.backend, state(&report, "cgroups")), (Backend::None, State::Fail));
}

#[test]
fn lockdown_confidentiality_rules_bpf_out() {
    let report = judge(Facts { lockdown: Some("confidentiality".to_owned()), ..good() });
    assert_eq!(report.backend, Backend::None);
}

#[test]
fn every_finding_that_is_not_ok_says_what_to_change() {
    let bad = Facts {
        btf: false,
        lsm: Lsm::Unknown,
        config: None,
        cgroups: Cgroups::Absent,
        bpffs: None,
        jit: Some(0),
        unprivileged_bpf_disabled: Some(0),
        probes: Probes::untried("only root may"),
        ..good()
    };
    for finding in judge(bad).findings {
        assert_eq!(finding.change.is_some(), finding.state != State::Ok, "{}", finding.check);
    }
}

#[test]
fn a_red_hat_is_told_grubby() {
    let lsm = Lsm::Active(list("capability,selinux"));
    let report = judge(Facts { lsm, distribution: list("rhel,fedora"), ..good() });
    let change =
        report.findings.iter().find(|finding| finding.check == "lsm= list").and_then(|f| f.change.clone());
    assert_eq!(change.as_deref(), Some("grubby --update-kernel=ALL --args=\"lsm=selinux,bpf\", then reboot"));
}

#[test]
fn without_the_list_a_working_trampoline_is_proof_enough() {
    let report = judge(Facts { lsm: Lsm::Unknown, ..good() });
    assert_eq!((report.backend, report.full_enforcement), (Backend::Lsm, Enforcement::Possible));
    let mut facts = Facts { lsm: Lsm::Unknown, ..good() };
    facts.probes.trampoline = Probe::Unsupported;
    assert_eq!(judge(facts).full_enforcement, Enforcement::Unproven);
}
