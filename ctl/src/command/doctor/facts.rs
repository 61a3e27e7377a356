//! What this machine is: read from files below a root directory, so that tests bring their own machine.
//!
//! Facts are never judged here. What cannot be read is said so, with the reason, and is no error.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit};
use serde::Serialize;

use super::probe::Probes;

/// Options of the kernel build that matter here.
const CONFIG_OPTIONS: [&str; 9] = [
    "CONFIG_BPF_SYSCALL",
    "CONFIG_BPF_JIT",
    "CONFIG_BPF_LSM",
    "CONFIG_CGROUP_BPF",
    "CONFIG_DEBUG_INFO_BTF",
    "CONFIG_BPF_EVENTS",
    "CONFIG_SECURITY_PATH",
    "CONFIG_SECURITY_NETWORK",
    "CONFIG_LSM",
];

/// A kernel build configuration is about 300 KB; anything far above is not one.
const CONFIG_MAX_BYTES: u64 = 8 << 20;

/// A release such as `6.1.0-18-amd64`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Kernel {
    pub(super) release: String,
    pub(super) major: u32,
    pub(super) minor: u32,
}

impl Kernel {
    /// Reads the two leading numbers; a release without them counts as 0.0, which nothing supports.
    pub(super) fn parse(release: &str) -> Self {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        let major = numbers.next().unwrap_or(0);
        let minor = numbers.next().unwrap_or(0);
        Self { release: release.trim().to_owned(), major, minor }
    }

    pub(super) fn before(&self, major: u32, minor: u32) -> bool {
        (self.major, self.minor) < (major, minor)
    }
}

/// The active security modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Lsm {
    /// As the kernel says.
    Active(Vec<String>),
    /// securityfs is not mounted; this is what the command line or the build asks for.
    Guessed { modules: Vec<String>, from: &'static str },
    /// Nothing is known.
    Unknown,
}

impl Lsm {
    pub(super) fn modules(&self) -> &[String] {
        match self {
            Self::Active(modules) | Self::Guessed { modules, .. } => modules,
            Self::Unknown => &[],
        }
    }

    /// Whether nothing says that it is not there.
    pub(super) fn may_have_bpf(&self) -> bool {
        self.has_bpf() || *self == Self::Unknown
    }

    pub(super) fn has_bpf(&self) -> bool {
        self.modules().iter().any(|module| module == "bpf")
    }
}

/// How cgroups are mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "layout", content = "mount")]
pub(super) enum Cgroups {
    /// Only version 2.
    Unified(PathBuf),
    /// Version 1 controllers with the version 2 tree beside them.
    Hybrid(PathBuf),
    /// Only version 1.
    Legacy,
    /// None.
    Absent,
}

/// Everything that doctor looks at.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Facts {
    pub(super) kernel: Kernel,
    pub(super) distribution: Vec<String>,
    pub(super) root: bool,
    pub(super) btf: bool,
    pub(super) lsm: Lsm,
    /// Options of the kernel build; absent if the build's configuration is not to be found.
    pub(super) config: Option<BTreeMap<String, String>>,
    pub(super) cgroups: Cgroups,
    pub(super) bpffs: Option<PathBuf>,
    pub(super) unprivileged_bpf_disabled: Option<u8>,
    pub(super) lockdown: Option<String>,
    pub(super) systemd: bool,
    pub(super) jit: Option<u8>,
    /// Bytes; absent if unlimited.
    pub(super) memlock_bytes: Option<u64>,
    pub(super) probes: Probes,
}

