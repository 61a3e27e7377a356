//! Other processes: their memory, their control, signals to them.

use std::os::fd::AsFd;
use std::path::PathBuf;

use clap::Subcommand;
use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

use crate::options::open_flags;
use crate::outcome::{Outcome, Step};
use crate::raw::{self, Trace};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// ptrace.
    Ptrace {
        pid: i32,
        #[arg(long, default_value = "attach")]
        by: Trace,
    },
    /// process_vm_readv of one byte, or with --write process_vm_writev of one.
    VmTouch {
        pid: i32,
        /// Hexadecimal; without it the start of the program's stack mapping.
        #[arg(long)]
        address: Option<String>,
        #[arg(long)]
        write: bool,
    },
    /// Opens /proc/PID/FILE.
    ProcOpen {
        pid: i32,
        /// mem, environ, maps, root/etc/shadow …
        file: PathBuf,
        #[arg(long, value_parser = open_flags, default_value = "rdonly")]
        flags: i32,
    },
    /// kill; signal 0 only asks whether one may.
    Kill { pid: i32, signal: i32 },
    /// pidfd_send_signal.
    PidfdSignal { pid: i32, signal: i32 },
    /// TIOCSTI on the standard input, by a 32-bit system call.
    Type32,
    /// setpriority of another process.
    Renice { pid: i32 },
    /// Writes down its process id and sleeps: somebody to attack.
    Victim {
        /// The process id is written here.
        #[arg(long)]
        pid_file: PathBuf,
        /// Written last.
        #[arg(long)]
        ready: Option<PathBuf>,
        /// A file that it keeps open, as descriptor 3.
        #[arg(long)]
        hold: Option<PathBuf>,
        #[arg(long, default_value_t = 600)]
        seconds: u64,
    },
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Ptrace { pid, by } => raw::trace(by, pid).step("ptrace"),
        Command::VmTouch { pid, address, write } => vm_touch(pid, address.as_deref(), write),
        Command::ProcOpen { pid, file, flags } => {
            let path = PathBuf::from(format!("/proc/{pid}")).join(file);
            raw::openat(None, &path, flags, 0).step("openat").map(drop)
        }
        Command::Kill { pid, signal } => match signal {
            0 => nix::sys::signal::kill(Pid::from_raw(pid), None).step("kill"),
            number => {
                let signal = nix::sys::signal::Signal::try_from(number).step("signal number")?;
                nix::sys::signal::kill(Pid::from_raw(pid), signal).step("kill")
            }
        },
        Command::PidfdSignal { pid, signal } => {
            let process = raw::pidfd(pid).step("pidfd_open")?;
            raw::signal_pidfd(process.as_fd(), signal).step("pidfd_send_signal")
        }
        Command::Type32 => raw::ioctl32(libc::STDIN_FILENO, libc::TIOCSTI as u32).step("ioctl"),
        Command::Renice { pid } => raw::renice(pid).step("setpriority"),
        Command::Victim { pid_file, ready, hold, seconds } => victim(&pid_file, ready, hold, seconds),
    }
}

/// A writable place in the other process, if its maps can be read; else an address that is at least plausible, because
/// the permission is checked before the address.
fn somewhere(pid: i32) -> usize {
    std::fs::read_to_string(format!("/proc/{pid}/maps"))
        .unwrap_or_default()
        .lines()
        .find(|line| line.ends_with("[stack]"))
        .and_then(|line| usize::from_str_radix(line.split_once('-')?.0, 16).ok())
        .unwrap_or(0x1000)
}

fn vm_touch(pid: i32, address: Option<&str>, write: bool) -> Outcome {
    let address = match address {
        Some(text) => usize::from_str_radix(text.trim_start_matches("0x"), 16)
            .map_err(|_| Errno::EINVAL)
            .step("address")?,
        None => somewhere(pid),
    };
    raw::touch_memory(pid, address, write).step("process_vm").map(drop)
}

fn victim(
    pid_file: &std::path::Path,
    ready: Option<PathBuf>,
    hold: Option<PathBuf>,
    seconds: u64,
) -> Outcome {
    let held =
        hold.map(|path| raw::openat(None, &path, libc::O_RDONLY, 0).step("openat hold")).transpose()?;
    std::fs::write(pid_file, format!("{}\n", std::process::id())).step("write pid file")?;
    if let Some(ready) = ready {
        std::fs::write(ready, "running\n").step("write ready file")?;
    }
    std::thread::sleep(std::time::Duration::from_secs(seconds));
    drop(held);
    Ok(())
}
