//! `bugreport`: what a maintainer needs to know of this host, in one file, without secrets and names of people. Takes what
//! there is: a part that cannot be had is named, and agentd need not run.

mod parts;

use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::archive::{self, NewArchive, Owned};
use crate::daemon::Daemon;
use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::moment;
use crate::redact::{CommandLines, Kind, Redactor};
use crate::screen::{Format, Screen, Tone, cell};

/// Name of the list of everything else.
const CONTENTS: &str = "contents.json";

/// The part that only `--with-records` adds, and the only one with command lines.
const RECORDS: &str = "records.json";

/// What was typed after `bugreport`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// File to make, which is not there yet; its name ends in .tar.gz. Otherwise one in the current directory
    #[arg(long, value_name = "FILE", value_parser = archive::named)]
    out: Option<PathBuf>,
    /// How far journal and counts of records go back: 10m, 2h, 1d or a time
    #[arg(long, value_name = "TIME", default_value = "1d")]
    since: String,
    /// Also records: files, addresses and command lines of agents, without what looks like a secret
    #[arg(long)]
    with_records: bool,
}

/// A part of the report.
pub(super) enum Part {
    Document(Value),
    Text(String),
}

/// Parts as they come.
pub(super) struct Gathered {
    pub(super) parts: Vec<(&'static str, Part)>,
    /// What could not be had, and why.
    pub(super) missing: Vec<Missing>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Missing {
    part: &'static str,
    why: String,
}

impl Gathered {
    pub(super) fn take(&mut self, name: &'static str, part: Result<Part, String>) {
        match part {
            Ok(part) => self.parts.push((name, part)),
            Err(why) => self.missing.push(Missing { part: name, why }),
        }
    }
}

/// What the report has, and what it has not.
#[derive(Debug, Serialize)]
struct Contents {
    made: String,
    since: String,
    with_records: bool,
    parts: Vec<Listed>,
    missing: Vec<Missing>,
    redacted: Vec<Redacted>,
}

/// One entry of the archive.
struct File {
    name: String,
    bytes: Vec<u8>,
}

#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    bytes: usize,
}

#[derive(Debug, Serialize)]
struct Redacted {
    what: String,
    times: usize,
}

/// Makes a report. One with parts that are missing is one all the same.
pub(crate) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let now = SystemTime::now();
    let since_ns = moment::parse(&arguments.since, now).map_err(Failure::Usage)?;
    let out = arguments.out.clone().unwrap_or_else(|| name(now).into());
    let archive = NewArchive::create(&out)?;
    let gathered = parts::gather(daemon, since_ns, arguments.with_records);
    let (files, contents) = redacted(gathered, now, since_ns, arguments.with_records)?;
    write(archive, &files, now)?;
    match screen.format() {
        Format::Table => show(screen, &out, &contents)?,
        Format::Json | Format::Ndjson => screen.document(&contents)?,
    }
    Ok(Outcome::Done)
}

fn name(now: SystemTime) -> String {
    let time = humantime::format_rfc3339_seconds(now).to_string();
    let time: String = time.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("agentguard-bugreport-{time}{}", archive::SUFFIX)
}

/// Everything passes here: nothing reaches the archive another way.
fn redacted(
    gathered: Gathered,
    now: SystemTime,
    since_ns: u64,
    with_records: bool,
) -> Result<(Vec<File>, Contents), Failure> {
    let mut redactor =
        Redactor::new().map_err(|error| Failure::Failed(format!("nothing can be redacted: {error}")))?;
    let mut files = Vec::new();
    for (name, part) in gathered.parts {
        let text = match part {
            Part::Text(text) => redactor.text(&text),
            Part::Document(mut value) => {
                let is_records = name == RECORDS && with_records;
                let lines = if is_records { CommandLines::Kept } else { CommandLines::LeftOut };
                redactor.document(&mut value, lines);
                pretty(&value)?
            }
        };
        files.push(File { name: name.to_owned(), bytes: text.into_bytes() });
    }
    let missing =
        gathered.missing.into_iter().map(|Missing { part, why }| Missing { part, why: redactor.text(&why) });
    let mut contents = Contents {
        made: humantime::format_rfc3339_seconds(now).to_string(),
        since: moment::short(since_ns),
        with_records,
        parts: files.iter().map(|file| Listed { name: file.name.clone(), bytes: file.bytes.len() }).collect(),
        missing: missing.collect(),
        redacted: Vec::new(),
    };
    let counted = |(kind, times): (&Kind, &usize)| Redacted { what: kind.to_string(), times: *times };
    contents.redacted = redactor.counts().iter().map(counted).collect();
    files.insert(0, File { name: CONTENTS.to_owned(), bytes: pretty(&contents)?.into_bytes() });
    Ok((files, contents))
}

