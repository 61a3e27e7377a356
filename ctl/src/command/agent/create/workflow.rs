//! `--from workflow`: what the commands of a workflow need.

use agentguard_authoring::{Identity, workflow};

use super::source::{SourceArguments, needed};
use super::{From, Made, not_made};
use crate::exit::Failure;
use crate::spec_text::SpecText;

pub(super) fn make(source: &SourceArguments, identity: Identity) -> Result<Made, Failure> {
    let file = needed(source.file.as_ref(), From::Workflow, "--file FILE.yml")?;
    let SpecText { file, text } = SpecText::read(file)?;
    let name = identity.name.clone();
    let draft =
        workflow::draft(&workflow::Workflow { file: &file, text: &text, identity }).map_err(not_made)?;
    Ok(Made { name, draft, origin: format!("workflow {file}"), file })
}
