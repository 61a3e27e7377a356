//! Memory mappings, and writing this program's own read-only memory.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc::{self, c_int, c_void};

/// One page is enough for every try.
const LENGTH: usize = 4096;

/// A constant in this program's read-only memory.
static CONSTANT: [u8; 16] = *b"read-only memory";

/// One mapped page, unmapped when dropped.
pub(crate) struct Mapping(ptr::NonNull<c_void>);

impl Mapping {
    /// Maps the first page of a file, or anonymous memory.
    pub(crate) fn new(file: Option<BorrowedFd<'_>>, protection: c_int, flags: c_int) -> Result<Self, Errno> {
        let (descriptor, flags) = match file {
            Some(file) => (file.as_raw_fd(), flags),
            None => (-1, flags | libc::MAP_ANONYMOUS),
        };
        // SAFETY: the kernel chooses a free place, so no memory of ours is replaced.
        let start = unsafe { libc::mmap(ptr::null_mut(), LENGTH, protection, flags, descriptor, 0) };
        if start == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        ptr::NonNull::new(start).map(Self).ok_or(Errno::ENOMEM)
    }

    /// mprotect.
    pub(crate) fn protect(&self, protection: c_int) -> Result<(), Errno> {
        // SAFETY: the range is exactly this mapping, to which no Rust reference exists.
        Errno::result(unsafe { libc::mprotect(self.0.as_ptr(), LENGTH, protection) }).map(drop)
    }

    /// Writes one byte at the start. The mapping must be writable and the file not empty, else the process dies.
    pub(crate) fn write(&self, byte: u8) {
        // SAFETY: the first byte is inside the mapping; volatile, because others see this memory too.
        unsafe { self.0.cast::<u8>().write_volatile(byte) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is exactly this mapping, which nobody uses any more. A failure leaves it mapped.
        unsafe { libc::munmap(self.0.as_ptr(), LENGTH) };
    }
}

/// Address of a constant in this program's read-only memory, with what it says now.
pub(crate) fn read_own_constant() -> (usize, [u8; 16]) {
    let place = &raw const CONSTANT;
    // SAFETY: a live static; volatile, because /proc/self/mem may have changed it behind the compiler's back.
    (place.addr(), unsafe { place.read_volatile() })
}

/// Writes the constant through an open /proc/PID/mem.
pub(crate) fn poke_own_constant(memory: BorrowedFd<'_>, text: [u8; 16]) -> Result<(), Errno> {
    let (place, _) = read_own_constant();
    let offset = i64::try_from(place).map_err(|_| Errno::EOVERFLOW)?;
    // SAFETY: the buffer lives through the call; the target is a static of plain bytes, valid with any content.
    Errno::result(unsafe { libc::pwrite(memory.as_raw_fd(), text.as_ptr().cast(), text.len(), offset) })
        .map(drop)
}
