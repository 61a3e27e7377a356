//! `selftest`: runs the scenarios on this host.
use clap::Args;

use crate::exit::{Failure, Outcome};
use crate::screen::Screen;

/// What was typed after `selftest`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only scenarios of this group
    #[arg(long, value_name = "GROUP")]
    only: Option<String>,
    /// List the scenarios, run nothing
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(_arguments: &Arguments, _screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    Err(Failure::Failed("no scenarios".into()))
}
