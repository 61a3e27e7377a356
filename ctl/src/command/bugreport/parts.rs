//! The parts of a report: each is asked for by itself, and each may fail by itself.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use agentguard_api::report::{AgentState, AgentView, RegisteredAgent, Row};
use agentguard_api::v1::{EventFilter, EventsRequest, QueryRequest};
use agentguard_policy::PolicySet;
use serde_json::{Value, json};

use super::{Gathered, Part, RECORDS};
use crate::command::{doctor, kernel};
use crate::daemon::Daemon;
use crate::exit::Failure;
use crate::settings::Settings;

/// A page of metrics is some hundred KiB; the journal of a day may be larger, and its end tells most.
const MAX_TEXT_BYTES: usize = 16 << 20;

/// Of loopback, and of agentd that may be the thing that is broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Records that are added, the newest.
const MAX_RECORDS: u32 = 1_000;

/// Rows of counts: agents times calls times verdicts.
const MAX_ROWS: u32 = 10_000;

/// Units whose state is of interest.
const UNITS: [&str; 2] = ["agentd.service", "agents.slice"];

/// What systemd knows of them, without environment and command lines.
const PROPERTIES: &str = "Id,LoadState,UnitFileState,ActiveState,SubState,Result,NRestarts,ExecMainCode,\
ExecMainStatus,ActiveEnterTimestamp,InactiveEnterTimestamp,MemoryCurrent,TasksCurrent,NeedDaemonReload,DropInPaths";

/// Fields of lines about one request of an agent; these lines name its files.
const OF_REQUESTS: [&str; 2] = ["OBJECT", "FINDING"];

/// Asks for everything.
pub(super) fn gather(daemon: &mut Daemon, since_ns: u64, with_records: bool) -> Gathered {
    let mut all = Gathered { parts: Vec::new(), missing: Vec::new() };
    let settings = Settings::read(Path::new("/"));
    all.take("versions.json", Ok(versions()));
    all.take("doctor.json", doctor::document().map(Part::Document).map_err(words));
    all.take("kernel.json", kernel::pinned().map_err(words).and_then(|contents| document(&contents)));
    all.take(
        "status.json",
        daemon.call(async |client| client.status().await).map_err(words).and_then(|it| document(&it)),
    );
    all.take("agents.json", agents(daemon).map_err(words));
    all.take("registered.json", registered(daemon).map_err(words));
    all.take(
        "policy-history.json",
        daemon.call(async |client| client.policy_history().await).map_err(words).and_then(|it| document(&it)),
    );
    all.take("counts.json", query(daemon, &counts(since_ns)).map(Part::Document).map_err(words));
    if with_records {
        all.take(RECORDS, records(daemon, since_ns).map_err(words));
    }
    match settings {
        Ok(settings) => {
            all.take("policy.json", policy(&settings.policy_dir));
            all.take(
                "metrics.txt",
                match settings.metrics {
                    Some(address) => page(address).map(Part::Text),
                    None => Err("metrics.listen is off".to_owned()),
                },
            );
            let none = || "there is none; every key has its default".to_owned();
            all.take("config.json", settings.text.ok_or_else(none).and_then(|text| configuration(&text)));
        }
        Err(error) => all.take("config.json", Err(words(error))),
    }
    all.take(
        "units.txt",
        output("systemctl", &[&["show", "--property", PROPERTIES], &UNITS[..]].concat()).map(Part::Text),
    );
    all.take("journal.txt", journal(since_ns, with_records).map(Part::Text));
    all
}

fn words(failure: Failure) -> String {
    failure.to_string()
}

fn document(value: &impl serde::Serialize) -> Result<Part, String> {
    serde_json::to_value(value).map(Part::Document).map_err(|error| error.to_string())
}

/// The name of the host is nobody's business.
fn versions() -> Part {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let kernel = nix::sys::utsname::uname().ok();
    let part = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
    Part::Document(json!({
        "agentctl": env!("CARGO_PKG_VERSION"),
        "kernel": kernel.as_ref().map(|kernel| json!({
            "release": part(kernel.release()), "version": part(kernel.version()), "machine": part(kernel.machine()),
        })),
        "os": text("/etc/os-release").lines().filter(|line| line.starts_with("ID") || line.starts_with("VERSION")).collect::<Vec<_>>(),
        "lsm": text("/sys/kernel/security/lsm"),
        "command_line_of_the_kernel": text("/proc/cmdline").split_whitespace()
            .filter(|word| ["lsm=", "lockdown=", "systemd.unified", "cgroup"].iter().any(|begin| word.starts_with(begin)))
            .collect::<Vec<_>>(),
    }))
}

