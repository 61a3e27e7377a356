//! Programs that are started without a name, from odd places, or under a false one.

use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use nix::libc;
use nix::sys::memfd::MFdFlags;

use crate::files;
use crate::options::Program;
use crate::outcome::{Failure, Outcome, Step};
use crate::raw::{self, Spawn};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Copies a program into a memfd and runs it (execveat AT_EMPTY_PATH).
    MemfdExec {
        #[command(flatten)]
        program: Program,
        /// Run it as /proc/self/fd/N instead.
        #[arg(long)]
        proc: bool,
    },
    /// Copies a program into a directory, deletes it and runs what is still open.
    DeletedExec {
        #[arg(long)]
        directory: PathBuf,
        #[command(flatten)]
        program: Program,
    },
    /// Copies a program into an O_TMPFILE file and runs it.
    TmpfileExec {
        #[arg(long)]
        directory: PathBuf,
        #[command(flatten)]
        program: Program,
    },
    /// Opens a program by O_PATH and runs the descriptor.
    PathExec {
        #[command(flatten)]
        program: Program,
    },
    /// execve, with as many bytes of arguments put before the given ones.
    Exec {
        #[command(flatten)]
        program: Program,
        #[arg(long, default_value_t = 0)]
        filler_bytes: usize,
    },
    /// execve from a thread that is not the first.
    ThreadExec {
        #[command(flatten)]
        program: Program,
    },
    /// Takes another name (comm, and with --exe also /proc/self/exe), then reads a file.
    Spoof {
        #[arg(long)]
        name: Option<OsString>,
        #[arg(long)]
        exe: Option<PathBuf>,
        path: Option<PathBuf>,
    },
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::MemfdExec { program, proc } => {
            let file = nix::sys::memfd::memfd_create("program", MFdFlags::empty()).step("memfd_create")?;
            let file = fill(file, &program)?;
            if proc {
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                in_child(None, Path::new(&path), &program.argv())
            } else {
                in_child(Some(&file), Path::new(""), &program.argv())
            }
        }
        Command::DeletedExec { directory, program } => {
            let path = directory.join("deleted-program");
            fs::copy(&program.program, &path).step("copy")?;
            let file = raw::openat(None, &path, libc::O_RDONLY, 0).step("openat")?;
            fs::remove_file(&path).step("unlink")?;
            in_child(Some(&file), Path::new(""), &program.argv())
        }
        Command::TmpfileExec { directory, program } => {
            let flags = libc::O_TMPFILE | libc::O_RDWR;
            let file = raw::openat(None, &directory, flags, 0o700).step("openat O_TMPFILE")?;
            let file = fill(file, &program)?;
            in_child(Some(&file), Path::new(""), &program.argv())
        }
        Command::PathExec { program } => {
            let file = raw::openat(None, &program.program, libc::O_PATH, 0).step("openat O_PATH")?;
            in_child(Some(&file), Path::new(""), &program.argv())
        }
        Command::Exec { program, filler_bytes } => {
            let mut argv = program.argv();
            if filler_bytes > 0 {
                argv.insert(1, OsString::from("x".repeat(filler_bytes)));
            }
            in_child(None, &program.program, &argv)
        }
        Command::ThreadExec { program } => thread_exec(&program),
        Command::Spoof { name, exe, path } => spoof(name, exe, path.as_deref()),
    }
}

/// Copies the program into the file and reopens it for reading only: a file open for writing cannot be run.
fn fill(file: OwnedFd, program: &Program) -> Outcome<OwnedFd> {
    let content = fs::read(&program.program).step("read program")?;
    let mut rest = content.as_slice();
    while !rest.is_empty() {
        let written = nix::unistd::write(&file, rest).step("write program")?;
        rest = rest.get(written..).unwrap_or_default();
    }
    nix::sys::stat::fchmod(&file, nix::sys::stat::Mode::S_IRWXU).step("fchmod")?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    raw::openat(None, &path, libc::O_RDONLY, 0).step("reopen")
}

fn in_child(descriptor: Option<&OwnedFd>, path: &Path, argv: &[OsString]) -> Outcome {
    raw::in_child(&Spawn::default(), || {
        Err(Failure::new("execveat", raw::exec(descriptor.map(AsFd::as_fd), path, argv)))
    })
}

fn thread_exec(program: &Program) -> Outcome {
    raw::in_child(&Spawn::default(), || {
        std::thread::scope(|scope| {
            let thread =
                scope.spawn(|| Failure::new("execveat", raw::exec(None, &program.program, &program.argv())));
            Err(thread.join().unwrap_or_else(|_| Failure::Broken("the thread died".to_owned())))
        })
    })
}

fn spoof(name: Option<OsString>, exe: Option<PathBuf>, path: Option<&Path>) -> Outcome {
    if let Some(name) = name {
        let name = std::ffi::CString::new(name.into_encoded_bytes())
            .map_err(|_| Failure::Broken("a NUL in the name".to_owned()))?;
        nix::sys::prctl::set_name(&name).step("prctl PR_SET_NAME")?;
    }
    if let Some(exe) = exe {
        let file = raw::openat(None, &exe, libc::O_RDONLY, 0).step("openat exe")?;
        raw::set_exe_file(file.as_fd()).step("prctl PR_SET_MM_EXE_FILE")?;
    }
    files::reach(path)
}
