//! `--from template`: a spec that ships or is kept on this host, under another name.

use agentguard_authoring::{Identity, template};

use super::source::{SourceArguments, needed};
use super::{From, Made, not_made};
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen, Tone, cell};
use crate::spec_text::{self, SPEC_FOLDERS, SpecText};

pub(super) fn make(source: &SourceArguments, identity: Identity) -> Result<Made, Failure> {
    let usage = "--template FILE|NAME; see agentctl agent create --list-templates";
    let named = needed(source.template.as_ref(), From::Template, usage)?;
    let SpecText { file, text } = SpecText::find(named)?;
    let name = identity.name.clone();
    let draft =
        template::draft(&template::Template { file: &file, text: &text, identity }).map_err(not_made)?;
    Ok(Made { name, draft, file, origin: format!("template {named}") })
}

/// What `--template` takes.
pub(super) fn list(screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let templates = spec_text::templates();
    match screen.format() {
        Format::Table if templates.is_empty() => {
            screen.line(format!("no templates in {}", SPEC_FOLDERS.join(" or ")))?;
        }
        Format::Table => {
            let mut table = screen.new_table(&["template", "file"]);
            for (name, file) in &templates {
                table.add_row([cell(name, Tone::Strong), cell(file.display().to_string(), Tone::Dim)]);
            }
            screen.table(&table)?;
        }
        Format::Json | Format::Ndjson => {
            let document = |(name, file)| serde_json::json!({"name": name, "file": file});
            let documents: Vec<_> = templates.iter().map(document).collect();
            screen.documents(&documents)?;
        }
    }
    Ok(Outcome::Done)
}