/// What runs, without what it was started from.
fn agents(daemon: &mut Daemon) -> Result<Part, Failure> {
    let agents = daemon.call(async |client| client.agents().await)?;
    let running = agents.iter().filter(|agent| agent.state == AgentState::Running).map(running);
    let ended = agents.iter().filter(|agent| agent.state != AgentState::Running).count();
    Ok(Part::Document(json!({ "running": running.collect::<Vec<_>>(), "ended": ended })))
}

fn running(agent: &AgentView) -> Value {
    json!({
        "name": agent.name, "mode": agent.mode, "role": agent.role, "tier": agent.tier, "key": agent.key,
        "processes": agent.processes, "version": agent.version, "rules": agent.rules, "enrolled_ns": agent.enrolled_ns,
        "records": agent.records, "denied": agent.denied, "registered": agent.registered, "governance": agent.governance,
    })
}

fn registered(daemon: &mut Daemon) -> Result<Part, Failure> {
    let agents = daemon.call(async |client| client.agent_list().await)?;
    let one = |agent: &RegisteredAgent| {
        json!({
            "name": agent.name, "standing": agent.standing, "reason": agent.reason, "revision": agent.revision,
            "role": agent.role, "tier": agent.tier, "spec_sha256": agent.spec_sha256, "updated_ns": agent.updated_ns,
            "expires_ns": agent.expires_ns, "running": agent.running.len(), "problem": agent.problem,
        })
    };
    Ok(Part::Document(agents.iter().map(one).collect()))
}

/// Which packs there are and how large their files are; what they say may be internal.
fn policy(dir: &Path) -> Result<Part, String> {
    let own = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    let dir = if own { dir } else { Path::new("/usr/share/agentguard/policies") };
    let set = PolicySet::read(dir).map_err(|errors| errors.to_string())?;
    let files: Vec<_> = set
        .files()
        .iter()
        .map(|(path, text)| json!({ "path": path, "lines": text.lines().count() }))
        .collect();
    Ok(Part::Document(json!({
        "shipped": !own, "version": set.version().hash(), "packs": set.packs().collect::<Vec<_>>(), "files": files,
    })))
}

fn counts(since_ns: u64) -> String {
    format!(
        "SELECT agent, call, verdict, enforced, count(*) AS records, max(time_ns) AS last_ns FROM events \
         WHERE time_ns >= {since_ns} GROUP BY agent, call, verdict, enforced ORDER BY records DESC"
    )
}

fn query(daemon: &mut Daemon, sql: &str) -> Result<Value, Failure> {
    let request = QueryRequest { sql: sql.to_owned(), max_rows: MAX_ROWS, timeout_ms: 30_000 };
    let rows: Vec<Row> = daemon.stream(async |client| client.query(request).await)?.collect()?;
    Ok(rows.into_iter().map(Value::Object).collect())
}

fn records(daemon: &mut Daemon, since_ns: u64) -> Result<Part, Failure> {
    let filter = Some(EventFilter { since_ns, ..EventFilter::default() });
    let request = EventsRequest { filter, follow: false, limit: MAX_RECORDS };
    let lines = daemon.stream(async |client| client.events(request).await)?.collect()?;
    let lines = lines.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>();
    lines.map(|lines| Part::Document(lines.into())).map_err(|error| Failure::Failed(error.to_string()))
}

/// Without its comments, which may say anything.
fn configuration(text: &str) -> Result<Part, String> {
    toml::from_str::<Value>(text).map(Part::Document).map_err(|error| error.message().to_owned())
}

/// The page of metrics, as a scraper asks for it.
fn page(address: SocketAddr) -> Result<String, String> {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
        let mut answer = Vec::new();
        stream.take(MAX_TEXT_BYTES as u64).read_to_end(&mut answer)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = ask().map_err(|error| format!("{address}: {error}"))?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.split(' ').nth(1) == Some("200") => Ok(body.to_owned()),
        Some((head, _)) => Err(format!("{address}: {}", head.lines().next().unwrap_or_default())),
        None => Err(format!("{address}: no answer in HTTP")),
    }
}

