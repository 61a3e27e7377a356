//! Files: opening in every way, attributes, copies inside the kernel.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::ptr;

use nix::errno::Errno;
use nix::libc::{self, c_int, c_long};

use super::{c_string, own};

/// Bytes of a file handle, at most.
const HANDLE_BYTES: usize = 128;

fn at(directory: Option<BorrowedFd<'_>>) -> c_int {
    directory.map_or(libc::AT_FDCWD, |fd| fd.as_raw_fd())
}

/// openat, without the O_LARGEFILE and EINTR handling of a library.
pub(crate) fn openat(
    directory: Option<BorrowedFd<'_>>,
    path: &Path,
    flags: c_int,
    mode: u32,
) -> Result<OwnedFd, Errno> {
    let path = c_string(path)?;
    // SAFETY: the path is a C string that lives through the call.
    own(unsafe {
        libc::syscall(libc::SYS_openat, at(directory), path.as_ptr(), flags | libc::O_CLOEXEC, mode)
    })
}

/// openat2 with `resolve` flags.
pub(crate) fn openat2(
    directory: Option<BorrowedFd<'_>>,
    path: &Path,
    flags: c_int,
    resolve: u64,
) -> Result<OwnedFd, Errno> {
    let path = c_string(path)?;
    // SAFETY: open_how is plain numbers, for which zero is a value.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = u64::from((flags | libc::O_CLOEXEC).cast_unsigned());
    how.mode = if flags & libc::O_CREAT != 0 { 0o600 } else { 0 };
    how.resolve = resolve;
    // SAFETY: path and how live through the call, and the size is that of how.
    own(unsafe {
        libc::syscall(libc::SYS_openat2, at(directory), path.as_ptr(), &raw const how, size_of_val(&how))
    })
}

/// open_tree: a detached copy of a mount when `flags` says OPEN_TREE_CLONE.
pub(crate) fn open_tree(path: &Path, flags: u32) -> Result<OwnedFd, Errno> {
    let path = c_string(path)?;
    // SAFETY: the path is a C string that lives through the call.
    own(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })
}

/// move_mount of what one descriptor names to what another does.
pub(crate) fn move_mount(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    /// MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    const EMPTY_PATHS: u32 = 0x44;
    let empty = c"".as_ptr();
    // SAFETY: both paths are C strings that live for ever.
    let result = unsafe {
        libc::syscall(libc::SYS_move_mount, from.as_raw_fd(), empty, to.as_raw_fd(), empty, EMPTY_PATHS)
    };
    Errno::result(result).map(drop)
}

/// A file handle, which names a file without a path.
#[repr(C, align(8))]
pub(crate) struct Handle {
    bytes: u32,
    kind: c_int,
    data: [u8; HANDLE_BYTES],
}

/// name_to_handle_at.
pub(crate) fn handle_of(path: &Path) -> Result<Handle, Errno> {
    let path = c_string(path)?;
    let mut handle = Handle { bytes: HANDLE_BYTES as u32, kind: 0, data: [0; HANDLE_BYTES] };
    let mut mount: c_int = 0;
    // SAFETY: handle has the layout of struct file_handle followed by as many bytes as its first field says.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            path.as_ptr(),
            &raw mut handle,
            &raw mut mount,
            0,
        )
    })?;
    Ok(handle)
}

/// open_by_handle_at.
pub(crate) fn open_handle(mount: BorrowedFd<'_>, handle: &Handle, flags: c_int) -> Result<OwnedFd, Errno> {
    // SAFETY: handle was filled by handle_of and lives through the call.
    own(unsafe {
        libc::syscall(libc::SYS_open_by_handle_at, mount.as_raw_fd(), ptr::from_ref(handle), flags)
    })
}

/// setxattr.
pub(crate) fn set_attribute(path: &Path, name: &OsStr, value: &[u8]) -> Result<(), Errno> {
    let (path, name) = (c_string(path)?, c_string(name)?);
    // SAFETY: all three live through the call and the length is that of value.
    let result =
        unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(result).map(drop)
}

/// fsetxattr.
pub(crate) fn set_attribute_of(fd: BorrowedFd<'_>, name: &OsStr, value: &[u8]) -> Result<(), Errno> {
    let name = c_string(name)?;
    // SAFETY: both live through the call and the length is that of value.
    let result =
        unsafe { libc::fsetxattr(fd.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(result).map(drop)
}

/// linkat with AT_EMPTY_PATH: gives the file behind a descriptor a name.
pub(crate) fn link_descriptor(fd: BorrowedFd<'_>, new: &Path) -> Result<(), Errno> {
    let new = c_string(new)?;
    // SAFETY: both paths are C strings that live through the call.
    let result = unsafe {
        libc::linkat(fd.as_raw_fd(), c"".as_ptr(), libc::AT_FDCWD, new.as_ptr(), libc::AT_EMPTY_PATH)
    };
    Errno::result(result).map(drop)
}

/// renameat2.
pub(crate) fn rename(old: &Path, new: &Path, flags: u32) -> Result<(), Errno> {
    let (old, new) = (c_string(old)?, c_string(new)?);
    // SAFETY: both paths are C strings that live through the call.
    let result = unsafe {
        libc::syscall(libc::SYS_renameat2, libc::AT_FDCWD, old.as_ptr(), libc::AT_FDCWD, new.as_ptr(), flags)
    };
    Errno::result(result).map(drop)
}

/// fallocate.
pub(crate) fn allocate(fd: BorrowedFd<'_>, mode: c_int, length: i64) -> Result<(), Errno> {
    // SAFETY: numbers only.
    Errno::result(unsafe { libc::fallocate(fd.as_raw_fd(), mode, 0, length) }).map(drop)
}

/// Ways to copy without the bytes passing through user memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Copy {
    /// splice through a pipe.
    Splice,
    /// sendfile.
    Sendfile,
    /// copy_file_range.
    Range,
    /// The FICLONE ioctl (shared extents).
    Clone,
}

/// Copies up to `length` bytes; how many were copied.
pub(crate) fn copy(
    how: Copy,
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    length: usize,
) -> Result<c_long, Errno> {
    let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
    let none = ptr::null_mut::<i64>();
    // SAFETY: null offsets mean "use the file's own"; everything else is numbers.
    Errno::result(unsafe {
        match how {
            Copy::Splice => libc::splice(from, none, to, none, length, 0) as c_long,
            Copy::Sendfile => libc::sendfile(to, from, none, length) as c_long,
            Copy::Range => libc::copy_file_range(from, none, to, none, length, 0) as c_long,
            Copy::Clone => c_long::from(libc::ioctl(to, libc::FICLONE, from)),
        }
    })
}