impl Facts {
    /// Looks at the machine whose files are below `root`; `release` as uname says it.
    pub(super) fn gather(root: &Path, release: &str, is_root: bool, probes: Probes) -> Self {
        let kernel = Kernel::parse(release);
        let config = config(root, &kernel.release);
        let mounts = mounts(root);
        let memlock = getrlimit(Resource::RLIMIT_MEMLOCK).map_or(0, |(soft, _)| soft);
        Self {
            lsm: lsm(root, config.as_ref()),
            distribution: distribution(root),
            root: is_root,
            btf: root.join("sys/kernel/btf/vmlinux").exists(),
            config,
            cgroups: cgroups(&mounts),
            bpffs: mounts.iter().find(|mount| mount.kind == "bpf").map(|mount| mount.at.clone()),
            unprivileged_bpf_disabled: number(root, "proc/sys/kernel/unprivileged_bpf_disabled"),
            lockdown: lockdown(root),
            systemd: root.join("run/systemd/system").is_dir(),
            jit: number(root, "proc/sys/net/core/bpf_jit_enable"),
            memlock_bytes: (memlock != nix::libc::RLIM_INFINITY).then_some(memlock),
            kernel,
            probes,
        }
    }

    /// Whether the build has `option`: yes, no, or not known.
    pub(super) fn configured(&self, option: &str) -> Option<bool> {
        self.config.as_ref().map(|config| config.get(option).is_some_and(|value| value == "y"))
    }
}

struct Mount {
    at: PathBuf,
    kind: String,
}

fn text(root: &Path, path: &str) -> Option<String> {
    fs::read_to_string(root.join(path)).ok()
}

fn number(root: &Path, path: &str) -> Option<u8> {
    text(root, path)?.trim().parse().ok()
}

/// From `proc/self/mounts`: device, place, kind, … with spaces in names written as `\040`.
fn mounts(root: &Path) -> Vec<Mount> {
    let text = text(root, "proc/self/mounts").unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let at = fields.next()?.replace("\\040", " ");
            Some(Mount { at: PathBuf::from(at), kind: fields.next()?.to_owned() })
        })
        .collect()
}

fn cgroups(mounts: &[Mount]) -> Cgroups {
    let unified = mounts.iter().find(|mount| mount.kind == "cgroup2").map(|mount| mount.at.clone());
    let legacy = mounts.iter().any(|mount| mount.kind == "cgroup");
    match (unified, legacy) {
        (Some(at), false) => Cgroups::Unified(at),
        (Some(at), true) => Cgroups::Hybrid(at),
        (None, true) => Cgroups::Legacy,
        (None, false) => Cgroups::Absent,
    }
}

fn lsm(root: &Path, config: Option<&BTreeMap<String, String>>) -> Lsm {
    let split = |list: &str| list.trim().split(',').map(str::to_owned).collect::<Vec<_>>();
    if let Some(list) = text(root, "sys/kernel/security/lsm") {
        return Lsm::Active(split(&list));
    }
    let command_line = text(root, "proc/cmdline").unwrap_or_default();
    // As in the kernel, the last lsm= wins.
    if let Some(list) =
        command_line.split_whitespace().filter_map(|word| word.strip_prefix("lsm=")).next_back()
    {
        return Lsm::Guessed { modules: split(list), from: "the kernel command line" };
    }
    match config.and_then(|config| config.get("CONFIG_LSM")) {
        Some(list) => Lsm::Guessed { modules: split(list), from: "CONFIG_LSM of the kernel build" },
        None => Lsm::Unknown,
    }
}

/// `none [integrity] confidentiality`: the one in brackets.
fn lockdown(root: &Path) -> Option<String> {
    let modes = text(root, "sys/kernel/security/lockdown")?;
    let (_, rest) = modes.split_once('[')?;
    rest.split_once(']').map(|(mode, _)| mode.to_owned())
}

/// `ID` and `ID_LIKE` of os-release, the nearest first.
fn distribution(root: &Path) -> Vec<String> {
    let text = text(root, "etc/os-release").or_else(|| text(root, "usr/lib/os-release")).unwrap_or_default();
    let value =
        |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("").trim_matches('"');
    [value("ID="), value("ID_LIKE=")]
        .iter()
        .flat_map(|ids| ids.split_whitespace())
        .map(str::to_owned)
        .collect()
}

