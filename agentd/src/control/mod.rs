//! The local API: gRPC on a unix socket. Each call is: who asks, what is asked, one function of the daemon, an answer.
//!
//! Knows no BPF, and no SQL but what users send.

mod access;
mod approvals;
mod connections;
mod events;
mod explain;
mod governance;
mod outlet;
mod policies;
mod serve;
pub mod spend;
mod status;
mod story;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use agentguard_api::report::{LogLevel, Released};
use agentguard_api::v1::agentd_server::Agentd;
use agentguard_api::v1::enroll_request::Target;
use agentguard_api::v1::{
    AgentRequest, AgentRevisionRequest, AgentSpecRequest, AnswerRequest, ApprovalsRequest, BudgetAddRequest,
    BudgetReportRequest, Empty, EnrollRequest, EventsRequest, ExplainRequest, GovernanceCheckRequest,
    GrantsRequest, Json, KeyGenerateRequest, KeyRevokeRequest, KeyTrustRequest, LogLevelRequest,
    PolicyExplainRequest, PolicyReplayRequest, PolicyRollbackRequest, PolicyTreeRequest, QueryRequest,
    ReleaseRequest, RevokeRequest,
};
use agentguard_core::ids::AgentName;
use agentguard_core::spec::Mode;
use serde::Serialize;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use crate::agents::compile::CompileError;
use crate::agents::registry::{Enrolment, Registry, RegistryError, Wanted};
use crate::export::Followers;
use crate::governance::{POLICY_ADMIN, Person};
use crate::health::Health;
use crate::holds::Holds;
use crate::kernel::Kernel;
use crate::logging::{self, LoggingError};
use crate::notify::Notifier;
use crate::pipeline::Counts;
use crate::policy::PolicyFailure;
use crate::record::query::QueryError;
use crate::record::{Store, StoreError};
use access::Caller;
use outlet::Documents;

pub use serve::{bind, serve};
pub(crate) use status::backend;

/// Short reads of the store at once.
const MAX_READS: usize = 4;

/// Long reads at once: each may use a thread and the disk for as long as its limits allow. Apart from the short ones, so
/// that no query keeps anybody from seeing the status.
const MAX_SCANS: usize = 4;

/// What the API needs of the daemon.
#[derive(Clone)]
pub struct Daemon {
    /// The kernel.
    pub kernel: Arc<dyn Kernel>,
    /// Agents.
    pub registry: Arc<Registry>,
    /// Members of this group may answer held requests, too; empty for none.
    pub reviewers: Arc<str>,
    /// Records.
    pub store: Store,
    /// Live records.
    pub followers: Followers,
    /// Those who are told of held requests.
    pub notifier: Notifier,
    /// Losses.
    pub counts: Arc<Counts>,
    /// The canary.
    pub health: Arc<Health>,
    /// Requests that wait.
    pub holds: Holds,
    /// Where the policy is read from.
    pub policy_dir: Arc<dyn Fn() -> PathBuf + Send + Sync>,
    /// When agentd started.
    pub started: Instant,
}

/// The service.
#[derive(Clone)]
pub struct Control {
    daemon: Daemon,
    reads: Arc<Semaphore>,
    scans: Arc<Semaphore>,
}

impl Control {
    /// Answers for a daemon.
    pub fn new(daemon: Daemon) -> Self {
        Self {
            daemon,
            reads: Arc::new(Semaphore::new(MAX_READS)),
            scans: Arc::new(Semaphore::new(MAX_SCANS)),
        }
    }

    async fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        access::caller(request, &self.daemon.kernel).await
    }

    /// Who calls, as governance knows people.
    async fn person<T>(&self, request: &Request<T>) -> Result<Person, Status> {
        let caller = self.caller(request).await?;
        let governance = self.daemon.registry.governance().clone();
        let person = move || governance.person(caller.reviewer(), caller.uid, caller.gid);
        tokio::task::spawn_blocking(person).await.map_err(|_| stopping())
    }

    /// Only root keeps keys.
    async fn keeper<T>(&self, request: &Request<T>) -> Result<Person, Status> {
        self.caller(request).await?.must_be_root("change keys")?;
        self.person(request).await
    }

    async fn must_have(&self, caller: Caller, role: &str, what: &str) -> Result<(), Status> {
        let governance = self.daemon.registry.governance().clone();
        let person = move || governance.person(caller.name(), caller.uid, caller.gid);
        let person = tokio::task::spawn_blocking(person).await.map_err(|_| stopping())?;
        if person.roles.iter().any(|own| own == role) {
            return Ok(());
        }
        Err(Status::permission_denied(format!("only root, and whoever has the role {role}, may {what}")))
    }

    /// Work that blocks for a moment.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Daemon) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        self.blocking(&self.reads, work).await
    }

    /// Work that blocks for long.
    async fn scan<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Daemon) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        self.blocking(&self.scans, work).await
    }

    /// When it is its turn.
    async fn blocking<T: Send + 'static>(
        &self,
        turns: &Arc<Semaphore>,
        work: impl FnOnce(&Daemon) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let permit = turns.clone().acquire_owned().await.map_err(|_| stopping())?;
        let daemon = self.daemon.clone();
        let work = move || {
            let _permit = permit;
            work(&daemon)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| stopping())?
    }
}

