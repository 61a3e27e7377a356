//! The only unsafe code of this program: system calls that no crate wraps safely, or whose wrapper would not let the
//! odd case through. Every function here is safe to call: it owns or borrows what the kernel gets a pointer to.
#![allow(unsafe_code)]

mod file;
mod memory;
mod process;
mod socket;
mod uring;

pub(crate) use file::*;
pub(crate) use memory::{Mapping, poke_own_constant, read_own_constant};
pub(crate) use process::*;
pub(crate) use socket::*;
pub(crate) use uring::{Request, Ring};

use std::ffi::{CString, OsStr};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::libc::{self, c_int, c_long};

/// A C string; a name with a NUL in it cannot be said to the kernel.
fn c_string(text: impl AsRef<OsStr>) -> Result<CString, Errno> {
    CString::new(text.as_ref().as_bytes()).map_err(|_| Errno::EINVAL)
}

/// Owns a descriptor that a system call has just returned.
fn own(result: c_long) -> Result<OwnedFd, Errno> {
    let number = Errno::result(result)?;
    let number = c_int::try_from(number).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor for us, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A copy of a descriptor that was inherited under a known number.
pub(crate) fn inherited(number: c_int) -> Result<OwnedFd, Errno> {
    // SAFETY: F_DUPFD_CLOEXEC takes no pointers; a bad number is an error.
    own(c_long::from(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) }))
}
