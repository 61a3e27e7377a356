//! `policy check`: whether a directory is a policy that agentd would load. Evaluates it for sample agents, like agentd.

use std::path::PathBuf;

use agentguard_policy::PolicySet;
use clap::Args;

use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen};

/// What was typed after `policy check`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Directory of packs: <pack>/<pack>.rego
    directory: PathBuf,
}

pub(super) fn run(arguments: &Arguments, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let set = match PolicySet::read(&arguments.directory) {
        Ok(set) => set,
        Err(errors) => return super::wrong(&errors, screen),
    };
    let packs: Vec<&str> = set.packs().collect();
    match screen.format() {
        Format::Table => screen.line(format!(
            "policy {}: {} ({}), ok",
            set.version(),
            describe::count(packs.len(), "pack"),
            packs.join(", ")
        ))?,
        Format::Json | Format::Ndjson => {
            let version = set.version().short();
            screen.document(
                &serde_json::json!({"ok": true, "version": version, "packs": packs, "errors": []}),
            )?;
        }
    }
    Ok(Outcome::Done)
}
