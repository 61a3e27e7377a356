//! The calls to agentd, one after the other, beside the keys: a slow agentd must not keep a person from leaving.

use std::path::PathBuf;
use std::time::Duration;

use agentguard_api::report::ApprovalView;
use agentguard_api::v1::{AnswerRequest, ApprovalsRequest};
use agentguard_api::{Client, ClientError};
use agentguard_core::ids::IncidentId;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::timeout;

/// agentd answers in milliseconds; a person who looks at the screen should not wonder for longer.
const PATIENCE: Duration = Duration::from_secs(10);

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
    let mut agentd = Agentd { socket, client: None };
    while let Some(job) = jobs.recv().await {
        let answer = match job {
            Job::List => Said::List(agentd.list("").await),
            Job::Look(id) => {
                let found = agentd.list(&id.0).await.ok();
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

struct Agentd {
    socket: PathBuf,
    client: Option<Client>,
}

impl Agentd {
    async fn list(&mut self, id: &str) -> Result<Vec<ApprovalView>, String> {
        let request = ApprovalsRequest { id: id.to_owned(), all: false };
        self.call(async |client| client.approvals(request).await).await
    }

    /// One call. After a failure the next one connects anew: only that tells in clear words that agentd is away.
    async fn call<T>(
        &mut self,
        call: impl AsyncFnOnce(&mut Client) -> Result<T, ClientError>,
    ) -> Result<T, String> {
        let (socket, client) = (&self.socket, self.client.take());
        let answered = timeout(PATIENCE, async {
            let mut client = match client {
                Some(client) => client,
                None => Client::connect(socket).await?,
            };
            let answer = call(&mut client).await?;
            Ok::<_, ClientError>((client, answer))
        });
        match answered.await {
            Ok(Ok((client, answer))) => {
                self.client = Some(client);
                Ok(answer)
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_elapsed) => Err(format!("agentd did not answer within {} s", PATIENCE.as_secs())),
        }
    }
}
