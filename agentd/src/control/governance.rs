//! Registered agents, keys and budgets over the API. What changes an agent goes through the registry, so that it reaches
//! what runs.

use std::sync::Arc;

use agentguard_api::report::{
    AgentDetail, BudgetReport, KeyChange, KeyList, Promotion, RegisteredAgent, Spent, Validation,
};
use agentguard_api::v1::{
    AgentRequest, AgentRevisionRequest, AgentSpecRequest, BudgetAddRequest, BudgetReportRequest,
    GovernanceCheckRequest, KeyGenerateRequest, KeyRevokeRequest, KeyTrustRequest,
};
use agentguard_core::ids::AgentName;
use agentguard_governance::budget::Spend;
use agentguard_governance::register::{RegisterError, Step};
use agentguard_governance::state::State;
use tonic::Status;

use super::{Control, Daemon};
use crate::agents::registry::{Registry, RegistryError};
use crate::governance::{AGENT_ADMIN, Amount, Governance, GovernanceError, NewSpec, Person, Question};

/// The code tells a program what kind of refusal it is, the message tells a person.
pub(super) fn refusal(error: GovernanceError) -> Status {
    let message = error.to_string();
    match error {
        GovernanceError::Register(RegisterError::Unknown(_) | RegisterError::NoRevision(..)) => {
            Status::not_found(message)
        }
        GovernanceError::Register(RegisterError::Taken(_)) => Status::already_exists(message),
        GovernanceError::Register(RegisterError::Full) => Status::resource_exhausted(message),
        GovernanceError::Spec(_) | GovernanceError::Invalid(_) => Status::invalid_argument(message),
        GovernanceError::Role { .. } => Status::permission_denied(message),
        GovernanceError::Register(RegisterError::Damaged { .. })
        | GovernanceError::Keys(_)
        | GovernanceError::NoOtherKey(..)
        | GovernanceError::Unrecorded(_)
        | GovernanceError::Policy(_)
        | GovernanceError::NothingRefused
        | GovernanceError::Refused(..)
        | GovernanceError::Denied { .. } => Status::failed_precondition(message),
        GovernanceError::Register(RegisterError::File(_)) | GovernanceError::Store(_) => {
            Status::internal(message)
        }
    }
}

/// Changes something, and puts it into effect on what runs.
async fn change<T: Send + 'static>(
    control: &Control,
    name: Option<String>,
    work: impl FnOnce(&Governance) -> Result<T, GovernanceError> + Send + 'static,
) -> Result<T, Status> {
    control.daemon.registry.govern_agent(name, work).await.map_err(super::refusal)
}

fn new_spec(request: AgentSpecRequest) -> NewSpec {
    NewSpec {
        name: request.name,
        spec: request.spec_toml,
        spec_file: request.spec_file,
        origin: request.origin,
        variables: request.variables.into_iter().collect(),
        sandbox_days: request.sandbox_days,
    }
}

pub(super) async fn create(
    control: &Control,
    request: AgentSpecRequest,
    by: Person,
) -> Result<RegisteredAgent, Status> {
    let new = new_spec(request);
    change(control, Some(new.name.clone()), move |governance| governance.create(&new, &by)).await
}

pub(super) async fn update(
    control: &Control,
    request: AgentSpecRequest,
    by: Person,
) -> Result<RegisteredAgent, Status> {
    let new = new_spec(request);
    change(control, Some(new.name.clone()), move |governance| governance.update(&new, &by)).await
}

pub(super) async fn promote(
    control: &Control,
    request: AgentRequest,
    by: Person,
) -> Result<Promotion, Status> {
    let name = request.name;
    change(control, Some(name.clone()), move |governance| governance.promote(&name, &by)).await
}

pub(super) async fn restrict(
    control: &Control,
    request: AgentRequest,
    by: Person,
) -> Result<RegisteredAgent, Status> {
    let AgentRequest { name, because } = request;
    change(control, Some(name.clone()), move |governance| governance.restrict(&name, &because, &by)).await
}

pub(super) async fn lift(
    control: &Control,
    request: AgentRequest,
    by: Person,
) -> Result<RegisteredAgent, Status> {
    let AgentRequest { name, because } = request;
    change(control, Some(name.clone()), move |governance| governance.lift(&name, &because, &by)).await
}

pub(super) async fn revoke(
    control: &Control,
    request: AgentRequest,
    by: Person,
) -> Result<RegisteredAgent, Status> {
    let AgentRequest { name, because } = request;
    change(control, Some(name.clone()), move |governance| governance.revoke(&name, &because, &by)).await
}

pub(super) async fn delete(
    control: &Control,
    request: AgentRequest,
    by: Person,
) -> Result<AgentName, Status> {
    let AgentRequest { name, because } = request;
    change(control, Some(name.clone()), move |governance| governance.delete(&name, &because, &by)).await
}

pub(super) fn list(daemon: &Daemon) -> Result<Vec<RegisteredAgent>, Status> {
    let mut agents = daemon.registry.governance().list().map_err(refusal)?;
    let runs = daemon.registry.runs().map_err(super::refusal)?;
    for agent in &mut agents {
        let own = runs.iter().filter(|(registered, _)| *registered == agent.name.0);
        agent.running = own.map(|(_, run)| run.clone()).collect();
    }
    Ok(agents)
}

pub(super) fn show(daemon: &Daemon, name: &str) -> Result<AgentDetail, Status> {
    let mut detail = daemon.registry.governance().detail(name).map_err(refusal)?;
    detail.instances = daemon.registry.instances(name).map_err(super::refusal)?;
    detail.agent.running = detail.instances.iter().map(|run| run.agent.name.clone()).collect();
    Ok(detail)
}

