//! Which programs a back end loads, and where each is attached: one set of programs for three back ends.
//!
//! The sections of the object name LSM hooks. For `fmod_ret` the same programs are attached to the `security_*`
//! functions that call the hooks; what a kernel does not have is left out and named.

use std::collections::HashMap;

use libbpf_rs::btf::types::{Func, FuncProto};
use libbpf_rs::btf::{Btf, ReferencesType as _};
use libbpf_rs::{OpenObject, OpenProgramMut, ProgramAttachType, ProgramType};

use super::{Backend, KernelError};

/// LSM hooks whose `security_*` function has another name.
const OTHER_NAMES: [(&str, &str); 2] =
    [("bprm_check_security", "security_bprm_check"), ("userns_create", "security_create_user_ns")];

/// Hooks that only watch: their functions return nothing, or their helpers are not allowed in `fmod_ret`.
const WATCHING: [&str; 2] = ["socket_post_create", "bprm_committing_creds"];

/// Hooks that the other back end has a better place for.
const FMOD_RET_ONLY: [&str; 1] = ["bprm_committing_creds"];

/// Parameters that a program counts on, where kernels differ: (program, parameters of the hook).
const PARAMETERS: [(&str, usize); 6] = [
    ("on_inode_setattr", 2),
    ("on_inode_setattr_idmap", 3),
    ("after_readv", 5),
    ("after_writev", 5),
    ("after_copy", 6),
    ("after_splice", 6),
];

/// Programs whose absence costs nothing but a byte count or a variant that another program covers.
const OPTIONAL: [&str; 10] = [
    "on_inode_setattr",
    "on_inode_setattr_idmap",
    "on_file_truncate",
    "on_inode_set_acl",
    "on_inode_remove_acl",
    "on_ioctl_compat",
    "after_readv",
    "after_writev",
    "after_copy",
    "after_splice",
];

/// Kernel variables that the programs read.
const VARIABLES: [&str; 2] = ["rename_lock", "mount_lock"];

/// What is lost where the kernel does not show the addresses of its variables.
const HIDDEN_VARIABLES: &str = "a rename while the path of an object is read can mix two paths, and repeated opens are not folded: \
     /proc/kallsyms does not show rename_lock and mount_lock (it needs CONFIG_KALLSYMS_ALL, CAP_SYSLOG and kernel.kptr_restrict \
     below 2)";

/// The running kernel's functions and how many parameters each has.
pub(super) struct KernelFunctions(HashMap<String, usize>);

impl KernelFunctions {
    /// Reads them from `/sys/kernel/btf/vmlinux`.
    pub(super) fn read() -> Result<Self, KernelError> {
        let btf = Btf::from_vmlinux().map_err(|error| {
            KernelError::Unsupported(format!(
                "/sys/kernel/btf/vmlinux: {error}; AgentGuard needs a kernel built with CONFIG_DEBUG_INFO_BTF"
            ))
        })?;
        let mut functions = HashMap::new();
        for id in 1..btf.len() {
            let Some(function) = btf.type_by_id::<Func<'_>>((id as u32).into()) else { continue };
            let Some(name) = function.name().and_then(|name| name.to_str().map(str::to_owned)) else {
                continue;
            };
            let parameters =
                FuncProto::try_from(function.referenced_type()).map_or(0, |proto| proto.iter().count());
            functions.insert(name, parameters);
        }
        Ok(Self(functions))
    }

    /// Whether the kernel has task storage, without which nothing can be governed (5.11).
    pub(super) fn has_task_storage(&self) -> bool {
        self.0.contains_key("bpf_task_storage_get")
    }

    fn fits(&self, function: &str, program: &str) -> bool {
        let expected = PARAMETERS.iter().find(|(name, _)| *name == program).map(|(_, count)| *count);
        self.0.get(function).is_some_and(|count| expected.is_none_or(|expected| expected == *count))
    }
}

/// Chooses the programs of a back end and where each is attached. Returns a line for each thing that this kernel
/// does not offer.
pub(super) fn choose(object: &mut OpenObject, backend: Backend, kernel: &KernelFunctions) -> Vec<String> {
    let mut missing = Vec::new();
    for mut program in object.progs_mut() {
        let name = program.name().to_string_lossy().into_owned();
        let section = program.section().to_string_lossy().trim_start_matches('?').to_owned();
        let wanted = match section.split_once('/') {
            Some(("lsm", hook)) => choose_hook(&mut program, &name, hook, backend, kernel),
            Some(("fexit", function)) => backend != Backend::Tracing && kernel.fits(function, &name),
            Some(("cgroup", _)) => backend == Backend::Tracing,
            Some(("raw_tp" | "tp_btf", "sys_enter" | "sys_exit")) => backend == Backend::Tracing,
            _ => true,
        };
        program.set_autoload(wanted);
        if !wanted
            && !OPTIONAL.contains(&name.as_str())
            && backend != Backend::Tracing
            && section
                .strip_prefix("lsm/")
                .is_some_and(|hook| backend != Backend::Lsm || !FMOD_RET_ONLY.contains(&hook))
        {
            missing.push(format!("{section}: this kernel has no such hook"));
        }
    }
    if backend != Backend::Tracing && !shows_variables() {
        missing.push(HIDDEN_VARIABLES.to_owned());
    }
    missing
}

/// Whether libbpf finds the addresses of the [`VARIABLES`]; to the unprivileged the kernel shows zeros.
fn shows_variables() -> bool {
    let symbols = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let shown = |wanted: &str| {
        symbols.lines().any(|line| {
            let mut fields = line.split(' ');
            let address = fields.next().is_some_and(|address| address.bytes().any(|digit| digit != b'0'));
            address && fields.nth(1) == Some(wanted)
        })
    };
    VARIABLES.into_iter().all(shown)
}

fn choose_hook(
    program: &mut OpenProgramMut<'_>,
    name: &str,
    hook: &str,
    backend: Backend,
    kernel: &KernelFunctions,
) -> bool {
    match backend {
        Backend::Lsm if FMOD_RET_ONLY.contains(&hook) => false,
        Backend::Lsm => kernel.fits(&format!("bpf_lsm_{hook}"), name),
        Backend::FmodRet => {
            let function = OTHER_NAMES
                .iter()
                .find(|(other, _)| *other == hook)
                .map_or_else(|| format!("security_{hook}"), |(_, function)| (*function).to_owned());
            if !kernel.fits(&function, name) {
                return false;
            }
            let kind = if WATCHING.contains(&hook) {
                ProgramAttachType::TraceFentry
            } else {
                ProgramAttachType::ModifyReturn
            };
            program.set_prog_type(ProgramType::Tracing);
            program.set_attach_type(kind);
            program.set_attach_target(0, Some(function)).is_ok()
        }
        Backend::Tracing => false,
    }
}
