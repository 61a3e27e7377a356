//! An agentd that answers what a test wants, on a unix socket of its own, in a thread of its own.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Command;
use std::sync::{Arc, Mutex};

use agentguard_api::v1::agentd_server::{Agentd, AgentdServer};
use agentguard_api::v1::{
    AnswerRequest, ApprovalsRequest, Empty, EnrollRequest, EventsRequest, ExplainRequest, GrantsRequest,
    Json, PolicyExplainRequest, PolicyReplayRequest, PolicyRollbackRequest, PolicyTreeRequest, QueryRequest,
    ReleaseRequest, RevokeRequest, enroll_request,
};
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

type Answer = Result<Response<Json>, Status>;
type Documents = Pin<Box<dyn Stream<Item = Result<Json, Status>> + Send>>;

/// What the fake does with each kind of call.
#[derive(Clone, Default)]
pub(crate) struct Script {
    /// The answer to enroll instead of a yes.
    pub(crate) refuse: Option<Status>,
    /// Documents of `events` and `query`.
    pub(crate) documents: Vec<Value>,
    /// Approvals that wait until they are answered.
    pub(crate) approvals: Vec<Value>,
    /// The answers to them.
    pub(crate) answers: Arc<Mutex<Vec<AnswerRequest>>>,
    /// Where to note, at the time of the enrolment, what the process to be governed is executing.
    pub(crate) note: Option<PathBuf>,
}

struct Fake(Script);

/// A running fake; it ends with the test.
pub(crate) struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn start(script: Script) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agentd.sock");
        let (ready, is_ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = UnixListener::bind(socket).unwrap();
                ready.send(()).unwrap();
                let server = tonic::transport::Server::builder().add_service(AgentdServer::new(Fake(script)));
                server.serve_with_incoming(UnixListenerStream::new(listener)).await.unwrap();
            });
        });
        is_ready.recv().unwrap();
        Self { folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// agentctl, pointed at this fake.
    pub(crate) fn agentctl(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agentctl"));
        command.env("AGENTGUARD_SOCKET", self.folder.path().join("agentd.sock")).args(words);
        command
    }
}

fn document(value: &Value) -> Json {
    Json { json: value.to_string() }
}

fn answer(value: &Value) -> Answer {
    Ok(Response::new(document(value)))
}

fn view(name: &str) -> Value {
    json!({
        "name": name, "state": "running", "mode": "enforce", "role": "ideation", "tier": 2, "target": "run",
        "key": {"slot": 0, "serial": 1}, "processes": 1, "uid": 0, "spec_file": "s.toml", "version": "0123456789ab",
        "rules": 3, "enrolled_ns": 0, "ended_ns": 0, "records": 0, "denied": 0
    })
}

#[tonic::async_trait]
impl Agentd for Fake {
    type EventsStream = Documents;
    type QueryStream = Documents;
    type PolicyReplayStream = Documents;

    async fn enroll(&self, request: Request<EnrollRequest>) -> Answer {
        let request = request.into_inner();
        if let Some(status) = &self.0.refuse {
            return Err(status.clone());
        }
        if let (Some(note), Some(enroll_request::Target::RunPid(pid))) = (&self.0.note, request.target) {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
            std::fs::write(note, command).unwrap();
        }
        answer(&json!({"agent": view("fake"), "tasks": 1, "warnings": ["only a fake"]}))
    }

    async fn agents(&self, _: Request<Empty>) -> Answer {
        answer(&json!([view("fake")]))
    }

    async fn release(&self, request: Request<ReleaseRequest>) -> Answer {
        let name = request.into_inner().name;
        Err(Status::not_found(format!("no agent named `{name}`")))
    }

    async fn events(&self, _: Request<EventsRequest>) -> Result<Response<Documents>, Status> {
        Ok(Response::new(self.documents()))
    }

    async fn query(&self, request: Request<QueryRequest>) -> Result<Response<Documents>, Status> {
        match request.into_inner().sql.as_str() {
            "forbidden" => Err(Status::permission_denied("only root may")),
            "slow" => Err(Status::deadline_exceeded("took longer than 5,000 ms")),
            _ => Ok(Response::new(self.documents())),
        }
    }

    async fn status(&self, _: Request<Empty>) -> Answer {
        Err(Status::internal("broken"))
    }

    async fn explain(&self, _: Request<ExplainRequest>) -> Answer {
        answer(&json!({"not": "this version"}))
    }

    async fn approvals(&self, _: Request<ApprovalsRequest>) -> Answer {
        let answers = self.0.answers.lock().unwrap();
        let waits = |one: &&Value| !answers.iter().any(|answer| one["id"] == answer.id.as_str());
        answer(&self.0.approvals.iter().filter(waits).cloned().collect())
    }

    async fn revoke(&self, _: Request<RevokeRequest>) -> Answer {
        Err(Status::unimplemented("revoke"))
    }

    async fn grants(&self, _: Request<GrantsRequest>) -> Answer {
        answer(&json!([]))
    }

    async fn answer(&self, request: Request<AnswerRequest>) -> Answer {
        let request = request.into_inner();
        let Some(one) = self.0.approvals.iter().find(|one| one["id"] == request.id.as_str()) else {
            return Err(Status::not_found(format!("there is no approval `{}`", request.id)));
        };
        let mut one = one.clone();
        one["state"] = json!(if request.allow { "approved" } else { "denied" });
        self.0.answers.lock().unwrap().push(request);
        answer(&one)
    }

    async fn policy_reload(&self, _: Request<Empty>) -> Answer {
        Err(Status::failed_precondition("policies/a/a.rego:3: unexpected token"))
    }

    async fn policy_history(&self, _: Request<Empty>) -> Answer {
        answer(&json!([]))
    }

    async fn policy_rollback(&self, request: Request<PolicyRollbackRequest>) -> Answer {
        let version = request.into_inner().version;
        answer(&json!({"previous": "aaa", "version": version, "changed": true, "agents": 1, "warnings": []}))
    }

    async fn policy_explain(&self, request: Request<PolicyExplainRequest>) -> Answer {
        let PolicyExplainRequest { agent, operation, object } = request.into_inner();
        answer(&json!({
            "agent": agent, "operation": operation, "object": object, "verdict": "deny", "enforced": true,
            "layer": "default", "layers": []
        }))
    }

    async fn policy_diff(&self, _: Request<PolicyTreeRequest>) -> Answer {
        answer(&json!({"from": "aaa", "to": "bbb", "agents": []}))
    }

    async fn policy_replay(&self, _: Request<PolicyReplayRequest>) -> Result<Response<Documents>, Status> {
        Ok(Response::new(self.documents()))
    }
}

impl Fake {
    fn documents(&self) -> Documents {
        let documents: Vec<_> = self.0.documents.iter().map(|value| Ok(document(value))).collect();
        Box::pin(tokio_stream::iter(documents))
    }
}
