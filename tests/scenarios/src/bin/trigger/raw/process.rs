//! Processes: forks of every kind, exec without a name, other processes' descriptors.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::ptr;

use nix::errno::Errno;
use nix::libc::{self, c_char, c_int, c_long, pid_t};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{c_string, own};
use crate::outcome::{Failure, Outcome, Step};

/// CLONE_INTO_CGROUP, which does not fit the type that the C library's crate gives it.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// How a child is made.
#[derive(Debug, Default)]
pub(crate) struct Spawn<'a> {
    /// CLONE_* flags, none of them sharing memory.
    pub(crate) flags: u64,
    /// Born in this cgroup.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
}

/// fork or clone3; 0 in the child.
fn spawn(how: &Spawn<'_>) -> Result<pid_t, Errno> {
    if how.flags == 0 && how.cgroup.is_none() {
        // SAFETY: the callers are single-threaded, or the child only calls async-signal-safe functions and exec.
        return Errno::result(unsafe { libc::fork() });
    }
    // SAFETY: clone_args is plain numbers, for which zero is a value.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = how.flags;
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = how.cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM and without a stack this is fork; the size is that of the arguments.
    let child = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of_val(&arguments)) };
    pid_t::try_from(Errno::result(child)?).map_err(|_| Errno::ERANGE)
}

/// Runs `work` in a child and gives back its outcome. If `work` execs a program, success is that program's exit 0.
pub(crate) fn in_child(how: &Spawn<'_>, work: impl FnOnce() -> Outcome) -> Outcome {
    let (mut reader, writer) = std::io::pipe().step("pipe")?;
    if spawn(how).step("clone")? == 0 {
        drop(reader);
        let outcome = work();
        let text = match &outcome {
            Ok(()) => "ok".to_owned(),
            Err(Failure::Step { step, errno }) => format!("step\n{step}\n{}", *errno as i32),
            Err(Failure::Missing { what, errno }) => format!("missing\n{what}\n{}", *errno as i32),
            Err(Failure::Broken(why)) => format!("broken\n{why}\n0"),
        };
        let told = (&writer).write_all(text.as_bytes());
        std::process::exit(i32::from(told.is_err()));
    }
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).step("read from child")?;
    // Any child: with CLONE_NEWPID or CLONE_PARENT the number need not be known here.
    let status = waitpid(None::<Pid>, None).step("waitpid")?;
    outcome_of_child(&text, status)
}

fn outcome_of_child(text: &str, status: WaitStatus) -> Outcome {
    let mut lines = text.lines();
    let kind = lines.next().unwrap_or("");
    let name = lines.next().unwrap_or("").to_owned();
    let errno = Errno::from_raw(lines.next().and_then(|number| number.parse().ok()).unwrap_or(0));
    match (kind, status) {
        ("ok", _) | ("", WaitStatus::Exited(_, 0)) => Ok(()),
        ("step", _) => Err(Failure::Step { step: name, errno }),
        ("missing", _) => Err(Failure::Missing { what: name, errno }),
        ("broken", _) => Err(Failure::Broken(name)),
        (_, status) => Err(Failure::Broken(format!("the child ended: {status:?}"))),
    }
}

/// Two forks and a new session: the grandchild is an orphan when it works.
pub(crate) fn in_orphan(work: impl FnOnce() -> Outcome) -> Outcome {
    let (mut reader, writer) = std::io::pipe().step("pipe")?;
    let child = spawn(&Spawn::default()).step("fork")?;
    if child == 0 {
        drop(reader);
        let session = nix::unistd::setsid().step("setsid").map(drop);
        if matches!(spawn(&Spawn::default()), Ok(0)) {
            wait_until_orphan();
            let text = match session.and_then(|()| work()) {
                Ok(()) => "ok".to_owned(),
                Err(Failure::Step { step, errno }) => format!("step\n{step}\n{}", errno as i32),
                Err(other) => format!("broken\n{other:?}\n0"),
            };
            let told = (&writer).write_all(text.as_bytes());
            std::process::exit(i32::from(told.is_err()));
        }
        std::process::exit(0);
    }
    drop(writer);
    let status = waitpid(Pid::from_raw(child), None).step("waitpid")?;
    let mut text = String::new();
    reader.read_to_string(&mut text).step("read from grandchild")?;
    if text.is_empty() {
        return Err(Failure::Broken("the grandchild said nothing".to_owned()));
    }
    outcome_of_child(&text, status)
}

/// The middle process has nothing left to do but exit, so this ends.
fn wait_until_orphan() {
    let middle = nix::unistd::getppid();
    while nix::unistd::getppid() == middle && middle != Pid::from_raw(1) {
        std::thread::yield_now();
    }
}

