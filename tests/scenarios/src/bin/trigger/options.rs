//! Shapes of arguments that several commands share.

use std::ffi::OsString;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::libc;

use crate::outcome::{Outcome, Step};
use crate::raw;

/// At most so many bytes of a file are printed.
const PRINTED_BYTES: u64 = 4096;

/// Something to work on: a path, or `fd:N` for a descriptor that was inherited.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Path(PathBuf),
    Inherited(i32),
}

impl FromStr for Target {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("fd:") {
            Some(number) => number.parse().map(Self::Inherited),
            None => Ok(Self::Path(PathBuf::from(text))),
        }
    }
}

impl Target {
    /// The inherited descriptor, or the path opened with `flags`.
    pub(crate) fn acquire(&self, flags: i32) -> Outcome<OwnedFd> {
        match self {
            Self::Path(path) => raw::openat(None, path, flags, 0o600).step("openat"),
            Self::Inherited(number) => raw::inherited(*number).step("fcntl F_DUPFD"),
        }
    }
}

/// Open flags as a list: `rdwr,creat,trunc`.
pub(crate) fn open_flags(text: &str) -> Result<i32, String> {
    text.split(',').try_fold(0, |flags, word| {
        Ok(flags
            | match word {
                "rdonly" => libc::O_RDONLY,
                "wronly" => libc::O_WRONLY,
                "rdwr" => libc::O_RDWR,
                "creat" => libc::O_CREAT,
                "excl" => libc::O_EXCL,
                "trunc" => libc::O_TRUNC,
                "append" => libc::O_APPEND,
                "path" => libc::O_PATH,
                "directory" => libc::O_DIRECTORY,
                "tmpfile" => libc::O_TMPFILE,
                "nofollow" => libc::O_NOFOLLOW,
                "direct" => libc::O_DIRECT,
                // 3: neither reading nor writing, but with the right to ioctl.
                "ioctl" => libc::O_ACCMODE,
                _ => return Err(format!("unknown open flag '{word}'")),
            })
    })
}

/// Prints what can be read, so that a scenario can look for the secret in it.
pub(crate) fn print_content(fd: impl AsFd) -> Outcome {
    let file = std::fs::File::from(fd.as_fd().try_clone_to_owned().step("dup")?);
    let mut content = Vec::new();
    file.take(PRINTED_BYTES).read_to_end(&mut content).step("read")?;
    println!("{}", String::from_utf8_lossy(&content));
    Ok(())
}

/// Opens a path for reading and prints it: the usual proof that something was reached.
pub(crate) fn open_and_print(path: &Path) -> Outcome {
    print_content(raw::openat(None, path, libc::O_RDONLY, 0).step("openat")?)
}

/// A program and its arguments.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Program {
    /// The program.
    pub(crate) program: PathBuf,
    /// Its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

impl Program {
    /// argv with the program's path first.
    pub(crate) fn argv(&self) -> Vec<OsString> {
        std::iter::once(self.program.clone().into_os_string()).chain(self.arguments.iter().cloned()).collect()
    }
}
