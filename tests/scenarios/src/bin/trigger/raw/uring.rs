//! io_uring by its three system calls: a ring, one request, its result.

use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::libc::{self, c_int, c_long};

use super::own;
use crate::address::Address;

const SETUP_SQPOLL: u32 = 1 << 1;
const FEATURE_SINGLE_MMAP: u32 = 1;
const ENTER_GETEVENTS: u32 = 1;
const ENTER_SQ_WAKEUP: u32 = 2;
const OFFSET_SUBMISSIONS: i64 = 0x1000_0000;
/// The request goes to a kernel worker thread.
const REQUEST_ASYNC: u8 = 1 << 4;
/// Entries of the ring; one is used.
const ENTRIES: u32 = 4;

#[repr(C)]
#[derive(Default)]
struct SubmissionOffsets {
    head: u32,
    tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    flags: u32,
    dropped: u32,
    array: u32,
    reserved: [u32; 3],
}

#[repr(C)]
#[derive(Default)]
struct CompletionOffsets {
    head: u32,
    tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    overflow: u32,
    entries: u32,
    flags: u32,
    reserved: [u32; 3],
}

#[repr(C)]
#[derive(Default)]
struct Parameters {
    submission_entries: u32,
    completion_entries: u32,
    flags: u32,
    thread_cpu: u32,
    thread_idle_ms: u32,
    features: u32,
    worker_descriptor: u32,
    reserved: [u32; 3],
    submission: SubmissionOffsets,
    completion: CompletionOffsets,
}

#[repr(C)]
#[derive(Default)]
struct Entry {
    code: u8,
    flags: u8,
    priority: u16,
    descriptor: i32,
    offset: u64,
    address: u64,
    length: u32,
    call_flags: u32,
    user_data: u64,
    rest: [u64; 3],
}

