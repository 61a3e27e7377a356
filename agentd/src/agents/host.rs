//! Facts about this host, as policy sees them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use agentguard_policy::{HostFacts, Interface};
use nix::ifaddrs::getifaddrs;
use nix::sys::utsname::uname;

use crate::kernel::Backend;

/// Where container runtimes listen: who reaches one is root.
const RUNTIME_SOCKETS: [&str; 8] = [
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/podman/podman.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/buildkit/buildkitd.sock",
    "/run/dockershim.sock",
    "/run/cri-dockerd.sock",
];

/// As in resolv.conf(5): more are not used.
const MAX_NAMESERVERS: usize = 3;

/// Everything that can be told; what can not be told is empty.
pub fn facts(backend: Backend) -> HostFacts {
    HostFacts {
        hostname: nix::unistd::gethostname()
            .map_or_else(|_| String::new(), |name| name.to_string_lossy().into_owned()),
        kernel: kernel_release(),
        backend: match backend {
            Backend::Lsm => "lsm",
            Backend::FmodRet => "fmod-ret",
            Backend::Tracing => "tracing",
        }
        .to_owned(),
        runtime_sockets: RUNTIME_SOCKETS
            .iter()
            .filter(|path| Path::new(path).exists())
            .map(|path| (*path).to_owned())
            .collect(),
        nameservers: nameservers(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default()),
        interfaces: interfaces(),
    }
}

/// Kernel release.
pub fn kernel_release() -> String {
    uname().map_or_else(|_| String::new(), |names| names.release().to_string_lossy().into_owned())
}

/// Names this boot of the host; empty if that can not be told.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

fn nameservers(text: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|rest| rest.trim().split('%').next()?.parse().ok())
        .take(MAX_NAMESERVERS)
        .collect()
}

fn interfaces() -> Vec<Interface> {
    let mut found: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for interface in getifaddrs().into_iter().flatten() {
        let addresses = found.entry(interface.interface_name).or_default();
        if let Some(address) = interface.address {
            addresses.extend(address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip())));
            addresses.extend(address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())));
        }
    }
    found.into_iter().map(|(name, addresses)| Interface { name, addresses }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameservers_are_read_as_the_resolver_reads_them() {
        let text =
            "# nameserver 9.9.9.9\nsearch x\nnameserver 10.0.0.2\nnameserver\tfe80::1%eth0\nnameserver x\n";
        assert_eq!(nameservers(text), ["10.0.0.2".parse::<IpAddr>().unwrap(), "fe80::1".parse().unwrap()]);
    }

    #[test]
    fn this_host_has_a_loopback_and_a_kernel() {
        let facts = facts(Backend::Lsm);
        assert!(facts.interfaces.iter().any(|interface| interface.name == "lo"));
        assert!(!facts.kernel.is_empty());
    }
}
