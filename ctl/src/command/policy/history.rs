//! `policy history`: the policies that were in force, newest first.

use std::io;

use agentguard_api::report::PolicyVersion;

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::moment;
use crate::screen::{Format, Screen, Tone, cell};

pub(super) fn run(daemon: &mut Daemon, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let versions = daemon.call(async |client| client.policy_history().await)?;
    match screen.format() {
        Format::Table => show(screen, &versions)?,
        Format::Json | Format::Ndjson => screen.documents(&versions)?,
    }
    Ok(Outcome::Done)
}

fn show(screen: &mut Screen<'_>, versions: &[PolicyVersion]) -> io::Result<()> {
    let mut table = screen.new_table(&["version", "state", "since", "packs", "source"]);
    for version in versions {
        let (state, tone) = if version.running { ("in force", Tone::Good) } else { ("", Tone::Plain) };
        table.add_row([
            cell(&version.version, Tone::Strong),
            cell(state, tone),
            cell(moment::short(version.since_ns), Tone::Plain),
            cell(version.packs.join(", "), Tone::Plain),
            cell(&version.source, Tone::Dim),
        ]);
    }
    screen.table(&table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::NOON_NS;

    #[test]
    fn versions_are_a_table() {
        let version = |name: &str, running, source: &str| PolicyVersion {
            version: name.to_owned(),
            running,
            since_ns: NOON_NS,
            packs: vec!["filesystem".to_owned(), "network".to_owned()],
            source: source.to_owned(),
        };
        let versions = [
            version("0123456789ab", true, "rollback"),
            version("ba9876543210", false, "/etc/agentguard/policies"),
        ];
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 110), &versions).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