pub(super) fn history(daemon: &Daemon, name: &str) -> Result<Vec<Step>, Status> {
    daemon.registry.governance().history(name).map_err(refusal)
}

pub(super) fn revision(daemon: &Daemon, asked: &AgentRevisionRequest) -> Result<String, Status> {
    daemon.registry.governance().revision(&asked.name, asked.revision).map_err(refusal)
}

pub(super) fn validate(daemon: &Daemon, name: &str, by: &Person) -> Result<Validation, Status> {
    daemon.registry.governance().validate(name, by).map_err(refusal)
}

pub(super) fn check(
    daemon: &Daemon,
    asked: &GovernanceCheckRequest,
    by: &Person,
) -> Result<Validation, Status> {
    let tier = match u8::try_from(asked.tier) {
        Ok(0) => None,
        Ok(tier @ 1..=4) => Some(tier),
        Ok(_) | Err(_) => {
            return Err(Status::invalid_argument(format!("tier {} is none; write 1 to 4", asked.tier)));
        }
    };
    let budget_limit_usd = match asked.budget_limit_usd.as_str() {
        "" => None,
        text => Some(amount(text)?.dollars()),
    };
    let question = Question { tier, environment: asked.environment.clone(), budget_limit_usd };
    daemon.registry.governance().check(&asked.agent, by, &question).map_err(refusal)
}

pub(super) fn keys(daemon: &Daemon) -> Result<KeyList, Status> {
    daemon.registry.governance().keys().map_err(refusal)
}

pub(super) async fn generate_key(
    control: &Control,
    request: KeyGenerateRequest,
    by: Person,
) -> Result<KeyChange, Status> {
    let KeyGenerateRequest { algorithm, label } = request;
    change_keys(control, move |governance| governance.generate_key(&algorithm, &label, &by)).await
}

pub(super) async fn trust_key(
    control: &Control,
    request: KeyTrustRequest,
    by: Person,
) -> Result<KeyChange, Status> {
    let KeyTrustRequest { public_key, label } = request;
    change_keys(control, move |governance| governance.trust_key(&public_key, &label, &by)).await
}

pub(super) async fn revoke_key(
    control: &Control,
    request: KeyRevokeRequest,
    by: Person,
) -> Result<KeyChange, Status> {
    let KeyRevokeRequest { id, because } = request;
    change_keys(control, move |governance| governance.revoke_key(&id, &because, &by)).await
}

pub(super) async fn rotate_key(
    control: &Control,
    request: KeyGenerateRequest,
    by: Person,
) -> Result<KeyChange, Status> {
    let KeyGenerateRequest { algorithm, label } = request;
    change_keys(control, move |governance| governance.rotate_key(&algorithm, &label, &by)).await
}

/// Whoever runs on a proof that does not hold any more is stopped, and named.
async fn change_keys(
    control: &Control,
    work: impl FnOnce(&Governance) -> Result<KeyChange, GovernanceError> + Send + 'static,
) -> Result<KeyChange, Status> {
    let registry = &control.daemon.registry;
    let before = registry.runs().map_err(super::refusal)?;
    let mut changed = change(control, None, work).await?;
    let after = registry.runs().map_err(super::refusal)?;
    changed.stopped = before.into_iter().filter(|run| !after.contains(run)).map(|(_, run)| run).collect();
    Ok(changed)
}

pub(super) async fn add_spend(
    control: &Control,
    request: BudgetAddRequest,
    by: Person,
) -> Result<Spent, Status> {
    if !by.roles.iter().any(|role| role == AGENT_ADMIN) {
        let what = "add to what an agent spent".to_owned();
        return Err(refusal(GovernanceError::Role { who: by.name, what, role: AGENT_ADMIN }));
    }
    let BudgetAddRequest { agent, usd, note, key } = request;
    let amount = Amount { agent, spend: amount(&usd)?, note, key };
    spend(&control.daemon.registry, amount, by).await.map_err(super::refusal)
}

/// Adds an amount; when a budget is spent, policy is asked about the agent again.
pub(super) async fn spend(
    registry: &Arc<Registry>,
    amount: Amount,
    by: Person,
) -> Result<Spent, RegistryError> {
    let registry = registry.clone();
    // Of its own: a client that leaves once the amount is added must not leave an agent to go on.
    let work = tokio::spawn(async move {
        let name = amount.agent.clone();
        let mut spent = registry
            .govern_agent(Some(name.clone()), move |governance| governance.spend(&amount, &by))
            .await?;
        // Again and again while it is over: what policy says may not have been written down the first time.
        let is_over = spent.total.percent.is_some_and(|percent| percent >= 100);
        if is_over && spent.total.state.is_some_and(State::is_promoted) {
            registry.revalidate(Some(name.clone()), "the budget is spent").await?;
            let agent = registry.governance().get(&name)?;
            spent.total.state =
                Some(agent.standing.state).filter(|_| agent.problem.is_none()).or(Some(State::Invalidated));
        }
        Ok(spent)
    });
    work.await.map_err(|_| RegistryError::Stopping)?
}

pub(super) fn budget_report(daemon: &Daemon, asked: &BudgetReportRequest) -> Result<BudgetReport, Status> {
    daemon.registry.governance().budget_report(&asked.agent, &asked.month).map_err(refusal)
}

fn amount(text: &str) -> Result<Spend, Status> {
    Spend::parse(text).ok_or_else(|| {
        Status::invalid_argument(format!(
            "`{text}` is no amount; write dollars with at most six decimals, such as 0.0125"
        ))
    })
}
