//! What to change, in words that can be typed.

use super::facts::Facts;

/// How to see the list of security modules.
pub(super) const MOUNT_SECURITYFS: &str =
    "mount -t securityfs securityfs /sys/kernel/security, then run doctor again";

/// For what only root may try.
pub(super) const AS_ROOT: &str = "run doctor as root to try it on this kernel";

/// For a kernel whose owner switched this off: no setting on the running system brings it back.
pub(super) const REFUSED_BY_KERNEL: &str = "nothing on this system changes it: use a kernel whose provider allows them, e.g. a distribution's own in a VM";

/// The line for the boot loader, from the modules that are active now.
pub(super) fn add_bpf_to_lsm(facts: &Facts) -> String {
    // "capability" is always first and is not to be named.
    let kept = facts
        .lsm
        .modules()
        .iter()
        .map(String::as_str)
        .filter(|name| !matches!(*name, "capability" | "bpf" | ""));
    let list = kept.chain(["bpf"]).collect::<Vec<_>>().join(",");
    let like = |names: &[&str]| facts.distribution.iter().any(|id| names.contains(&id.as_str()));
    if like(&["rhel", "fedora", "centos", "amzn", "rocky", "almalinux"]) {
        format!("grubby --update-kernel=ALL --args=\"lsm={list}\", then reboot")
    } else if like(&["debian", "ubuntu"]) {
        format!("add lsm={list} to GRUB_CMDLINE_LINUX in /etc/default/grub, run update-grub, then reboot")
    } else {
        format!("add lsm={list} to the kernel command line in the boot loader, then reboot")
    }
}