#[tonic::async_trait]
impl Agentd for Control {
    type EventsStream = Documents;
    type QueryStream = Documents;
    type PolicyReplayStream = Documents;
    type PolicyReloadStream = Documents;
    type PolicyRollbackStream = Documents;

    async fn status(&self, request: Request<Empty>) -> Result<Response<Json>, Status> {
        self.caller(&request).await?;
        json(&self.read(status::status).await?)
    }

    async fn log_level(&self, request: Request<LogLevelRequest>) -> Result<Response<Json>, Status> {
        let caller = self.caller(&request).await?;
        let filter = request.into_inner().filter;
        let written = if filter.is_empty() {
            logging::written()
        } else {
            self.must_have(caller, POLICY_ADMIN, "change the log level").await?;
            logging::change(&filter, &caller.name())
        };
        let written = written.map_err(|error| match error {
            LoggingError::Filter { .. } | LoggingError::Long => Status::invalid_argument(error.to_string()),
            LoggingError::Gone(_) => Status::failed_precondition(error.to_string()),
        })?;
        json(&LogLevel { filter: written.filter, at_start: written.at_start })
    }

    async fn agents(&self, request: Request<Empty>) -> Result<Response<Json>, Status> {
        self.caller(&request).await?;
        json(&self.read(|daemon| daemon.registry.list().map_err(refusal)).await?)
    }

    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<Json>, Status> {
        let caller = self.caller(&request).await?;
        let mut enrolment = enrolment(request.into_inner())?;
        enrolment.by = caller.name();
        enrolment.owner = caller.may_enroll(&enrolment.wanted, &*self.daemon.kernel)?;
        json(&self.daemon.registry.enroll(enrolment).await.map_err(refusal)?)
    }

    async fn release(&self, request: Request<ReleaseRequest>) -> Result<Response<Json>, Status> {
        self.caller(&request).await?.must_be_root("release an agent")?;
        let name = AgentName(request.into_inner().name);
        let processes = self.daemon.registry.release(&name).await.map_err(refusal)?;
        json(&Released { name, processes })
    }

    async fn events(&self, request: Request<EventsRequest>) -> Result<Response<Documents>, Status> {
        self.caller(&request).await?;
        events::events(self, request.into_inner()).await
    }

