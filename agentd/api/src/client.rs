//! The client side of the unix socket: connects, calls, and turns every failure into one clear line.

use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use agentguard_core::ids::AgentName;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

use crate::report;
use crate::v1::agentd_client::AgentdClient;
use crate::v1::{
    AgentRequest, AgentRevisionRequest, AgentSpecRequest, AnswerRequest, ApprovalsRequest, BudgetAddRequest,
    BudgetReportRequest, Empty, EnrollRequest, EventsRequest, ExplainRequest, GovernanceCheckRequest,
    GrantsRequest, Json, KeyGenerateRequest, KeyRevokeRequest, KeyTrustRequest, LogLevelRequest,
    PolicyExplainRequest, PolicyReplayRequest, PolicyRollbackRequest, PolicyTreeRequest, QueryRequest,
    ReleaseRequest, RevokeRequest,
};
use crate::{GROUP, MAX_MESSAGE_BYTES};

/// Why a call did not give a document. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("agentd is not running (no answer on {}); start it with `systemctl start agentd`", socket.display())]
    NotRunning {
        /// The socket.
        socket: PathBuf,
    },
    /// The socket may not be opened.
    #[error("{}: permission denied; run as root, or as a member of the group `{GROUP}`", socket.display())]
    Permission {
        /// The socket.
        socket: PathBuf,
    },
    /// Another failure to connect.
    #[error("{}: {source}", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// agentd refused: the caller may not do this.
    #[error("{0}")]
    Denied(String),
    /// agentd refused: what was asked is wrong.
    #[error("{0}")]
    Invalid(String),
    /// agentd does not know what was named.
    #[error("{0}")]
    NotFound(String),
    /// agentd cannot do this here, or not in its present state.
    #[error("{0}")]
    Unable(String),
    /// It took too long.
    #[error("{0}")]
    Timeout(String),
    /// agentd failed, or went away during the call.
    #[error("{0}")]
    Failed(String),
    /// agentd's answer is not of this version.
    #[error("agentd's answer is not understood ({0}); agentctl and agentd should be of the same version")]
    Version(#[from] serde_json::Error),
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        let message = status.message().to_owned();
        match status.code() {
            Code::PermissionDenied | Code::Unauthenticated => Self::Denied(message),
            Code::InvalidArgument | Code::OutOfRange => Self::Invalid(message),
            Code::NotFound => Self::NotFound(message),
            Code::FailedPrecondition
            | Code::Unimplemented
            | Code::AlreadyExists
            | Code::ResourceExhausted => Self::Unable(message),
            Code::DeadlineExceeded => Self::Timeout(message),
            Code::Unavailable => Self::Failed(format!("agentd went away during the call ({message})")),
            Code::Ok | Code::Cancelled | Code::Unknown | Code::Aborted | Code::Internal | Code::DataLoss => {
                Self::Failed(message)
            }
        }
    }
}

/// A connection to agentd.
#[derive(Debug, Clone)]
pub struct Client {
    rpc: AgentdClient<Channel>,
}

/// A stream of documents.
#[derive(Debug)]
pub struct Documents<T> {
    stream: Streaming<Json>,
    kind: PhantomData<T>,
}

/// A document with the text it came in, to print exactly what agentd said.
#[derive(Debug, Clone)]
pub struct Verbatim<T> {
    /// The JSON as it came.
    pub json: String,
    /// What it says.
    pub value: T,
}

impl<T: DeserializeOwned> Documents<T> {
    /// The next document, or nothing at the end.
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        Ok(self.next_verbatim().await?.map(|document| document.value))
    }

    /// The same, with its text.
    pub async fn next_verbatim(&mut self) -> Result<Option<Verbatim<T>>, ClientError> {
        self.stream.message().await?.map(read).transpose()
    }

    fn new(stream: Streaming<Json>) -> Self {
        Self { stream, kind: PhantomData }
    }
}

