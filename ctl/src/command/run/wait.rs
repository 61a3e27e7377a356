//! Waiting for the command, and what happens to signals meanwhile.
//!
//! The command is in the same process group, so whatever the terminal sends (^C, ^\, ^Z, hang-up, a new size) it gets
//! by itself. Only a signal that somebody sends to agentctl alone is passed on. Stopping and continuing is left as it
//! is: the shell's job control sees one job.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::unistd::Pid;

use crate::exit::{Failure, SIGNAL_BASE};

/// What would end agentctl and must not do so before the command has ended.
const HELD_BACK: [Signal; 6] =
    [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2];

/// Signals to this process, read instead of acted upon.
pub(super) struct Signals(SignalFd);

impl Signals {
    /// From here on signals are read. The child must already have been started: it would inherit the mask.
    pub(super) fn take() -> Result<Self, Failure> {
        let mut set: SigSet = HELD_BACK.into_iter().collect();
        set.add(Signal::SIGCHLD);
        let take = || {
            set.thread_block()?;
            SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC)
        };
        take()
            .map(Self)
            .map_err(|errno| Failure::Failed(format!("cannot wait for signals: {}", errno.desc())))
    }

    /// Waits for the end of the command.
    pub(super) fn wait_for(&self, child: &mut Child) -> Result<u8, Failure> {
        let failed = |error: std::io::Error| Failure::Failed(format!("cannot wait for the command: {error}"));
        loop {
            // First: it may have ended before the signals were taken.
            if let Some(status) = child.try_wait().map_err(failed)? {
                return Ok(code(status));
            }
            match self.0.read_signal() {
                Ok(Some(info)) => pass_on(&info, child.id()),
                Ok(None) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(failed(errno.into())),
            }
        }
    }
}

fn pass_on(info: &siginfo, child: u32) {
    let signal = i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
    if let (Some(signal), Ok(child)) = (signal, i32::try_from(child))
        && HELD_BACK.contains(&signal)
        && is_from_a_process(info.ssi_code)
        && info.ssi_pid.cast_signed() != child
    {
        // If it has ended meanwhile, its status is read next.
        let _already_gone = kill(Pid::from_raw(child), signal);
    }
}

/// kill, sigqueue and tgkill have codes up to 0; the terminal's signals come from the kernel.
const fn is_from_a_process(code: i32) -> bool {
    code <= 0
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| SIGNAL_BASE + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_the_command_is_passed_on() {
        assert_eq!(code(ExitStatus::from_raw(0)), 0);
        assert_eq!(code(ExitStatus::from_raw(7 << 8)), 7);
    }

    #[test]
    fn a_signal_counts_from_128() {
        assert_eq!(code(ExitStatus::from_raw(Signal::SIGKILL as i32)), 137);
        assert_eq!(code(ExitStatus::from_raw(Signal::SIGSEGV as i32 | 0x80)), 139);
    }

    #[test]
    fn the_terminal_is_told_from_a_process() {
        const SI_KERNEL: i32 = 0x80;
        const SI_USER: i32 = 0;
        const SI_TKILL: i32 = -6;
        assert!(!is_from_a_process(SI_KERNEL));
        assert!(is_from_a_process(SI_USER) && is_from_a_process(SI_TKILL));
    }
}
