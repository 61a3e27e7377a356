//! `spec`: whether a spec is one that agentd would take, what its proof would be over, and how one is written. Offline.

use std::path::{Path, PathBuf};

use agentguard_core::spec::{Spec, SpecError};
use clap::{Args, Subcommand};

use crate::exit::{Failure, Outcome};
use crate::offline;
use crate::screen::{Format, Screen};
use crate::spec_text::{SpecText, Variable};

/// The commands below `spec`.
#[derive(Debug, Subcommand)]
pub(crate) enum Typed {
    /// Check a spec offline; every error with file and line
    Check(Check),
    /// Print the hash over the canonical form of a spec: what a proof names
    Hash(Hash),
    /// Print the JSON Schema of specs, for editors
    Schema,
}

/// What was typed after `spec hash`.
#[derive(Debug, Args)]
pub(crate) struct Hash {
    /// The spec
    file: PathBuf,
}

/// What was typed after `spec check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The spec
    file: PathBuf,
    /// Set a variable of the spec: then it is checked with these values too
    #[arg(long = "set", value_name = "NAME=VALUE")]
    variables: Vec<Variable>,
}

/// Runs a command below `spec`.
pub(crate) fn run(typed: &Typed, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    match typed {
        Typed::Check(arguments) => check(arguments, screen),
        Typed::Hash(Hash { file }) => hash(file, screen),
        Typed::Schema => {
            screen.raw(&schema())?;
            Ok(Outcome::Done)
        }
    }
}

/// As it is shipped beside the specs.
pub fn schema() -> String {
    format!("{:#}\n", agentguard_core::spec::schema())
}

fn hash(file: &Path, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let text = SpecText::read(file)?;
    let spec = match Spec::parse(&text.text, Path::new(&text.file)) {
        Ok(spec) => spec,
        Err(error) => return wrong(&error, screen),
    };
    match screen.format() {
        // As sha256sum prints: the hash first, for `cut` and `read`.
        Format::Table => screen.line(format!("{}  {}", spec.sha256(), text.file))?,
        Format::Json | Format::Ndjson => {
            screen.document(&serde_json::json!({"file": text.file, "sha256": spec.sha256()}))?;
        }
    }
    Ok(Outcome::Done)
}

/// Negative if there is any error.
fn check(arguments: &Check, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let text = SpecText::read(&arguments.file)?;
    let spec = match Spec::parse(&text.text, Path::new(&text.file)) {
        Ok(spec) => spec,
        Err(error) => return wrong(&error, screen),
    };
    if !arguments.variables.is_empty()
        && let Err(error) = offline::resolve(&text, &arguments.variables)?
    {
        return wrong(&error, screen);
    }
    let agent = &spec.agent;
    match screen.format() {
        Format::Table => {
            screen.line(format!(
                "{}: agent {}, {}, tier {}, mode {}, version {}, ok\nsha256 {}",
                text.file,
                agent.name,
                agent.role.name(),
                agent.tier,
                agent.mode,
                agent.version.as_deref().unwrap_or("none"),
                spec.sha256()
            ))?;
        }
        Format::Json | Format::Ndjson => {
            screen.document(
                &serde_json::json!({"ok": true, "agent": agent, "sha256": spec.sha256(), "errors": []}),
            )?;
        }
    }
    Ok(Outcome::Done)
}

fn wrong(error: &SpecError, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    match screen.format() {
        Format::Table => {
            screen.line(error.to_string())?;
            screen.line(crate::describe::count(error.problems.len(), "error"))?;
        }
        Format::Json | Format::Ndjson => {
            let errors: Vec<_> = error
                .problems
                .iter()
                .map(|problem| {
                    let source = &problem.source;
                    serde_json::json!({"file": source.file, "line": source.line, "message": problem.message})
                })
                .collect();
            screen.document(&serde_json::json!({"ok": false, "errors": errors}))?;
        }
    }
    Ok(Outcome::Negative)
}
