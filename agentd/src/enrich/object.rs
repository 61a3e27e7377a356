//! What an event was on, in the words of records.

use agentguard_core::capability;
use agentguard_core::operation::ClassOp;
use agentguard_core::record::Object;

use crate::sense::event::{Exec, File};

const TCP: u16 = 6;
const UDP: u16 = 17;

pub(super) fn file(file: File) -> Object {
    Object::File {
        path: file.path,
        other: file.other,
        inode: file.inode,
        device: device(file.device),
        mode: file.mode,
        flags: file.flags,
    }
}

pub(super) fn exec(exec: Exec) -> Object {
    let Exec { path, cwd, argv, truncated, inode, device: number } = exec;
    Object::Exec { path, cwd, argv, truncated, inode, device: device(number) }
}

fn device(number: u32) -> String {
    format!("{}:{}", number >> 20, number & 0xf_ffff)
}

pub(super) fn protocol(number: u16) -> String {
    match number {
        TCP => "tcp".to_owned(),
        UDP => "udp".to_owned(),
        other => other.to_string(),
    }
}

/// The kernel's arguments, by name. A capability needs none: its number is the operation.
pub(super) fn class(call: &str, class: Option<ClassOp>, arguments: [u32; 5]) -> String {
    let [first, second, third, fourth, _] = arguments;
    match (class, call) {
        (None | Some(ClassOp::UserNamespace | ClassOp::ExecAnonymous | ClassOp::ExecMemfd), _) => {
            String::new()
        }
        (
            Some(
                ClassOp::SocketTcp
                | ClassOp::SocketUdp
                | ClassOp::SocketUnix
                | ClassOp::SocketNetlinkRoute
                | ClassOp::SocketNetlink
                | ClassOp::SocketPing
                | ClassOp::SocketRaw
                | ClassOp::SocketPacket
                | ClassOp::SocketOther,
            ),
            _,
        ) => format!("family={first} type={second} protocol={third}"),
        (Some(_), "ioctl") => format!("ioctl={second:#x}"),
        (Some(_), "setrlimit") => format!("target={first} resource={second}"),
        (Some(ClassOp::Signal), _) => format!("target={first} signal={second}"),
        (Some(ClassOp::Ptrace), _) => format!("target={first} mode={second}"),
        (Some(ClassOp::ExecPrivileged), _) if first == second && third == fourth => "capabilities".to_owned(),
        (Some(ClassOp::ExecPrivileged), _) => format!("uid {first} -> {second}, gid {third} -> {fourth}"),
        (Some(ClassOp::SetId), _) => format!("id {first} -> {second}"),
        (Some(ClassOp::Mount), _) => named(first, &["mount", "umount", "move_mount", "pivot_root", "chroot"]),
        (Some(ClassOp::IoUring), _) => named(first, &["sqpoll", "override_creds"]),
        (Some(ClassOp::Kernel), "bpf") => format!("command={first}"),
        // The kernel's enum kernel_read_file_id, which tells modules from kexec images; 0 for a request to load one.
        (Some(ClassOp::Kernel), "module") if first != 0 => format!("kernel_read_file_id={first}"),
        (Some(ClassOp::Kernel | ClassOp::ReceiveFd), _) => String::new(),
    }
}

fn named(number: u32, names: &[&str]) -> String {
    usize::try_from(number)
        .ok()
        .and_then(|position| names.get(position))
        .map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

pub(super) fn credentials(
    old: (u32, u32),
    new: (u32, u32),
    old_capabilities: u64,
    new_capabilities: u64,
) -> String {
    let mut parts = Vec::new();
    if old.0 != new.0 {
        parts.push(format!("uid {} -> {}", old.0, new.0));
    }
    if old.1 != new.1 {
        parts.push(format!("gid {} -> {}", old.1, new.1));
    }
    if old_capabilities != new_capabilities {
        let gained = names(new_capabilities & !old_capabilities);
        let dropped = names(old_capabilities & !new_capabilities);
        parts.extend(gained.into_iter().map(|name| format!("+{name}")));
        parts.extend(dropped.into_iter().map(|name| format!("-{name}")));
    }
    parts.join(", ")
}

fn names(set: u64) -> Vec<&'static str> {
    capability::NAMES
        .iter()
        .enumerate()
        .filter(|(number, _)| set >> number & 1 == 1)
        .map(|(_, name)| *name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_name_only_what_changed() {
        assert_eq!(credentials((1000, 1000), (0, 1000), 0, 0), "uid 1000 -> 0");
        assert_eq!(credentials((0, 0), (0, 0), 0b11, 0b101), "+cap_dac_read_search, -cap_dac_override");
        assert_eq!(credentials((1, 1), (1, 1), 7, 7), "");
    }

    #[test]
    fn arguments_have_names() {
        assert_eq!(class("signal", Some(ClassOp::Signal), [1, 9, 0, 0, 0]), "target=1 signal=9");
        assert_eq!(class("socket", Some(ClassOp::SocketRaw), [2, 3, 1, 0, 0]), "family=2 type=3 protocol=1");
        assert_eq!(class("ioctl", Some(ClassOp::Ptrace), [0, 0x5412, 0, 0, 0]), "ioctl=0x5412");
        assert_eq!(class("mount", Some(ClassOp::Mount), [3, 0, 0, 0, 0]), "pivot_root");
        assert_eq!(class("exec", Some(ClassOp::ExecPrivileged), [7, 0, 7, 7, 0]), "uid 7 -> 0, gid 7 -> 7");
    }
}
