//! `man`: one page for agentctl and one for each of its commands.

use std::fs;
use std::path::PathBuf;

use crate::exit::{Failure, Outcome};

/// What was typed after `man`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Existing directory to write the pages to
    directory: PathBuf,
}

/// Writes the pages.
pub(crate) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let directory = &arguments.directory;
    let failed = |error: std::io::Error| Failure::on(directory, &error);
    if !fs::metadata(directory).map_err(failed)?.is_dir() {
        return Err(Failure::Usage(format!("{}: not a directory", directory.display())));
    }
    clap_mangen::generate_to(crate::typed::command(), directory).map_err(failed)?;
    Ok(Outcome::Done)
}