    async fn query(&self, request: Request<QueryRequest>) -> Result<Response<Documents>, Status> {
        self.caller(&request).await?;
        events::query(self, request.into_inner()).await
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<Json>, Status> {
        self.caller(&request).await?;
        let id = request.into_inner().id;
        json(&self.read(move |daemon| explain::explain(daemon, &id)).await?)
    }

    async fn approvals(&self, request: Request<ApprovalsRequest>) -> Result<Response<Json>, Status> {
        self.caller(&request).await?;
        let asked = request.into_inner();
        json(&self.read(move |daemon| approvals::list(daemon, &asked)).await?)
    }

    async fn answer(&self, request: Request<AnswerRequest>) -> Result<Response<Json>, Status> {
        let caller = self.caller(&request).await?;
        let asked = request.into_inner();
        json(&self.read(move |daemon| approvals::answer(daemon, caller, asked)).await?)
    }

    async fn revoke(&self, request: Request<RevokeRequest>) -> Result<Response<Json>, Status> {
        let caller = self.caller(&request).await?;
        let asked = request.into_inner();
        json(&self.read(move |daemon| approvals::revoke(daemon, caller, asked)).await?)
    }

    async fn grants(&self, request: Request<GrantsRequest>) -> Result<Response<Json>, Status> {
        self.caller(&request).await?;
        let agent = request.into_inner().agent;
        json(&self.read(move |daemon| approvals::grants(daemon, &agent)).await?)
    }

    async fn policy_reload(&self, request: Request<Empty>) -> Result<Response<Documents>, Status> {
        let caller = self.caller(&request).await?;
        self.must_have(caller, POLICY_ADMIN, "reload the policy").await?;
        let (folder, registry) = ((self.daemon.policy_dir)(), self.daemon.registry.clone());
        Ok(policies::change(move |progress| async move {
            registry.reload_policy(&folder, &caller.name(), progress).await.map_err(refusal)
        }))
    }

    async fn policy_history(&self, request: Request<Empty>) -> Result<Response<Json>, Status> {
        self.caller(&request).await?;
        let history = |daemon: &Daemon| {
            daemon.registry.policy().history().map_err(|error| refusal(PolicyFailure::from(error).into()))
        };
        json(&self.read(history).await?)
    }

    async fn policy_rollback(
        &self,
        request: Request<PolicyRollbackRequest>,
    ) -> Result<Response<Documents>, Status> {
        let caller = self.caller(&request).await?;
        self.must_have(caller, POLICY_ADMIN, "roll back the policy").await?;
        let version = Some(request.into_inner().version).filter(|version| !version.is_empty());
        let registry = self.daemon.registry.clone();
        Ok(policies::change(move |progress| async move {
            registry.roll_back_policy(version, &caller.name(), progress).await.map_err(refusal)
        }))
    }

    async fn policy_explain(&self, request: Request<PolicyExplainRequest>) -> Result<Response<Json>, Status> {
        self.caller(&request).await?;
        let asked = request.into_inner();
        json(&self.read(move |daemon| explain::policy_explain(daemon, &asked)).await?)
    }

    async fn policy_diff(&self, request: Request<PolicyTreeRequest>) -> Result<Response<Json>, Status> {
        self.caller(&request).await?;
        let tree = request.into_inner();
        json(&self.scan(move |daemon| policies::diff(daemon, tree)).await?)
    }

    async fn policy_replay(
        &self,
        request: Request<PolicyReplayRequest>,
    ) -> Result<Response<Documents>, Status> {
        self.caller(&request).await?;
        policies::replay(self, request.into_inner()).await
    }

    async fn agent_create(&self, request: Request<AgentSpecRequest>) -> Result<Response<Json>, Status> {
        let person = self.person(&request).await?;
        json(&governance::create(self, request.into_inner(), person).await?)
    }

    async fn agent_update(&self, request: Request<AgentSpecRequest>) -> Result<Response<Json>, Status> {
        let person = self.person(&request).await?;
        json(&governance::update(self, request.into_inner(), person).await?)
    }

    async fn agent_list(&self, request: Request<Empty>) -> Result<Response<Json>, Status> {
        self.caller(&request).await?;
        json(&self.read(governance::list).await?)
    }

    async fn agent_show(&self, request: Request<AgentRequest>) -> Result<Response<Json>, Status> {
        self.caller(&request).await?;
        let name = request.into_inner().name;
        json(&self.read(move |daemon| governance::show(daemon, &name)).await?)
    }

    async fn agent_history(&self, request: Request<AgentRequest>) -> Result<Response<Json>, Status> {
        self.caller(&request).await?;
        let name = request.into_inner().name;
        json(&self.read(move |daemon| governance::history(daemon, &name)).await?)
    }

    async fn agent_revision(&self, request: Request<AgentRevisionRequest>) -> Result<Response<Json>, Status> {
        self.caller(&request).await?;
        let asked = request.into_inner();
        json(&self.read(move |daemon| governance::revision(daemon, &asked)).await?)
    }

    async fn agent_validate(&self, request: Request<AgentRequest>) -> Result<Response<Json>, Status> {
        let person = self.person(&request).await?;
        let name = request.into_inner().name;
        json(&self.read(move |daemon| governance::validate(daemon, &name, &person)).await?)
    }

    async fn agent_promote(&self, request: Request<AgentRequest>) -> Result<Response<Json>, Status> {
        let person = self.person(&request).await?;
        json(&governance::promote(self, request.into_inner(), person).await?)
    }

    async fn agent_restrict(&self, request: Request<AgentRequest>) -> Result<Response<Json>, Status> {
        let person = self.person(&request).await?;
        json(&governance::restrict(self, request.into_inner(), person).await?)
    }

    async fn agent_lift(&self, request: Request<AgentRequest>) -> Result<Response<Json>, Status> {
        let person = self.person(&request).await?;
        json(&governance::lift(self, request.into_inner(), person).await?)
    }

    async fn agent_revoke(&self, request: Request<AgentRequest>) -> Result<Response<Json>, Status> {
        let person = self.person(&request).await?;
        json(&governance::revoke(self, request.into_inner(), person).await?)
    }

    async fn agent_delete(&self, request: Request<AgentRequest>) -> Result<Response<Json>, Status> {
        let person = self.person(&request).await?;
        json(&governance::delete(self, request.into_inner(), person).await?)
    }

    async fn governance_check(
        &self,
        request: Request<GovernanceCheckRequest>,
    ) -> Result<Response<Json>, Status> {
        let person = self.person(&request).await?;
        let asked = request.into_inner();
        json(&self.read(move |daemon| governance::check(daemon, &asked, &person)).await?)
    }

    async fn keys(&self, request: Request<Empty>) -> Result<Response<Json>, Status> {
        self.caller(&request).await?;
        json(&self.read(governance::keys).await?)
    }

    async fn key_generate(&self, request: Request<KeyGenerateRequest>) -> Result<Response<Json>, Status> {
        let person = self.keeper(&request).await?;
        json(&governance::generate_key(self, request.into_inner(), person).await?)
    }

    async fn key_trust(&self, request: Request<KeyTrustRequest>) -> Result<Response<Json>, Status> {
        let person = self.keeper(&request).await?;
        json(&governance::trust_key(self, request.into_inner(), person).await?)
    }

    async fn key_revoke(&self, request: Request<KeyRevokeRequest>) -> Result<Response<Json>, Status> {
        let person = self.keeper(&request).await?;
        json(&governance::revoke_key(self, request.into_inner(), person).await?)
    }

    async fn key_rotate(&self, request: Request<KeyGenerateRequest>) -> Result<Response<Json>, Status> {
        let person = self.keeper(&request).await?;
        json(&governance::rotate_key(self, request.into_inner(), person).await?)
    }

    async fn budget_add(&self, request: Request<BudgetAddRequest>) -> Result<Response<Json>, Status> {
        let person = self.person(&request).await?;
        json(&governance::add_spend(self, request.into_inner(), person).await?)
    }

    async fn budget_report(&self, request: Request<BudgetReportRequest>) -> Result<Response<Json>, Status> {
        self.caller(&request).await?;
        let asked = request.into_inner();
        json(&self.read(move |daemon| governance::budget_report(daemon, &asked)).await?)
    }
}

fn enrolment(request: EnrollRequest) -> Result<Enrolment, Status> {
    let mode = match request.mode.as_str() {
        "" => None,
        "observe" => Some(Mode::Observe),
        "enforce" => Some(Mode::Enforce),
        other => {
            return Err(Status::invalid_argument(format!(
                "`{other}` is not a mode; write observe or enforce"
            )));
        }
    };
    let wanted = match request.target {
        Some(Target::RunPid(pid)) => Wanted::Run(pid),
        Some(Target::Pid(pid)) => Wanted::Pid(pid),
        Some(Target::Cgroup(cgroup)) => Wanted::Cgroup(cgroup),
        Some(Target::Unit(unit)) => Wanted::Unit(unit),
        None => return Err(Status::invalid_argument("nothing was named; name a unit, a cgroup or a pid")),
    };
    Ok(Enrolment {
        spec: request.spec_toml,
        spec_file: if request.spec_file.is_empty() { "spec".to_owned() } else { request.spec_file },
        name: request.name,
        variables: request.variables.into_iter().collect::<BTreeMap<_, _>>(),
        mode,
        agent: request.agent,
        by: String::new(),
        wanted,
        owner: None,
    })
}

fn json<T: Serialize>(value: &T) -> Result<Response<Json>, Status> {
    Ok(Response::new(document(value)?))
}

fn document<T: Serialize>(value: &T) -> Result<Json, Status> {
    let json =
        serde_json::to_string(value).map_err(|error| Status::internal(format!("the answer: {error}")))?;
    Ok(Json { json })
}

fn stopping() -> Status {
    Status::unavailable("agentd is stopping")
}

/// The code tells a program what kind of refusal it is, the message tells a person.
fn refusal(error: RegistryError) -> Status {
    let message = error.to_string();
    match error {
        RegistryError::Compile(
            CompileError::Spec(_) | CompileError::Variable(_) | CompileError::Lower(_),
        )
        | RegistryError::Name(_) => Status::invalid_argument(message),
        RegistryError::Compile(CompileError::Policy(_)) | RegistryError::Policy(PolicyFailure::Wrong(_)) => {
            Status::failed_precondition(message)
        }
        RegistryError::Policy(PolicyFailure::History(_))
        | RegistryError::Place(_)
        | RegistryError::Kernel(_)
        | RegistryError::Degraded(_) => Status::failed_precondition(message),
        RegistryError::Taken(_) | RegistryError::Governed(..) => Status::already_exists(message),
        RegistryError::Unknown(_) => Status::not_found(message),
        RegistryError::Full => Status::resource_exhausted(message),
        RegistryError::Governance(error) => governance::refusal(error),
        RegistryError::Variable(_) => Status::invalid_argument(message),
        RegistryError::Scratch(_) => Status::failed_precondition(message),
        RegistryError::Store(_) | RegistryError::Compile(CompileError::Json(_)) => Status::internal(message),
        RegistryError::Stopping => stopping(),
    }
}

fn store_failed(error: StoreError) -> Status {
    Status::internal(error.to_string())
}

fn query_failed(error: QueryError) -> Status {
    let message = error.to_string();
    match error {
        QueryError::Refused(_) => Status::invalid_argument(message),
        QueryError::Timeout(_) => Status::deadline_exceeded(message),
        QueryError::MoreRows(_) => Status::resource_exhausted(message),
        QueryError::Store(_) => Status::internal(message),
    }
}