impl Client {
    /// Connects, and says what to do if that is not possible.
    pub async fn connect(socket: impl AsRef<Path>) -> Result<Self, ClientError> {
        let socket = socket.as_ref().to_owned();
        // A first connection only for its error: tonic would wrap it in several layers.
        drop(UnixStream::connect(&socket).await.map_err(|error| cannot_connect(&socket, error))?);
        let path = socket.clone();
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://agentd")
            .connect_with_connector(connector)
            .await
            .map_err(|error| cannot_connect(&socket, io::Error::other(error)))?;
        let rpc = AgentdClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self { rpc })
    }

    /// How agentd is.
    pub async fn status(&mut self) -> Result<report::Status, ClientError> {
        value(self.rpc.status(Empty {}).await)
    }

    /// Which log lines agentd writes; others from now on, unless the filter is empty.
    pub async fn log_level(&mut self, filter: &str) -> Result<report::LogLevel, ClientError> {
        value(self.rpc.log_level(LogLevelRequest { filter: filter.to_owned() }).await)
    }

    /// Agents that run or ran.
    pub async fn agents(&mut self) -> Result<Vec<report::AgentView>, ClientError> {
        value(self.rpc.agents(Empty {}).await)
    }

    /// Puts processes under a spec.
    pub async fn enroll(&mut self, request: EnrollRequest) -> Result<report::Enrolled, ClientError> {
        value(self.rpc.enroll(request).await)
    }

    /// Frees an agent's processes.
    pub async fn release(&mut self, name: &str) -> Result<report::Released, ClientError> {
        value(self.rpc.release(ReleaseRequest { name: name.to_owned() }).await)
    }

    /// Records, oldest first, then as they come.
    pub async fn events(
        &mut self,
        request: EventsRequest,
    ) -> Result<Documents<report::EventLine>, ClientError> {
        Ok(Documents::new(self.rpc.events(Request::new(request)).await?.into_inner()))
    }

    /// Rows of a read-only SQL query, columns in order.
    pub async fn query(&mut self, request: QueryRequest) -> Result<Documents<report::Row>, ClientError> {
        Ok(Documents::new(self.rpc.query(request).await?.into_inner()))
    }

    /// The story of one record, by incident id or number.
    pub async fn explain(&mut self, id: &str) -> Result<report::Explanation, ClientError> {
        value(self.rpc.explain(ExplainRequest { id: id.to_owned() }).await)
    }

    /// Reads the policy again and puts it into force for every agent, or for none: how far that is, then what changed.
    pub async fn policy_reload(&mut self) -> Result<Documents<report::PolicyLine>, ClientError> {
        Ok(Documents::new(self.rpc.policy_reload(Empty {}).await?.into_inner()))
    }

    /// Policies that were in force, newest first.
    pub async fn policy_history(&mut self) -> Result<Vec<report::PolicyVersion>, ClientError> {
        value(self.rpc.policy_history(Empty {}).await)
    }

    /// Puts an earlier policy into force; empty: the one before the running one.
    pub async fn policy_rollback(
        &mut self,
        version: &str,
    ) -> Result<Documents<report::PolicyLine>, ClientError> {
        let request = PolicyRollbackRequest { version: version.to_owned() };
        Ok(Documents::new(self.rpc.policy_rollback(request).await?.into_inner()))
    }

    /// Held requests that wait or waited for people.
    pub async fn approvals(
        &mut self,
        request: ApprovalsRequest,
    ) -> Result<Vec<report::ApprovalView>, ClientError> {
        value(self.rpc.approvals(request).await)
    }

    /// Ends an approval that is good for later requests, too.
    pub async fn revoke(&mut self, request: RevokeRequest) -> Result<report::ApprovalView, ClientError> {
        value(self.rpc.revoke(request).await)
    }

    /// Answers that stand for an agent.
    pub async fn grants(&mut self, agent: &str) -> Result<Vec<report::GrantView>, ClientError> {
        value(self.rpc.grants(GrantsRequest { agent: agent.to_owned() }).await)
    }

    /// A person's answer to a held request.
    pub async fn answer(&mut self, request: AnswerRequest) -> Result<report::ApprovalView, ClientError> {
        value(self.rpc.answer(request).await)
    }

    /// What an agent's rules say to one operation.
    pub async fn policy_explain(
        &mut self,
        request: PolicyExplainRequest,
    ) -> Result<report::PolicyExplanation, ClientError> {
        value(self.rpc.policy_explain(request).await)
    }

    /// What another policy would change in the rules of the running agents.
    pub async fn policy_diff(
        &mut self,
        request: PolicyTreeRequest,
    ) -> Result<report::PolicyDiff, ClientError> {
        value(self.rpc.policy_diff(request).await)
    }

    /// What another policy would have said to recorded requests; the last document is a summary.
    pub async fn policy_replay(
        &mut self,
        request: PolicyReplayRequest,
    ) -> Result<Documents<report::ReplayLine>, ClientError> {
        Ok(Documents::new(self.rpc.policy_replay(request).await?.into_inner()))
    }

    /// Registers an agent in the sandbox.
    pub async fn agent_create(
        &mut self,
        request: AgentSpecRequest,
    ) -> Result<report::RegisteredAgent, ClientError> {
        value(self.rpc.agent_create(request).await)
    }

    /// Gives a registered agent another spec: it is in the sandbox again.
    pub async fn agent_update(
        &mut self,
        request: AgentSpecRequest,
    ) -> Result<report::RegisteredAgent, ClientError> {
        value(self.rpc.agent_update(request).await)
    }

    /// A registered agent, and whether what runs is what was signed.
    pub async fn agent_show(&mut self, request: AgentRequest) -> Result<report::AgentDetail, ClientError> {
        value(self.rpc.agent_show(request).await)
    }

    /// What became of a registered agent, oldest first.
    pub async fn agent_history(
        &mut self,
        request: AgentRequest,
    ) -> Result<Vec<agentguard_governance::register::Step>, ClientError> {
        value(self.rpc.agent_history(request).await)
    }

    /// The text of a spec that a registered agent has or had.
    pub async fn agent_revision(&mut self, request: AgentRevisionRequest) -> Result<String, ClientError> {
        value(self.rpc.agent_revision(request).await)
    }

    /// What would be said to a promotion, and to a start.
    pub async fn agent_validate(&mut self, request: AgentRequest) -> Result<report::Validation, ClientError> {
        value(self.rpc.agent_validate(request).await)
    }

    /// Asks policy to let an agent out of the sandbox, and signs that.
    pub async fn agent_promote(&mut self, request: AgentRequest) -> Result<report::Promotion, ClientError> {
        value(self.rpc.agent_promote(request).await)
    }

    /// Puts a promoted agent under the tightened rules of policy.
    pub async fn agent_restrict(
        &mut self,
        request: AgentRequest,
    ) -> Result<report::RegisteredAgent, ClientError> {
        value(self.rpc.agent_restrict(request).await)
    }

    /// Takes a person's restriction back.
    pub async fn agent_lift(
        &mut self,
        request: AgentRequest,
    ) -> Result<report::RegisteredAgent, ClientError> {
        value(self.rpc.agent_lift(request).await)
    }

    /// Stops an agent for good: it starts when it is promoted again.
    pub async fn agent_revoke(
        &mut self,
        request: AgentRequest,
    ) -> Result<report::RegisteredAgent, ClientError> {
        value(self.rpc.agent_revoke(request).await)
    }

    /// Forgets a registered agent.
    pub async fn agent_delete(&mut self, request: AgentRequest) -> Result<AgentName, ClientError> {
        value(self.rpc.agent_delete(request).await)
    }

    /// What would be said to a promotion for a place.
    pub async fn governance_check(
        &mut self,
        request: GovernanceCheckRequest,
    ) -> Result<report::Validation, ClientError> {
        value(self.rpc.governance_check(request).await)
    }

    /// Makes a key.
    pub async fn key_generate(
        &mut self,
        request: KeyGenerateRequest,
    ) -> Result<report::KeyChange, ClientError> {
        value(self.rpc.key_generate(request).await)
    }

    /// Trusts a public key from elsewhere.
    pub async fn key_trust(&mut self, request: KeyTrustRequest) -> Result<report::KeyChange, ClientError> {
        value(self.rpc.key_trust(request).await)
    }

    /// Ends a key: nothing that it signed counts any more.
    pub async fn key_revoke(&mut self, request: KeyRevokeRequest) -> Result<report::KeyChange, ClientError> {
        value(self.rpc.key_revoke(request).await)
    }

    /// Makes a key that signs from now on, and signs every proof anew.
    pub async fn key_rotate(
        &mut self,
        request: KeyGenerateRequest,
    ) -> Result<report::KeyChange, ClientError> {
        value(self.rpc.key_rotate(request).await)
    }

    /// Adds to what an agent spent.
    pub async fn budget_add(&mut self, request: BudgetAddRequest) -> Result<report::Spent, ClientError> {
        value(self.rpc.budget_add(request).await)
    }

    /// What was spent in a month.
    pub async fn budget_report(
        &mut self,
        request: BudgetReportRequest,
    ) -> Result<report::BudgetReport, ClientError> {
        value(self.rpc.budget_report(request).await)
    }

    /// Registered agents, by name.
    pub async fn agent_list(&mut self) -> Result<Vec<report::RegisteredAgent>, ClientError> {
        value(self.rpc.agent_list(Empty {}).await)
    }

    /// Keys that count, and that did.
    pub async fn keys(&mut self) -> Result<report::KeyList, ClientError> {
        value(self.rpc.keys(Empty {}).await)
    }
}

fn value<T: DeserializeOwned>(answer: Result<tonic::Response<Json>, Status>) -> Result<T, ClientError> {
    read(answer?.into_inner()).map(|document| document.value)
}

fn read<T: DeserializeOwned>(document: Json) -> Result<Verbatim<T>, ClientError> {
    Ok(Verbatim { value: serde_json::from_str(&document.json)?, json: document.json })
}

fn cannot_connect(socket: &Path, source: io::Error) -> ClientError {
    let socket = socket.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning { socket },
        io::ErrorKind::PermissionDenied => ClientError::Permission { socket },
        _ => ClientError::Connect { socket, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_socket_means_that_agentd_does_not_run() {
        let error = cannot_connect(Path::new("/run/x.sock"), io::ErrorKind::NotFound.into()).to_string();
        assert!(error.contains("agentd is not running") && error.contains("systemctl start"), "{error}");
    }

    #[test]
    fn a_closed_socket_says_which_group_opens_it() {
        let error =
            cannot_connect(Path::new("/run/x.sock"), io::ErrorKind::PermissionDenied.into()).to_string();
        assert!(error.contains("permission denied") && error.contains("`agentguard`"), "{error}");
    }
}
