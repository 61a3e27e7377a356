//! `policy replay`: recorded requests against another policy: which would be decided otherwise.

use std::path::PathBuf;
use std::time::SystemTime;

use agentguard_api::report::ReplayLine;
use agentguard_api::v1::PolicyReplayRequest;
use agentguard_core::record::Record;
use agentguard_core::verdict::Verdict;
use clap::Args;

use crate::daemon::Daemon;
use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::filter::Filters;
use crate::moment;
use crate::screen::{Format, Screen, Tone};

/// What was typed after `policy replay`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Directory of the other policy
    directory: PathBuf,
    #[command(flatten)]
    filters: Filters,
    /// Newest so many records
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    limit: u32,
}

/// Negative if any verdict would change.
pub(super) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let request = PolicyReplayRequest {
        policy: Some(super::tree(&arguments.directory)?),
        filter: Some(arguments.filters.meaning(SystemTime::now())?),
        limit: arguments.limit,
    };
    let mut stream = daemon.stream(async |client| client.policy_replay(request).await)?;
    let mut lines = Vec::new();
    let mut differs = false;
    while let Some(line) = stream.next()? {
        differs |= matches!(line, ReplayLine::Changed { .. });
        match screen.format() {
            Format::Table => screen.line(words(screen, &line))?,
            Format::Ndjson => screen.document(&line)?,
            Format::Json => lines.push(line),
        }
    }
    if screen.format() == Format::Json {
        screen.documents(&lines)?;
    }
    Ok(Outcome::of(!differs))
}

fn words(screen: &Screen<'_>, line: &ReplayLine) -> String {
    match line {
        ReplayLine::Changed { record, verdict, rule, source, .. } => {
            let rule = rule.as_deref().unwrap_or("default");
            let source =
                source.as_ref().map(|source| format!(" ({}:{})", source.file.display(), source.line));
            changed(screen, record, *verdict, &format!("{rule}{}", source.unwrap_or_default()))
        }
        ReplayLine::Summary { version, replayed, changed, newly_denied, newly_allowed, skipped } => {
            let skipped =
                if *skipped > 0 { format!("; {skipped} could not be decided again") } else { String::new() };
            format!(
                "policy {version}: {replayed} requests, {changed} decided otherwise: \
                 {newly_denied} newly denied, {newly_allowed} newly allowed{skipped}"
            )
        }
    }
}

fn changed(screen: &Screen<'_>, record: &Record, verdict: Verdict, rule: &str) -> String {
    let painted = |verdict: Verdict| screen.paint(Tone::of(verdict), verdict.name());
    format!(
        "{}  {} {} {}: {} -> {} by {rule}",
        moment::short(record.time_ns),
        record.agent,
        record.call,
        describe::object(record),
        painted(record.decision.verdict),
        painted(verdict),
    )
}

#[cfg(test)]
mod tests {
    use agentguard_core::verdict::Layer;

    use super::*;
    use crate::samples;

    #[test]
    fn a_changed_verdict_names_the_rule_that_changes_it() {
        let mut out = Vec::new();
        let screen = Screen::plain(&mut out, Format::Table, 110);
        let line = ReplayLine::Changed {
            record: Box::new(samples::allowed_open(1)),
            verdict: Verdict::Deny,
            layer: Layer::Guardrail,
            rule: Some("filesystem.sources".to_owned()),
            source: None,
        };
        assert_eq!(
            words(&screen, &line),
            "2026-03-01T12:00:00Z  coder open /srv/app/main.rs: allow -> deny by filesystem.sources"
        );
    }

    #[test]
    fn the_summary_counts_both_directions() {
        let mut out = Vec::new();
        let screen = Screen::plain(&mut out, Format::Table, 110);
        let line = ReplayLine::Summary {
            version: "0123456789ab".to_owned(),
            replayed: 900,
            changed: 5,
            newly_denied: 4,
            newly_allowed: 1,
            skipped: 2,
        };
        assert_eq!(
            words(&screen, &line),
            "policy 0123456789ab: 900 requests, 5 decided otherwise: 4 newly denied, 1 newly allowed; \
             2 could not be decided again"
        );
    }
}
