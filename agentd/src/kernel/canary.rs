//! Proves that the kernel path denies: a child in a governed cgroup of its own tries what its rules deny.
//!
//! Nothing here is a constant: the child really asks the kernel, and the kernel's own counter of canary denials
//! must move with its answer.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use agentguard_core::lower;
use agentguard_core::operation::{AddressOp, PathOp};
use agentguard_core::rule::{Defaults, Network, Ports, Protocol, Rule, Ruleset, Scope, Source};
use agentguard_core::tables::Tables;
use agentguard_core::verdict::{Layer, Verdict};
use nix::libc;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use super::{Backend, KernelError};

/// An address for documentation: nothing is ever sent, connecting a datagram socket only asks.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PORT: u16 = 9;

const DENIED: i32 = 0;
const NOT_DENIED: i32 = 1;
const COULD_NOT_TRY: i32 = 2;

/// The canary's cgroup and file.
pub(super) struct Canary {
    cgroup: PathBuf,
    file: PathBuf,
}

impl Canary {
    /// Makes the cgroup and the file.
    pub(super) fn prepare(cgroups: &Path, run_dir: &Path) -> Result<Self, KernelError> {
        let canary = Self { cgroup: cgroups.join("agentguard/canary"), file: run_dir.join("canary") };
        fs::create_dir_all(&canary.cgroup).map_err(|source| system(&canary.cgroup, source))?;
        fs::create_dir_all(run_dir).map_err(|source| system(run_dir, source))?;
        fs::write(&canary.file, "agentd denies this file to its own canary\n")
            .map_err(|source| system(&canary.file, source))?;
        Ok(canary)
    }

    /// Its cgroup.
    pub(super) fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// Rules that deny the file and the address and nothing else.
    pub(super) fn tables(&self) -> Result<Tables, KernelError> {
        let scopes = [
            Scope::Path { ops: vec![PathOp::Read], pattern: self.file.display().to_string(), sha256: None },
            Scope::Address {
                op: AddressOp::Connect,
                network: Network { address: IpAddr::V4(ADDRESS), bits: 32 },
                ports: Ports { protocol: Protocol::Any, ranges: Vec::new() },
            },
        ];
        let rule = |scope| Rule {
            id: "canary".to_owned(),
            layer: Layer::Guardrail,
            verdict: Verdict::Deny,
            scope,
            severity: None,
            reason: "agentd's own probe".to_owned(),
            source: Source { file: PathBuf::from("agentd"), line: 1 },
        };
        let allow = Verdict::Allow;
        let defaults = Defaults { files: allow, exec: allow, network: allow, unix: allow, process: allow };
        lower(&Ruleset { rules: scopes.into_iter().map(rule).collect(), defaults })
            .map_err(|error| KernelError::Unsupported(format!("the canary's rules: {error}")))
    }

    /// True if the kernel denied what it must.
    pub(super) fn try_it(&self, backend: Backend) -> Result<bool, KernelError> {
        let procs = self.cgroup.join("cgroup.procs");
        let procs = OpenOptions::new().write(true).open(&procs).map_err(|source| system(&procs, source))?;
        let path = CString::new(self.file.as_os_str().as_bytes())
            .map_err(|_| KernelError::Unsupported("the canary's path holds a NUL".to_owned()))?;
        // SAFETY: the child only makes system calls on what was prepared before the fork, and ends by _exit.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                let status = probe(procs.as_raw_fd(), &path, backend);
                // SAFETY: ends the child without running anything of the parent's.
                unsafe { libc::_exit(status) }
            }
            Ok(ForkResult::Parent { child }) => match waitpid(child, None) {
                Ok(WaitStatus::Exited(_, DENIED)) => Ok(true),
                Ok(WaitStatus::Exited(_, NOT_DENIED)) => Ok(false),
                other => Err(KernelError::Missing(format!("the canary could not try: {other:?}"))),
            },
            Err(error) => {
                Err(KernelError::System { what: "forking the canary".to_owned(), source: error.into() })
            }
        }
    }
}

/// Runs in the child: enters the governed cgroup, then tries.
fn probe(procs: i32, path: &CString, backend: Backend) -> i32 {
    // SAFETY: writes a constant to an open descriptor.
    if unsafe { libc::write(procs, b"0".as_ptr().cast(), 1) } != 1 {
        return COULD_NOT_TRY;
    }
    let result = match backend {
        // SAFETY: the path ends with NUL.
        Backend::Lsm | Backend::FmodRet => unsafe { libc::open(path.as_ptr(), libc::O_RDONLY) },
        Backend::Tracing => connect(),
    };
    match (result, nix::errno::Errno::last()) {
        (-1, nix::errno::Errno::EPERM) => DENIED,
        (-1, _) => COULD_NOT_TRY,
        _ => NOT_DENIED,
    }
}

fn connect() -> i32 {
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: PORT.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(ADDRESS).to_be() },
        sin_zero: [0; 8],
    };
    // SAFETY: plain system calls; the address outlives the call.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
        libc::connect(socket, std::ptr::from_ref(&address).cast(), size_of::<libc::sockaddr_in>() as u32)
    }
}

fn system(path: &Path, source: std::io::Error) -> KernelError {
    KernelError::System { what: format!("preparing the canary's {}", path.display()), source }
}