/// One request, owning everything that the kernel reads.
#[derive(Debug)]
pub(crate) enum Request<'a> {
    Open { path: CString, flags: c_int },
    Read { file: BorrowedFd<'a>, length: u32 },
    Write { file: BorrowedFd<'a>, data: Vec<u8> },
    Unlink { path: CString },
    Rename { old: CString, new: CString },
    Link { old: CString, new: CString },
    Mkdir { path: CString },
    Socket { family: c_int, kind: c_int },
    Connect { socket: BorrowedFd<'a>, address: Address },
    Send { socket: BorrowedFd<'a>, data: Vec<u8> },
    SendMessage { socket: BorrowedFd<'a>, data: Vec<u8>, address: Address },
}

/// Memory that the entry points to and that must live until the completion.
#[derive(Default)]
struct Kept {
    buffer: Vec<u8>,
    part: Option<Box<libc::iovec>>,
    message: Option<Box<libc::msghdr>>,
}

fn place<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

impl Request<'_> {
    fn entry(&self, kept: &mut Kept) -> Entry {
        let cwd = libc::AT_FDCWD;
        let here = |code, path: &CString| Entry {
            code,
            descriptor: cwd,
            address: place(path.as_ptr()),
            ..Entry::default()
        };
        let two = |code, old: &CString, new: &CString| Entry {
            offset: place(new.as_ptr()),
            length: cwd.cast_unsigned(),
            ..here(code, old)
        };
        match self {
            Self::Open { path, flags } => {
                Entry { length: 0o600, call_flags: flags.cast_unsigned(), ..here(18, path) }
            }
            Self::Unlink { path } => here(36, path),
            Self::Mkdir { path } => Entry { length: 0o700, ..here(37, path) },
            Self::Rename { old, new } => two(35, old, new),
            Self::Link { old, new } => two(39, old, new),
            Self::Read { file, length } => {
                kept.buffer = vec![0; *length as usize];
                Entry { code: 22, descriptor: file.as_raw_fd(), ..slice(&kept.buffer) }
            }
            Self::Write { file, data } => Entry { code: 23, descriptor: file.as_raw_fd(), ..slice(data) },
            Self::Send { socket, data } => Entry { code: 26, descriptor: socket.as_raw_fd(), ..slice(data) },
            Self::Socket { family, kind } => Entry {
                code: 45,
                descriptor: *family,
                offset: u64::from(kind.cast_unsigned()),
                ..Entry::default()
            },
            Self::Connect { socket, address } => Entry {
                code: 16,
                descriptor: socket.as_raw_fd(),
                address: place(address.bytes().as_ptr()),
                offset: address.bytes().len() as u64,
                ..Entry::default()
            },
            Self::SendMessage { socket, data, address } => message(*socket, data, address, kept),
        }
    }
}

fn slice(data: &[u8]) -> Entry {
    Entry { address: place(data.as_ptr()), length: data.len() as u32, ..Entry::default() }
}

fn message(socket: BorrowedFd<'_>, data: &[u8], address: &Address, kept: &mut Kept) -> Entry {
    let part = kept
        .part
        .insert(Box::new(libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() }));
    // SAFETY: a msghdr of zeros is an empty message.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = address.bytes().as_ptr().cast_mut().cast();
    header.msg_namelen = address.bytes().len() as u32;
    header.msg_iov = &raw mut **part;
    header.msg_iovlen = 1;
    let header = kept.message.insert(Box::new(header));
    Entry {
        code: 9,
        descriptor: socket.as_raw_fd(),
        address: place(&raw const **header),
        length: 1,
        ..Entry::default()
    }
}

/// A ring with its shared memory. It is never unmapped: the process ends after one request.
pub(crate) struct Ring {
    descriptor: OwnedFd,
    parameters: Parameters,
    rings: *mut u8,
    entries: *mut Entry,
}

impl Ring {
    /// io_uring_setup; `polled` asks for a kernel thread that submits by itself.
    pub(crate) fn new(polled: bool) -> Result<Self, Errno> {
        let mut parameters = Parameters { thread_idle_ms: 1000, ..Parameters::default() };
        parameters.flags = if polled { SETUP_SQPOLL } else { 0 };
        // SAFETY: parameters has the layout of struct io_uring_params and lives through the call.
        let descriptor =
            own(unsafe { libc::syscall(libc::SYS_io_uring_setup, ENTRIES, &raw mut parameters) })?;
        if parameters.features & FEATURE_SINGLE_MMAP == 0 {
            return Err(Errno::ENOSYS);
        }
        let submissions = parameters.submission.array as usize + parameters.submission_entries as usize * 4;
        let completions =
            parameters.completion.entries as usize + parameters.completion_entries as usize * 16;
        let rings = map(&descriptor, submissions.max(completions), 0)?;
        let length = parameters.submission_entries as usize * size_of::<Entry>();
        let entries = map(&descriptor, length, OFFSET_SUBMISSIONS)?.cast();
        Ok(Self { descriptor, parameters, rings, entries })
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the kernel gave this offset of an aligned word inside the mapping, which lives as long as self.
        unsafe { AtomicU32::from_ptr(self.rings.add(offset as usize).cast()) }
    }

    /// Submits one request and waits for it; its result as the system call would have returned it.
    pub(crate) fn run(&self, request: &Request<'_>, worker: bool) -> Result<i32, Errno> {
        let mut kept = Kept::default();
        let mut entry = request.entry(&mut kept);
        entry.flags = if worker { REQUEST_ASYNC } else { 0 };
        let submission = &self.parameters.submission;
        let tail = self.word(submission.tail);
        let index = tail.load(Ordering::Acquire) % self.parameters.submission_entries;
        // SAFETY: index is below the number of mapped entries; the kernel reads it after the tail has moved.
        unsafe { self.entries.add(index as usize).write(entry) };
        self.word(submission.array + index * 4).store(index, Ordering::Relaxed);
        tail.fetch_add(1, Ordering::Release);
        let flags = match self.parameters.flags & SETUP_SQPOLL {
            0 => ENTER_GETEVENTS,
            _ => ENTER_GETEVENTS | ENTER_SQ_WAKEUP,
        };
        let (wait, nothing) = (1, ptr::null::<u8>());
        // SAFETY: numbers and a null signal mask.
        let entered: c_long = unsafe {
            libc::syscall(libc::SYS_io_uring_enter, self.descriptor.as_raw_fd(), 1, wait, flags, nothing, 0)
        };
        Errno::result(entered)?;
        let result = self.completion();
        drop(kept);
        if result < 0 { Err(Errno::from_raw(-result)) } else { Ok(result) }
    }

    fn completion(&self) -> i32 {
        let completion = &self.parameters.completion;
        let head = self.word(completion.head);
        while head.load(Ordering::Relaxed) == self.word(completion.tail).load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        let index = head.load(Ordering::Relaxed) % self.parameters.completion_entries;
        // A completion is 8 bytes of user data, then the result.
        let result = self.word(completion.entries + index * 16 + 8).load(Ordering::Acquire).cast_signed();
        head.fetch_add(1, Ordering::Release);
        result
    }
}

fn map(ring: &OwnedFd, length: usize, offset: i64) -> Result<*mut u8, Errno> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
    // SAFETY: the kernel chooses a free place, so no memory of ours is replaced.
    let start = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, ring.as_raw_fd(), offset) };
    if start == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(start.cast()) }
}
