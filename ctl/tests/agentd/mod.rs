//! An agentd that answers what a test wants, on a unix socket of its own, in a thread of its own.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Command;
use std::sync::{Arc, Mutex};

use agentguard_api::v1::agentd_server::{Agentd, AgentdServer};
use agentguard_api::v1::{
    AgentRequest, AgentRevisionRequest, AgentSpecRequest, AnswerRequest, ApprovalsRequest, BudgetAddRequest,
    BudgetReportRequest, Empty, EnrollRequest, EventsRequest, ExplainRequest, GovernanceCheckRequest,
    GrantsRequest, Json, KeyGenerateRequest, KeyRevokeRequest, KeyTrustRequest, LogLevelRequest,
    PolicyExplainRequest, PolicyReplayRequest, PolicyRollbackRequest, PolicyTreeRequest, QueryRequest,
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
    /// Scratch directory of a run, as in the sandbox.
    pub(crate) scratch: Option<String>,
    /// Enrolments that were asked for.
    pub(crate) enrolled: Arc<Mutex<Vec<EnrollRequest>>>,
    /// Specs that were to be registered.
    pub(crate) registered: Arc<Mutex<Vec<AgentSpecRequest>>>,
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
    type PolicyReloadStream = Documents;
    type PolicyRollbackStream = Documents;

    async fn enroll(&self, request: Request<EnrollRequest>) -> Answer {
        let request = request.into_inner();
        self.0.enrolled.lock().unwrap().push(request.clone());
        if let Some(status) = &self.0.refuse {
            return Err(status.clone());
        }
        if let (Some(note), Some(enroll_request::Target::RunPid(pid))) = (&self.0.note, request.target) {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
            std::fs::write(note, command).unwrap();
        }
        let mut enrolled = json!({"agent": view("fake"), "tasks": 1, "warnings": ["only a fake"]});
        if let Some(scratch) = &self.0.scratch {
            enrolled["scratch"] = json!(scratch);
        }
        answer(&enrolled)
    }

    async fn log_level(&self, request: Request<LogLevelRequest>) -> Answer {
        match request.into_inner().filter.as_str() {
            "" => answer(&json!({"filter": "info", "at_start": "info"})),
            filter => answer(&json!({"filter": filter, "at_start": "info"})),
        }
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

    async fn policy_reload(&self, _: Request<Empty>) -> Result<Response<Documents>, Status> {
        Err(Status::failed_precondition("policies/a/a.rego:3: unexpected token"))
    }

    async fn policy_history(&self, _: Request<Empty>) -> Answer {
        answer(&json!([]))
    }

    async fn policy_rollback(
        &self,
        request: Request<PolicyRollbackRequest>,
    ) -> Result<Response<Documents>, Status> {
        let version = request.into_inner().version;
        Ok(Response::new(documents(&[
            json!({"kind": "progress", "done": 1, "total": 2}),
            json!({
                "kind": "change", "previous": "aaa", "version": version, "changed": true, "agents": 1, "warnings": [],
                "took_ms": 5, "revalidated": [
                    {"agent": "coder", "before": "GOVERNED_VALID", "after": "GOVERNED_RESTRICTED", "refusals": [refusal()]},
                    {"agent": "other", "before": "GOVERNED_VALID", "after": "GOVERNED_VALID"}
                ]
            }),
        ])))
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

    async fn agent_create(&self, request: Request<AgentSpecRequest>) -> Answer {
        let request = request.into_inner();
        let agent = registered(&request.name, "SANDBOX");
        self.0.registered.lock().unwrap().push(request);
        answer(&agent)
    }

    async fn agent_update(&self, request: Request<AgentSpecRequest>) -> Answer {
        self.agent_create(request).await
    }

    async fn agent_list(&self, _: Request<Empty>) -> Answer {
        answer(&json!([registered("coder", "GOVERNED_VALID")]))
    }

    async fn agent_show(&self, request: Request<AgentRequest>) -> Answer {
        answer(&detail(&request.into_inner().name))
    }

    async fn agent_history(&self, _: Request<AgentRequest>) -> Answer {
        answer(&json!([]))
    }

    /// Every revision has another comment at its end.
    async fn agent_revision(&self, request: Request<AgentRevisionRequest>) -> Answer {
        let AgentRevisionRequest { revision, .. } = request.into_inner();
        answer(&json!(format!("{SPEC}# revision {revision}\n")))
    }

    async fn agent_validate(&self, _: Request<AgentRequest>) -> Answer {
        answer(&validation(&[]))
    }

    /// Nobody answers for `draft`.
    async fn agent_promote(&self, request: Request<AgentRequest>) -> Answer {
        match request.into_inner().name.as_str() {
            "nobody" => Err(Status::not_found("there is no agent `nobody`")),
            "draft" => answer(&json!({
                "code": "PROMOTION_DENIED", "refusals": [refusal()], "agent": registered("draft", "SANDBOX")
            })),
            name => answer(&json!({
                "code": "PROMOTION_SUCCESS", "refusals": [], "agent": registered(name, "GOVERNED_VALID")
            })),
        }
    }

    async fn agent_restrict(&self, request: Request<AgentRequest>) -> Answer {
        answer(&registered(&request.into_inner().name, "GOVERNED_RESTRICTED"))
    }

    async fn agent_lift(&self, request: Request<AgentRequest>) -> Answer {
        answer(&registered(&request.into_inner().name, "GOVERNED_VALID"))
    }

    async fn agent_revoke(&self, request: Request<AgentRequest>) -> Answer {
        answer(&registered(&request.into_inner().name, "GOVERNED_INVALIDATED"))
    }

    async fn agent_delete(&self, request: Request<AgentRequest>) -> Answer {
        answer(&json!(request.into_inner().name))
    }

    async fn governance_check(&self, request: Request<GovernanceCheckRequest>) -> Answer {
        let production = request.into_inner().environment == "production";
        let refusals = if production { vec![refusal()] } else { Vec::new() };
        answer(&validation(&refusals))
    }

    async fn keys(&self, _: Request<Empty>) -> Answer {
        answer(&json!({"keys": [], "problems": []}))
    }

    async fn key_generate(&self, request: Request<KeyGenerateRequest>) -> Answer {
        let KeyGenerateRequest { algorithm, label } = request.into_inner();
        answer(&json!({"key": key(&algorithm, &label), "resigned": 0, "stopped": []}))
    }

    async fn key_trust(&self, _: Request<KeyTrustRequest>) -> Answer {
        not_played("key_trust")
    }

    async fn key_revoke(&self, _: Request<KeyRevokeRequest>) -> Answer {
        not_played("key_revoke")
    }

    /// Empty is the algorithm of the key in use.
    async fn key_rotate(&self, request: Request<KeyGenerateRequest>) -> Answer {
        let KeyGenerateRequest { algorithm, label } = request.into_inner();
        assert_eq!(algorithm, "");
        answer(&json!({"key": key("hmac-sha256", &label), "resigned": 2, "stopped": []}))
    }

    async fn budget_add(&self, request: Request<BudgetAddRequest>) -> Answer {
        let BudgetAddRequest { agent, usd, key, .. } = request.into_inner();
        let spent: f64 = usd.parse().unwrap();
        let total = json!({"agent": agent, "spent_usd": spent, "monthly_budget_usd": 50.0, "percent": 1, "entries": 1});
        answer(&json!({"total": total, "added": key != "twice"}))
    }

    async fn budget_report(&self, _: Request<BudgetReportRequest>) -> Answer {
        answer(&json!({"month": "2026-11", "agents": [], "spent_usd": 0.0}))
    }
}

impl Fake {
    fn documents(&self) -> Documents {
        documents(&self.0.documents)
    }
}

fn documents(values: &[Value]) -> Documents {
    let documents: Vec<_> = values.iter().map(|value| Ok(document(value))).collect();
    Box::pin(tokio_stream::iter(documents))
}

/// What the fake register has: whatever agent is asked for, promoted.
pub(crate) const SPEC: &str = "[agent]\nname = \"coder\"\ndescription = \"x\"\nrole = \"ideation\"\ntier = 2\n\
                               mode = \"enforce\"\n\n[variables]\nworkspace = \"\"\n";

fn registered(name: &str, state: &str) -> Value {
    json!({
        "name": name, "state": state, "revision": 2, "description": "x", "role": "ideation", "tier": 2,
        "spec_sha256": "ab", "origin": "scratch", "created_ns": 0, "created_by": "uid 0 (root)", "updated_ns": 0,
        "expires_ns": 0, "spent_usd": 0.0, "running": []
    })
}

fn detail(name: &str) -> Value {
    let mut detail = registered(name, "GOVERNED_VALID");
    let more = json!({
        "spec": SPEC, "variables": {}, "policy_sha256": "cd", "instances": [],
        "admission": {"code": "ADMISSION_ALLOW", "reason": "", "checks": [{"name": "state", "holds": true}]}
    });
    for (key, value) in more.as_object().unwrap() {
        detail[key] = value.clone();
    }
    detail
}

fn refusal() -> Value {
    json!({
        "id": "promotion.owner", "reason": "nobody answers for it; set agent.owner", "then": "restrict",
        "source": {"file": "policies/promotion/promotion.rego", "line": 7}
    })
}

fn validation(refusals: &[Value]) -> Value {
    let admission = json!({"code": "ADMISSION_ALLOW", "reason": "", "checks": []});
    json!({"ok": refusals.is_empty(), "refusals": refusals, "admission": admission})
}

fn key(algorithm: &str, label: &str) -> Value {
    json!({
        "id": format!("{algorithm}-0123456789ab"), "algorithm": algorithm, "label": label, "status": "trusted",
        "added_sec": 0, "added_by": "uid 0 (root)", "active": true, "has_secret": true, "proofs": 0
    })
}

fn not_played(call: &str) -> Answer {
    Err(Status::unimplemented(call))
}
