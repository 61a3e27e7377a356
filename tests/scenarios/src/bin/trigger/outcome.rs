//! How a try ended, and how that is told: the last line on stdout and the exit status.
//! Knows nothing about what was tried.

use std::fmt;
use std::io;
use std::process::ExitCode;

use nix::errno::Errno;

/// The operation was refused with EPERM or EACCES.
const EXIT_DENIED: u8 = 13;
/// The operation failed with another error number.
const EXIT_FAILED: u8 = 14;
/// The kernel does not have what was tried.
const EXIT_MISSING: u8 = 15;
/// The try could not be made.
const EXIT_BROKEN: u8 = 16;

/// What became of a try.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Why a try did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A step was answered with an error number.
    Step {
        /// The system call or step.
        step: String,
        /// The answer.
        errno: Errno,
    },
    /// The kernel does not have what was tried.
    Missing {
        /// What is not there.
        what: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// The try could not be made, which says nothing about the kernel.
    Broken(String),
}

impl Failure {
    /// A step answered with an error number.
    pub(crate) fn new(step: impl Into<String>, errno: Errno) -> Self {
        Self::Step { step: step.into(), errno }
    }

    /// Error numbers that, from a call which creates something new, mean that the kernel lacks it.
    pub(crate) fn missing_if_unsupported(self) -> Self {
        match self {
            Self::Step { step, errno } if unsupported(errno) => Self::Missing { what: step, errno },
            other => other,
        }
    }

    fn exit(&self) -> u8 {
        match self {
            Self::Step { errno: Errno::ENOSYS, .. } | Self::Missing { .. } => EXIT_MISSING,
            Self::Step { errno: Errno::EPERM | Errno::EACCES, .. } => EXIT_DENIED,
            Self::Step { .. } => EXIT_FAILED,
            Self::Broken(_) => EXIT_BROKEN,
        }
    }
}

fn unsupported(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ENOSYS
            | Errno::EAFNOSUPPORT
            | Errno::EPFNOSUPPORT
            | Errno::EPROTONOSUPPORT
            | Errno::ESOCKTNOSUPPORT
            | Errno::EOPNOTSUPP
            | Errno::ENOPROTOOPT
            | Errno::ENODEV
            | Errno::ENXIO
    )
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { step, errno } => write!(out, "step {step}\nerrno {errno:?}"),
            Self::Missing { what, errno } => write!(out, "missing {what}\nerrno {errno:?}"),
            Self::Broken(why) => write!(out, "broken {why}"),
        }
    }
}

/// Names the step that a system call's error belongs to.
pub(crate) trait Step<T> {
    /// Turns the error number into a [`Failure`] of this step.
    fn step(self, step: &str) -> Outcome<T>;
}

impl<T> Step<T> for Result<T, Errno> {
    fn step(self, step: &str) -> Outcome<T> {
        self.map_err(|errno| Failure::new(step, errno))
    }
}

impl<T> Step<T> for io::Result<T> {
    fn step(self, step: &str) -> Outcome<T> {
        self.map_err(|error| match error.raw_os_error() {
            Some(number) => Failure::new(step, Errno::from_raw(number)),
            None => Failure::Broken(format!("{step}: {error}")),
        })
    }
}

/// Prints the last line and gives the exit status.
pub(crate) fn report(outcome: &Outcome) -> ExitCode {
    match outcome {
        Ok(()) => {
            println!("ok");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::from(failure.exit())
        }
    }
}