/// execveat of a descriptor, or of a path relative to nothing. Returns only on failure.
pub(crate) fn exec(descriptor: Option<BorrowedFd<'_>>, path: &Path, argv: &[OsString]) -> Errno {
    let prepared = c_string(path)
        .and_then(|path| argv.iter().map(c_string).collect::<Result<Vec<_>, _>>().map(|argv| (path, argv)));
    let (path, argv) = match prepared {
        Ok(prepared) => prepared,
        Err(errno) => return errno,
    };
    let pointers: Vec<*const c_char> = argv.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect();
    let (number, flags) = match descriptor {
        Some(fd) => (fd.as_raw_fd(), libc::AT_EMPTY_PATH),
        None => (libc::AT_FDCWD, 0),
    };
    // SAFETY: argv is a null-terminated array of C strings that outlive the call; environ is the C library's.
    unsafe {
        libc::syscall(libc::SYS_execveat, number, path.as_ptr(), pointers.as_ptr(), environment(), flags)
    };
    Errno::last()
}

fn environment() -> *const *const c_char {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: the C library's own variable; this program changes its environment nowhere.
    unsafe { environ }
}

/// pidfd_open.
pub(crate) fn pidfd(pid: pid_t) -> Result<OwnedFd, Errno> {
    // SAFETY: numbers only.
    own(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// pidfd_getfd.
pub(crate) fn take_descriptor(pidfd: BorrowedFd<'_>, number: c_int) -> Result<OwnedFd, Errno> {
    // SAFETY: numbers only.
    own(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) })
}

/// pidfd_send_signal.
pub(crate) fn signal_pidfd(pidfd: BorrowedFd<'_>, signal: c_int) -> Result<(), Errno> {
    let information = ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed and means a plain kill.
    let result =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, information, 0) };
    Errno::result(result).map(drop)
}

/// An ioctl with a null pointer, as 32-bit programs call it: by interrupt 0x80.
pub(crate) fn ioctl32(descriptor: c_int, command: u32) -> Result<(), Errno> {
    const NUMBER: u64 = 54;
    let mut result = NUMBER;
    // SAFETY: the call reads its registers alone. rbx is the compiler's, so it is put back; the kernel may clear r8 to r11.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {descriptor}",
            "int 0x80",
            "xchg rbx, {descriptor}",
            descriptor = inout(reg) descriptor as u64 => _,
            inout("rax") result,
            in("rcx") u64::from(command),
            in("rdx") 0_u64,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    match result as i32 {
        error if error < 0 => Err(Errno::from_raw(-error)),
        _ => Ok(()),
    }
}

/// Kinds of ptrace that take control of another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Trace {
    /// PTRACE_ATTACH.
    Attach,
    /// PTRACE_SEIZE.
    Seize,
}

/// ptrace: takes control of another process. The caller's end gives it back.
pub(crate) fn trace(how: Trace, pid: pid_t) -> Result<(), Errno> {
    let request = match how {
        Trace::Attach => libc::PTRACE_ATTACH,
        Trace::Seize => libc::PTRACE_SEIZE,
    };
    let nothing = ptr::null_mut::<libc::c_void>();
    // SAFETY: both requests ignore the address and take zero options.
    Errno::result(unsafe { libc::ptrace(request, pid, nothing, nothing) }).map(drop)
}

/// process_vm_readv or process_vm_writev of one byte at `address`.
pub(crate) fn touch_memory(pid: pid_t, address: usize, write: bool) -> Result<c_long, Errno> {
    let mut byte = [0_u8; 1];
    let local = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let remote = libc::iovec { iov_base: ptr::without_provenance_mut(address), iov_len: 1 };
    // SAFETY: local points to a live byte; the remote address is only ever used in the other process.
    let result = unsafe {
        if write {
            libc::process_vm_writev(pid, &raw const local, 1, &raw const remote, 1, 0)
        } else {
            libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0)
        }
    };
    Errno::result(result).map(|count| count as c_long)
}

/// prctl PR_SET_MM_EXE_FILE: what /proc/self/exe says.
pub(crate) fn set_exe_file(file: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: numbers only.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_MM, libc::PR_SET_MM_EXE_FILE, file.as_raw_fd(), 0, 0) })
        .map(drop)
}

/// Sets one raw id by the system call itself, for this thread only. -1 leaves an id as it is.
pub(crate) fn set_ids(user: bool, id: u32) -> Result<(), Errno> {
    let call = if user { libc::SYS_setresuid } else { libc::SYS_setresgid };
    // SAFETY: numbers only; the program is single-threaded.
    Errno::result(unsafe { libc::syscall(call, id, id, id) }).map(drop)
}

/// capset: asks for every capability, effective, permitted and inheritable.
pub(crate) fn ask_for_all_capabilities() -> Result<(), Errno> {
    /// _LINUX_CAPABILITY_VERSION_3
    const VERSION: u32 = 0x2008_0522;
    let header = [VERSION, 0];
    let sets = [u32::MAX; 6];
    // SAFETY: the arrays have the layout of the version 3 header and its two data elements.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) }).map(drop)
}

/// setpriority of one process, to a value that needs no privilege.
pub(crate) fn renice(pid: pid_t) -> Result<(), Errno> {
    // SAFETY: numbers only.
    Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, pid.cast_unsigned(), 19) }).map(drop)
}
