//! `--from scratch`: a spec under which a shell runs, and nothing else.

use agentguard_authoring::{Identity, scratch};

use super::{Made, not_made};
use crate::exit::Failure;

pub(super) fn make(identity: Identity) -> Result<Made, Failure> {
    let name = identity.name.clone();
    let draft = scratch::draft(&scratch::Scratch { identity }).map_err(not_made)?;
    Ok(Made { file: format!("{name}.toml"), name, draft, origin: "scratch".to_owned() })
}
