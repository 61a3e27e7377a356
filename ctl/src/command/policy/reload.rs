//! `policy reload`: agentd reads its policy again. A bad one changes nothing, and its errors come back.

use super::change;
use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::screen::Screen;

pub(super) fn run(daemon: &mut Daemon, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let lines = daemon.stream(async |client| client.policy_reload().await)?;
    change::follow(lines, screen)
}
