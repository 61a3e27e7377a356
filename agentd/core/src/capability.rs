//! Names and numbers of Linux capabilities, as in linux/capability.h. Knows no process and who holds what.

/// Capability numbers that the kernel's table has room for.
pub const SLOTS: usize = 64;

/// Lower-case names by number.
pub const NAMES: [&str; 41] = [
    "cap_chown",
    "cap_dac_override",
    "cap_dac_read_search",
    "cap_fowner",
    "cap_fsetid",
    "cap_kill",
    "cap_setgid",
    "cap_setuid",
    "cap_setpcap",
    "cap_linux_immutable",
    "cap_net_bind_service",
    "cap_net_broadcast",
    "cap_net_admin",
    "cap_net_raw",
    "cap_ipc_lock",
    "cap_ipc_owner",
    "cap_sys_module",
    "cap_sys_rawio",
    "cap_sys_chroot",
    "cap_sys_ptrace",
    "cap_sys_pacct",
    "cap_sys_admin",
    "cap_sys_boot",
    "cap_sys_nice",
    "cap_sys_resource",
    "cap_sys_time",
    "cap_sys_tty_config",
    "cap_mknod",
    "cap_lease",
    "cap_audit_write",
    "cap_audit_control",
    "cap_setfcap",
    "cap_mac_override",
    "cap_mac_admin",
    "cap_syslog",
    "cap_wake_alarm",
    "cap_block_suspend",
    "cap_audit_read",
    "cap_perfmon",
    "cap_bpf",
    "cap_checkpoint_restore",
];

/// Number of a capability by its name, in either case.
pub fn number(name: &str) -> Option<u8> {
    let position = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name))?;
    u8::try_from(position).ok()
}

/// Name of a capability; `cap_<number>` for one that is newer than this table.
pub fn name(number: u8) -> String {
    match NAMES.get(usize::from(number)) {
        Some(name) => (*name).to_owned(),
        None => format!("cap_{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_kernel_header() {
        for (wanted, name) in
            [(0, "cap_chown"), (12, "cap_net_admin"), (21, "CAP_SYS_ADMIN"), (40, "cap_checkpoint_restore")]
        {
            assert_eq!(number(name), Some(wanted), "{name}");
        }
        assert_eq!(number("cap_everything"), None);
        assert_eq!(name(39), "cap_bpf");
        assert_eq!(name(63), "cap_63");
    }
}
