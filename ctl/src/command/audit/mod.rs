//! `audit`: the audit log of this host, or a copy of one. Reads files and asks nobody.

mod export;
mod show;
mod trust;
mod verify;

use std::io;
use std::path::{Path, PathBuf};

use agentguard_audit::AuditError;
use clap::{Args, Subcommand};

use crate::exit::{Failure, Outcome};
use crate::screen::Screen;

/// Where agentd keeps it.
const DIR: &str = "/var/lib/agentguard/audit";

/// The commands below `audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum Typed {
    /// Prove that no record was changed, removed, moved or added; status 1 if one was
    ///
    /// Reads every record. What it cannot know by itself is whether the whole directory was put back to an older state:
    /// keep the last line it prints elsewhere, and give it as --anchor the next time.
    Verify(verify::Arguments),
    /// Records, the newest last
    Show(show::Arguments),
    /// Evidence for auditors, by control of NIST 800-53, ISO/IEC 27001 and OWASP; status 1 if the log is not intact
    ///
    /// The log is verified first, and the result is part of the export. As json every record is there once; as csv there
    /// is a row for each control and record; html is one page to read and print, with the newest records of each control.
    Export(export::Arguments),
}

/// Which log.
#[derive(Debug, Args)]
struct Log {
    /// Directory of the log, or of a copy
    #[arg(long, value_name = "DIR", default_value = DIR)]
    dir: PathBuf,
}

impl Log {
    /// Who verifies it, if it is the host's own: whose the files of a copy are says nothing.
    fn reader(&self) -> Option<u32> {
        (self.dir == Path::new(DIR)).then(|| nix::unistd::geteuid().as_raw())
    }
}

/// Runs a command below `audit`.
pub(crate) fn run(typed: &Typed, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    match typed {
        Typed::Verify(arguments) => verify::run(arguments, screen),
        Typed::Show(arguments) => show::run(arguments, screen),
        Typed::Export(arguments) => export::run(arguments, screen),
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        let words = crate::exit::chain(&error);
        match &error {
            AuditError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Self::Permission(format!("{words}; the audit log is read as root"))
            }
            _ => Self::Failed(words),
        }
    }
}
