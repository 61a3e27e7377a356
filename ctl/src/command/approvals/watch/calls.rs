//! The calls to agentd, one after the other, beside the keys: a slow agentd must not keep a person from leaving.

use std::path::PathBuf;

use agentguard_api::report::ApprovalView;
use agentguard_api::v1::{AnswerRequest, ApprovalsRequest};
use agentguard_core::ids::IncidentId;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::fullscreen::Reconnecting;

/// What to ask agentd. At most one list, one look and one answer are under way.
#[derive(Debug)]
pub(super) enum Job {
    List,
    Look(IncidentId),
    Answer(AnswerRequest),
}

/// What agentd said.
#[derive(Debug)]
pub(super) enum Said {
    List(Result<Vec<ApprovalView>, String>),
    Looked(IncidentId, Option<Box<ApprovalView>>),
    Outcome(IncidentId, Result<Box<ApprovalView>, String>),
}

/// Does jobs until nobody gives or wants any. In order: a list that was asked for before an answer is told before it.
pub(super) async fn serve(socket: PathBuf, mut jobs: UnboundedReceiver<Job>, said: UnboundedSender<Said>) {
    let mut agentd = Reconnecting::at(socket);
    while let Some(job) = jobs.recv().await {
        let answer = match job {
            Job::List => Said::List(list(&mut agentd, "").await),
            Job::Look(id) => {
                let found = list(&mut agentd, &id.0).await.ok();
                Said::Looked(id, found.and_then(|found| found.into_iter().next()).map(Box::new))
            }
            Job::Answer(request) => {
                let id = IncidentId(request.id.clone());
                let outcome = agentd.call(async |client| client.answer(request).await).await;
                Said::Outcome(id, outcome.map(Box::new))
            }
        };
        if said.send(answer).is_err() {
            return;
        }
    }
}

async fn list(agentd: &mut Reconnecting, id: &str) -> Result<Vec<ApprovalView>, String> {
    let request = ApprovalsRequest { id: id.to_owned(), all: false };
    agentd.call(async |client| client.approvals(request).await).await
}
