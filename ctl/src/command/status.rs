//! `status`: how agentd is, what it cannot do here, and proof that the kernel denies. As root also how much of it is
//! in the kernel, which is there whether agentd answers or not.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agentguard_api::report::Status;
use serde::Serialize;

use crate::command::kernel;
use crate::daemon::Daemon;
use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::moment;
use crate::screen::{Format, Screen, Tone, cell};

/// Where nothing was counted.
const NONE: &str = "none";

/// What agentd says, and what the kernel says.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel_objects: Option<kernel::Counts>,
}

/// Asks agentd and, as root, the kernel. Problems make the answer negative.
pub(crate) fn run(daemon: &mut Daemon, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let status = daemon.call(async |client| client.status().await)?;
    let kernel_objects = kernel::pinned().ok().map(|contents| contents.counts());
    let healthy = status.problems.is_empty() && status.canary.ok;
    let report = Report { status, kernel_objects };
    match screen.format() {
        Format::Table => show(screen, &report, SystemTime::now())?,
        Format::Json | Format::Ndjson => screen.document(&report)?,
    }
    Ok(Outcome::of(healthy))
}

fn show(screen: &mut Screen<'_>, report: &Report, now: SystemTime) -> io::Result<()> {
    let status = &report.status;
    let up = moment::span(Duration::from_secs(status.uptime_sec));
    let mut rows: Vec<(&str, String, Tone)> = Vec::new();
    rows.push(("agentd", format!("{}, pid {}, up {up}", status.version, status.pid), Tone::Plain));
    rows.push(("kernel", status.kernel.clone(), Tone::Plain));
    rows.push(("back end", status.backend.clone(), Tone::Plain));
    rows.extend(lines("not enforceable", &status.limits, Tone::Warn));
    rows.push(canary(status));
    let since = age(status.policy.since_ns, now);
    let packs = status.policy.packs.join(", ");
    rows.push(("policy", format!("{} since {since} ({packs})", status.policy.version), Tone::Plain));
    rows.push(("agents", status.agents.to_string(), Tone::Plain));
    rows.push(("events", counts(&status.kernel_counters), Tone::Plain));
    let lost = counts(&status.lost);
    rows.push(("lost", lost.clone(), if lost == NONE { Tone::Plain } else { Tone::Warn }));
    rows.push(store(status, now));
    if let Some(set_aside) = &status.store.set_aside {
        rows.push(("", format!("was damaged at start and put aside: {set_aside}"), Tone::Warn));
    }
    if let Some(objects) = &report.kernel_objects {
        let tone = if objects.recursion_misses > 0 { Tone::Warn } else { Tone::Plain };
        rows.push(("in the kernel", objects.words(), tone));
    }
    rows.extend(lines("problems", &status.problems, Tone::Bad));

    let mut table = screen.new_table(&[]);
    for (name, words, tone) in rows {
        table.add_row([cell(name, Tone::Dim), cell(words, tone)]);
    }
    screen.table(&table)
}

/// One row each, the name only before the first.
fn lines<'a>(name: &'a str, lines: &[String], tone: Tone) -> Vec<(&'a str, String, Tone)> {
    let names = std::iter::once(name).chain(std::iter::repeat(""));
    names.zip(lines).map(|(name, line)| (name, line.clone(), tone)).collect()
}

fn canary(status: &Status) -> (&'static str, String, Tone) {
    let age = moment::span(Duration::from_millis(status.canary.age_ms));
    match (&status.canary.problem, status.canary.ok) {
        (None, true) => ("canary", format!("denied {age} ago"), Tone::Good),
        (Some(problem), true) => ("canary", format!("denied {age} ago; {problem}"), Tone::Warn),
        (Some(problem), false) => ("canary", problem.clone(), Tone::Bad),
        (None, false) => ("canary", "was not denied".to_owned(), Tone::Bad),
    }
}

/// What was counted, without what never happened.
fn counts(counts: &BTreeMap<String, u64>) -> String {
    let happened = counts.iter().filter(|(_, count)| **count > 0);
    let words: Vec<_> = happened.map(|(what, count)| format!("{what} {count}")).collect();
    if words.is_empty() { NONE.to_owned() } else { words.join(", ") }
}

fn store(status: &Status, now: SystemTime) -> (&'static str, String, Tone) {
    let store = &status.store;
    let oldest = match store.oldest_ns {
        0 => String::new(),
        oldest => format!(", oldest {} ago", age(oldest, now)),
    };
    let size = describe::bytes(store.bytes);
    ("store", format!("{}: {} records, {size}{oldest}", store.path, store.records), Tone::Plain)
}

fn age(since_ns: u64, now: SystemTime) -> String {
    let since = UNIX_EPOCH + Duration::from_nanos(since_ns);
    moment::span(now.duration_since(since).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use agentguard_api::report::{Canary, PolicyVersion, StoreStatus};

    use super::*;
    use crate::samples::NOON_NS;

    fn status() -> Status {
        Status {
            version: "0.1.0".to_owned(),
            pid: 812,
            uptime_sec: 7_384,
            kernel: "6.1.0-18-amd64".to_owned(),
            backend: "lsm".to_owned(),
            limits: Vec::new(),
            problems: Vec::new(),
            policy: PolicyVersion {
                version: "0123456789ab".to_owned(),
                running: true,
                since_ns: NOON_NS - 3_600_000_000_000,
                packs: ["filesystem", "network", "process"].map(str::to_owned).to_vec(),
                source: "/etc/agentguard/policies".to_owned(),
            },
            agents: 2,
            kernel_counters: [("denied".to_owned(), 3), ("events".to_owned(), 1200)].into(),
            lost: [("store".to_owned(), 0)].into(),
            canary: Canary { ok: true, age_ms: 4_000, problem: None },
            store: StoreStatus {
                path: "/var/lib/agentguard/records.db".to_owned(),
                records: 1200,
                bytes: 400_000,
                oldest_ns: NOON_NS - 86_400_000_000_000,
                set_aside: None,
            },
        }
    }

    fn text(report: &Report) -> String {
        let mut out = Vec::new();
        let now = UNIX_EPOCH + Duration::from_nanos(NOON_NS);
        show(&mut Screen::plain(&mut out, Format::Table, 110), report, now).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_healthy_agentd_fits_on_a_few_lines() {
        let objects = Some(kernel::Counts { programs: 61, maps: 18, links: 61, recursion_misses: 0 });
        insta::assert_snapshot!(text(&Report { status: status(), kernel_objects: objects }));
    }

    #[test]
    fn limits_and_problems_have_a_line_each() {
        let status = Status {
            backend: "tracing".to_owned(),
            limits: vec!["files cannot be blocked".to_owned(), "exec cannot be blocked".to_owned()],
            problems: vec!["the canary was not denied".to_owned()],
            canary: Canary { ok: false, age_ms: 0, problem: None },
            ..status()
        };
        insta::assert_snapshot!(text(&Report { status, kernel_objects: None }));
    }
}