fn config(root: &Path, release: &str) -> Option<BTreeMap<String, String>> {
    let mut text = String::new();
    if let Ok(packed) = File::open(root.join("proc/config.gz")) {
        flate2::read::GzDecoder::new(packed).take(CONFIG_MAX_BYTES).read_to_string(&mut text).ok()?;
    } else {
        let plain = [format!("boot/config-{release}"), format!("usr/lib/modules/{release}/config")];
        let file = plain.iter().find_map(|path| File::open(root.join(path)).ok())?;
        file.take(CONFIG_MAX_BYTES).read_to_string(&mut text).ok()?;
    }
    Some(parse_config(&text))
}

fn parse_config(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| CONFIG_OPTIONS.contains(name))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    fn gather(files: &[(&str, &str)]) -> Facts {
        let root = machine(files);
        Facts::gather(root.path(), "6.1.0-18-amd64", false, Probes::untried("in a test"))
    }

    #[test]
    fn reads_the_version_out_of_a_release() {
        let kernel = Kernel::parse("6.12.3-rc1+deb13");
        assert_eq!((kernel.major, kernel.minor), (6, 12));
        assert!(kernel.before(6, 13) && !kernel.before(6, 12));
        assert!(Kernel::parse("custom").before(1, 0));
    }

    #[test]
    fn takes_the_active_modules_from_securityfs() {
        let facts =
            gather(&[("sys/kernel/security/lsm", "lockdown,capability,bpf\n"), ("proc/cmdline", "lsm=yama")]);
        assert_eq!(facts.lsm, Lsm::Active(vec!["lockdown".into(), "capability".into(), "bpf".into()]));
        assert!(facts.lsm.has_bpf());
    }

    #[test]
    fn without_securityfs_the_last_lsm_of_the_command_line_counts() {
        let facts = gather(&[("proc/cmdline", "quiet lsm=bpf lsm=yama,apparmor\n")]);
        assert_eq!(facts.lsm.modules(), ["yama", "apparmor"]);
        assert!(!facts.lsm.has_bpf());
    }

    #[test]
    fn without_securityfs_and_command_line_the_build_counts() {
        let config = "# comment\nCONFIG_LSM=\"landlock,lockdown,yama,bpf\"\nCONFIG_BPF_LSM=y\n# CONFIG_CGROUP_BPF is not set\n";
        let facts = gather(&[("boot/config-6.1.0-18-amd64", config)]);
        assert!(facts.lsm.has_bpf());
        assert_eq!(facts.configured("CONFIG_BPF_LSM"), Some(true));
        assert_eq!(facts.configured("CONFIG_CGROUP_BPF"), Some(false));
    }

    #[test]
    fn tells_the_three_layouts_of_cgroups_apart() {
        let v2 = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let v1 = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n";
        let hybrid = format!("{v1}{v2}");
        let at = PathBuf::from("/sys/fs/cgroup/unified");
        assert_eq!(gather(&[("proc/self/mounts", v2)]).cgroups, Cgroups::Unified(at.clone()));
        assert_eq!(gather(&[("proc/self/mounts", &hybrid)]).cgroups, Cgroups::Hybrid(at));
        assert_eq!(gather(&[("proc/self/mounts", v1)]).cgroups, Cgroups::Legacy);
        assert_eq!(gather(&[]).cgroups, Cgroups::Absent);
    }

    #[test]
    fn reads_the_lockdown_mode_in_brackets() {
        let facts = gather(&[("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")]);
        assert_eq!(facts.lockdown.as_deref(), Some("integrity"));
    }

    #[test]
    fn names_the_distribution_and_its_parents() {
        let facts = gather(&[("etc/os-release", "NAME=x\nID=ubuntu\nID_LIKE=\"debian\"\n")]);
        assert_eq!(facts.distribution, ["ubuntu", "debian"]);
    }

    #[test]
    fn an_empty_machine_is_no_error() {
        let facts = gather(&[]);
        assert_eq!(facts.lsm, Lsm::Unknown);
        assert!(facts.config.is_none() && !facts.btf && !facts.systemd && facts.bpffs.is_none());
    }
}
