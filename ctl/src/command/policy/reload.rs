//! `policy reload`: agentd reads its policy again. A bad one changes nothing, and its errors come back.

use std::io;

use agentguard_api::report::PolicyChange;

use crate::daemon::Daemon;
use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen};

pub(super) fn run(daemon: &mut Daemon, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let change = daemon.call(async |client| client.policy_reload().await)?;
    print(screen, &change)?;
    Ok(Outcome::Done)
}

/// What is in force now; also for a rollback.
pub(super) fn print(screen: &mut Screen<'_>, change: &PolicyChange) -> io::Result<()> {
    for warning in &change.warnings {
        eprintln!("agentctl: {warning}");
    }
    match screen.format() {
        Format::Table => screen.line(words(change)),
        Format::Json | Format::Ndjson => screen.document(change),
    }
}

fn words(change: &PolicyChange) -> String {
    if change.changed {
        let PolicyChange { previous, version, agents, .. } = change;
        let agents = describe::count(*agents, "agent");
        format!("policy {version} is in force instead of {previous}; rules of {agents} replaced")
    } else {
        format!("policy {} stays in force; nothing differs", change.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_in_force_now() {
        let change = PolicyChange {
            previous: "aaa".to_owned(),
            version: "bbb".to_owned(),
            changed: true,
            agents: 2,
            warnings: Vec::new(),
        };
        assert_eq!(words(&change), "policy bbb is in force instead of aaa; rules of 2 agents replaced");
        let same = PolicyChange { changed: false, ..change };
        assert_eq!(words(&same), "policy bbb stays in force; nothing differs");
    }
}
