//! `audit export`: what an auditor asks for, by control: how it is met, by which settings, shown by which records.

mod evidence;
mod html;
mod table;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use agentguard_audit::Verifier;
use agentguard_audit::controls::{self, Control, Framework};
use agentguard_audit::verify::Checks;
use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use nix::fcntl::OFlag;

use super::Log;
use super::trust::Trust;
use super::verify;
use crate::exit::{Failure, Outcome};
use crate::filter;
use crate::screen::Screen;

use evidence::Export;

/// What was typed after `audit export`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: Log,
    #[command(flatten)]
    trust: Trust,
    /// Form of the export
    #[arg(long, value_enum, value_name = "FORM")]
    format: Form,
    /// Only these controls: AC-6, 'NIST AC-6', A.8.15, LLM06
    #[arg(long = "control", value_name = "ID")]
    controls: Vec<String>,
    /// Only of these frameworks
    #[arg(long = "framework", value_name = "NAME", value_parser = PossibleValuesParser::new(Framework::ALL.map(Framework::name)))]
    frameworks: Vec<String>,
    /// Records not before: a span back from now (90d) or a time (2026-03-01T12:00:00Z)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Not after
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Write to this file, which only its owner can read
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The forms of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One document.
    Json,
    /// A row for each control and record.
    Csv,
    /// A page.
    Html,
}

/// Negative if the log is not intact.
pub(super) fn run(arguments: &Arguments, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let now = SystemTime::now();
    let period = filter::times(arguments.since.as_deref(), arguments.until.as_deref(), now)?;
    let controls = chosen(controls::all()?, &arguments.controls, &arguments.frameworks)?;
    let verifier = arguments.trust.verifier()?;
    let verifier = verifier.as_ref().map(|verifier| verifier as &dyn Verifier);
    let checks = Checks { verifier, anchor: None, permissions: arguments.log.reader() };
    let report = verify::check(&arguments.log.dir, checks)?;
    let (intact, answer) = (report.is_clean(), verify::answer(&report));
    let made_ns = now.duration_since(UNIX_EPOCH).ok().and_then(|since| u64::try_from(since.as_nanos()).ok());
    let export = Export::gather(&arguments.log.dir, controls, period, report, made_ns.unwrap_or_default())?;
    let text = match arguments.format {
        Form::Json => export.json()?,
        Form::Csv => table::csv(&export)?,
        Form::Html => html::page(&export)?,
    };
    match &arguments.out {
        Some(path) => write(path, &text)?,
        None => screen.raw(&text)?,
    }
    if !intact {
        eprintln!("agentctl: the audit log is {answer}; see agentctl audit verify");
    }
    Ok(Outcome::of(intact))
}

/// Writes beside the place and renames it there: there is the old file or the whole new one, and it is nobody else's.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    // What is no file would not be written to but replaced: /dev/null, a link.
    if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(Failure::Failed(format!("{}: there is something else than a file", path.display())));
    }
    let partial = path.with_file_name(format!(".agentctl.{}.partial", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    let mut file = options.open(&partial).map_err(|error| Failure::on(&partial, &error))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.and_then(|()| fs::rename(&partial, path)).map_err(|error| {
        // What went wrong is what the user must hear.
        let _ = fs::remove_file(&partial);
        Failure::on(path, &error)
    })
}

/// The controls that were asked for; all, when nothing was.
fn chosen(all: Vec<Control>, named: &[String], frameworks: &[String]) -> Result<Vec<Control>, Failure> {
    for name in named {
        if !all.iter().any(|control| control.is_called(name)) {
            return Err(Failure::Usage(format!(
                "--control: there is no control '{name}'; {}",
                hint(&all, name)
            )));
        }
    }
    let is_chosen = |control: &Control| {
        (named.is_empty() || named.iter().any(|name| control.is_called(name)))
            && (frameworks.is_empty() || frameworks.iter().any(|name| name == control.framework.name()))
    };
    let chosen: Vec<Control> = all.into_iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        return Err(Failure::Usage("no --control is of one of the --framework".to_owned()));
    }
    Ok(chosen)
}

/// Those that begin as what was typed does.
fn hint(all: &[Control], name: &str) -> String {
    let id = name.rsplit([' ', ':', '/']).next().unwrap_or(name).to_uppercase();
    let family: String = id.chars().take_while(|character| !character.is_ascii_digit()).collect();
    let alike = |control: &&Control| !family.is_empty() && control.id.starts_with(&family);
    let ids: Vec<&str> = all.iter().filter(alike).map(|control| control.id.as_str()).collect();
    if ids.is_empty() {
        "they are as AC-6, A.8.15 or LLM06, see docs/reference/audit.md".to_owned()
    } else {
        format!("there are {}", ids.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(named: &[&str], frameworks: &[&str]) -> Result<Vec<String>, String> {
        let strings = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let chosen = chosen(controls::all().unwrap(), &strings(named), &strings(frameworks));
        chosen
            .map(|controls| controls.into_iter().map(|control| control.id).collect())
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn controls_are_chosen_by_name_and_framework() {
        assert_eq!(ids(&["nist ac-6", "LLM06"], &[]).unwrap(), ["AC-6", "LLM06"]);
        assert_eq!(ids(&[], &["owasp"]).unwrap().len(), 10);
        assert_eq!(ids(&["AC-6"], &["iso"]).unwrap_err(), "no --control is of one of the --framework");
    }

    #[test]
    fn a_control_that_is_not_there_gets_a_hint() {
        let error = ids(&["NIST SC-77"], &[]).unwrap_err();
        assert_eq!(
            error,
            "--control: there is no control 'NIST SC-77'; there are SC-7, SC-8, SC-12, SC-28, SC-39"
        );
        assert!(ids(&["77"], &[]).unwrap_err().ends_with("see docs/reference/audit.md"));
    }
}