/// agentd's lines. Those about requests of agents name files, and are counted instead.
fn journal(since_ns: u64, with_records: bool) -> Result<String, String> {
    let since = format!("@{}", since_ns / 1_000_000_000);
    let text = output(
        "journalctl",
        &["--unit", "agentd", "--since", &since, "--output", "json", "--all", "--no-pager"],
    )?;
    Ok(lines(&text, with_records))
}

fn lines(text: &str, with_records: bool) -> String {
    let (mut out, mut left_out) = (String::new(), 0_u64);
    for line in text.lines() {
        let Ok(Value::Object(fields)) = serde_json::from_str(line) else { continue };
        if !with_records && OF_REQUESTS.iter().any(|field| fields.contains_key(*field)) {
            left_out += 1;
            continue;
        }
        let field = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        let time = field("__REALTIME_TIMESTAMP").parse::<u64>().unwrap_or(0).saturating_mul(1_000);
        let own = fields.iter().filter(|(name, value)| is_own(name) && value.is_string());
        let own: Vec<_> =
            own.map(|(name, value)| format!(" {name}={}", value.as_str().unwrap_or_default())).collect();
        out += &format!(
            "{} {}[{}] <{}> {}{}\n",
            crate::moment::precise(time),
            field("SYSLOG_IDENTIFIER"),
            field("_PID"),
            field("PRIORITY"),
            field("MESSAGE"),
            own.concat()
        );
    }
    if left_out > 0 {
        out += &format!("{left_out} lines about requests of agents are left out\n");
    }
    out
}

/// A field that agentd gave, not the journal.
fn is_own(name: &str) -> bool {
    let of_journal = [
        "MESSAGE",
        "PRIORITY",
        "TARGET",
        "INVOCATION_ID",
        "USER_INVOCATION_ID",
        "UNIT",
        "JOB_ID",
        "JOB_TYPE",
        "JOB_RESULT",
        "TID",
    ];
    !name.starts_with('_')
        && !name.starts_with("SYSLOG_")
        && !name.starts_with("CODE_")
        && !of_journal.contains(&name)
        && !name.starts_with("MESSAGE_")
}

/// What a program of the host says.
fn output(program: &str, arguments: &[&str]) -> Result<String, String> {
    let done = Command::new(program).args(arguments).env("LC_ALL", "C").output();
    let done = done.map_err(|error| format!("{program}: {error}"))?;
    let end = done.stdout.len().saturating_sub(MAX_TEXT_BYTES);
    let said = String::from_utf8_lossy(done.stdout.get(end..).unwrap_or_default()).into_owned();
    if done.status.success() {
        return Ok(said);
    }
    let why = String::from_utf8_lossy(&done.stderr);
    Err(format!("{program}: {}", why.lines().next().unwrap_or("failed")))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn lines_about_requests_are_counted_and_no_more() {
        let text = concat!(
            r#"{"__REALTIME_TIMESTAMP":"1772366400000000","SYSLOG_IDENTIFIER":"agentd","_PID":"8","PRIORITY":"6","MESSAGE":"ready","AGENTS":"2","CODE_LINE":"7"}"#,
            "\n",
            r#"{"__REALTIME_TIMESTAMP":"1772366401000000","MESSAGE":"denied open of agent a on /srv/plans","OBJECT":"/srv/plans"}"#,
            "\n",
        );
        assert_eq!(
            lines(text, false),
            "2026-03-01T12:00:00.000Z agentd[8] <6> ready AGENTS=2\n1 lines about requests of agents are left out\n"
        );
        assert!(lines(text, true).contains("/srv/plans"));
    }

    #[test]
    fn a_configuration_has_no_comments_in_a_report() {
        let Ok(Part::Document(value)) = configuration("# ask bob\nbackend = 'lsm'\n[metrics] # x\n") else {
            panic!("it is one");
        };
        assert_eq!(value, json!({"backend": "lsm", "metrics": {}}));
    }

    #[test]
    fn only_a_page_that_was_answered_is_taken() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\nx: y\r\n\r\nagentguard_up 1\n", Ok("agentguard_up 1\n")),
            ("HTTP/1.1 500 Broken\r\n\r\n", Err("500 Broken")),
            ("hello", Err("no answer in HTTP")),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = [0; 1024];
                assert!(stream.read(&mut asked).unwrap() > 0);
                stream.write_all(answer.as_bytes()).unwrap();
            });
            match (page(address), expected) {
                (Ok(page), Ok(expected)) => assert_eq!(page, expected),
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
                (other, _) => panic!("{other:?}"),
            }
            server.join().unwrap();
        }
    }
}