fn pretty(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n")
        .map_err(|error| Failure::Failed(format!("the report could not be written: {error}")))
}

fn write(mut archive: NewArchive, files: &[File], now: SystemTime) -> Result<(), Failure> {
    let time_sec = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let owned = Owned { mode: 0o600, uid: 0, gid: 0, time_sec };
    for File { name, bytes } in files {
        let name = format!("agentguard-bugreport/{name}");
        let written = archive.file(&name, owned, bytes.len() as u64, bytes.as_slice());
        written.map_err(|error| Failure::Failed(format!("the report could not be written: {error}")))?;
    }
    archive.finish().map(drop)
}

fn show(screen: &mut Screen<'_>, out: &std::path::Path, contents: &Contents) -> io::Result<()> {
    let mut table = screen.new_table(&["part", "bytes", ""]);
    for part in &contents.parts {
        table.add_row([
            cell(&part.name, Tone::Plain),
            cell(describe::bytes(part.bytes as u64), Tone::Plain),
            cell("", Tone::Plain),
        ]);
    }
    for missing in &contents.missing {
        table.add_row([
            cell(missing.part, Tone::Warn),
            cell("-", Tone::Dim),
            cell(format!("missing: {}", missing.why), Tone::Warn),
        ]);
    }
    screen.table(&table)?;
    screen.line("")?;
    let counts = contents.redacted.iter().map(|redacted| format!("{} {}", redacted.times, redacted.what));
    let counts: Vec<_> = counts.collect();
    let words = if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") };
    screen.line(format!("taken out: {words}"))?;
    let records = if contents.with_records {
        "files, addresses and command lines of agents are in it"
    } else {
        "files and command lines of agents are not in it; --with-records adds them"
    };
    screen.line(records)?;
    screen.line(format!("{}: look into it before you give it away", out.display()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn gathered() -> Gathered {
        let mut gathered = Gathered { parts: Vec::new(), missing: Vec::new() };
        gathered.take(
            "status.json",
            Ok(Part::Document(json!({"version": "0.1.0", "note": "by uid 1000 (alice)"}))),
        );
        gathered.take("units.txt", Ok(Part::Text("webhook = 'https://h.example/secret-path'".to_owned())));
        gathered.take(RECORDS, Ok(Part::Document(json!([{"argv": ["git", "push", "origin"]}]))));
        gathered.take("kernel.json", Err("only root may look below /home/alice".to_owned()));
        gathered
    }

    fn made(with_records: bool) -> (Vec<File>, Contents) {
        let now = UNIX_EPOCH + Duration::from_nanos(crate::samples::NOON_NS);
        redacted(gathered(), now, crate::samples::NOON_NS, with_records).unwrap()
    }

    fn text_of(files: &[File]) -> String {
        files.iter().map(|file| String::from_utf8_lossy(&file.bytes).into_owned()).collect()
    }

    #[test]
    fn a_report_lists_what_is_in_it_what_is_missing_and_what_was_taken_out() {
        let (_, contents) = made(false);
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 110), "r.tar.gz".as_ref(), &contents).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn every_part_is_redacted_and_so_is_why_one_is_missing() {
        let (files, _) = made(false);
        let text = text_of(&files);
        for secret in ["alice", "secret-path", "origin"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        assert_eq!(files[0].name, CONTENTS);
    }

    #[test]
    fn command_lines_are_in_it_only_if_asked_for() {
        assert!(text_of(&made(true).0).contains("origin"));
    }

    #[test]
    fn the_archive_holds_the_parts_and_is_named_by_the_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name(UNIX_EPOCH));
        assert!(path.to_str().unwrap().ends_with("agentguard-bugreport-19700101T000000Z.tar.gz"));
        write(NewArchive::create(&path).unwrap(), &made(false).0, UNIX_EPOCH).unwrap();
        let file = flate2::read::GzDecoder::new(std::fs::File::open(&path).unwrap());
        let mut archive = tar::Archive::new(file);
        let names: Vec<_> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(names.len(), 4);
        assert!(names.contains(&"agentguard-bugreport/contents.json".into()));
    }
}
