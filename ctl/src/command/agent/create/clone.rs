//! `--from clone`: the newest spec of a registered agent, under another name.

use agentguard_api::v1::AgentRevisionRequest;
use agentguard_authoring::{Identity, clone};

use super::source::{SourceArguments, needed};
use super::{From, Made, not_made};
use crate::daemon::Daemon;
use crate::exit::Failure;

pub(super) fn make(
    source: &SourceArguments,
    identity: Identity,
    daemon: &mut Daemon,
) -> Result<Made, Failure> {
    let agent = needed(source.agent.as_ref(), From::Clone, "--agent NAME; see agentctl agent list")?;
    let request = AgentRevisionRequest { name: agent.clone(), revision: 0 };
    let text = daemon.call(async |client| client.agent_revision(request).await)?;
    let file = format!("agent {agent}");
    let name = identity.name.clone();
    let draft = clone::draft(&clone::Clone { file: &file, text: &text, identity }).map_err(not_made)?;
    Ok(Made { name, draft, file, origin: format!("clone of {agent}") })
}
