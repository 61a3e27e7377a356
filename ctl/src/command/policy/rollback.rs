//! `policy rollback`: puts an earlier policy into force again.

use clap::Args;

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::screen::Screen;

/// What was typed after `policy rollback`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Version as `policy history` names it; the one before the running one by default
    version: Option<String>,
}

pub(super) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let version = arguments.version.as_deref().unwrap_or_default();
    let lines = daemon.stream(async |client| client.policy_rollback(version).await)?;
    super::change::follow(lines, screen)
}
