//! Approvals over the API: who waits, and a person's answer.

use agentguard_api::report::{ApprovalView, GrantView};
use agentguard_api::v1::{AnswerRequest, ApprovalsRequest, RevokeRequest};
use agentguard_core::approval::{Reuse, Vote};
use tonic::Status;

use super::access::Caller;
use super::{Daemon, store_failed};
use crate::clock;
use crate::holds::AnswerError;

/// All of them, or the one that is named.
pub(super) fn list(daemon: &Daemon, asked: &ApprovalsRequest) -> Result<Vec<ApprovalView>, Status> {
    if asked.id.is_empty() {
        return daemon.holds.list(asked.all).map_err(store_failed);
    }
    let found = daemon.holds.get(&asked.id).map_err(store_failed)?;
    found.map(|one| vec![one]).ok_or_else(|| refusal(AnswerError::Unknown(asked.id.clone())))
}

/// A person's answer.
pub(super) fn answer(daemon: &Daemon, caller: Caller, asked: AnswerRequest) -> Result<ApprovalView, Status> {
    caller.must_review(&daemon.reviewers)?;
    let reuse = match (asked.session, asked.seconds) {
        (true, _) => Reuse::Session,
        (false, 0) => Reuse::Once,
        (false, seconds) => Reuse::Seconds(seconds),
    };
    daemon.holds.answer(&asked.id, vote(caller, asked.allow, asked.because, reuse)).map_err(refusal)
}

/// The end of an approval that is good for later requests, too.
pub(super) fn revoke(daemon: &Daemon, caller: Caller, asked: RevokeRequest) -> Result<ApprovalView, Status> {
    caller.must_review(&daemon.reviewers)?;
    daemon.holds.revoke(&asked.id, vote(caller, false, asked.because, Reuse::Once)).map_err(refusal)
}

/// Answers that stand for an agent.
pub(super) fn grants(daemon: &Daemon, agent: &str) -> Result<Vec<GrantView>, Status> {
    let unknown = || Status::not_found(format!("there is no running agent `{agent}`; see agentctl agents"));
    let running = daemon.registry.running().map_err(|error| Status::internal(error.to_string()))?;
    let found = running.into_iter().find(|one| one.name.0 == agent).ok_or_else(unknown)?;
    daemon.holds.grants(found.key, found.generation).map_err(refusal)
}

fn vote(caller: Caller, allow: bool, because: String, reuse: Reuse) -> Vote {
    Vote { by: caller.reviewer(), allow, because, reuse, time_ns: clock::wall_ns() }
}

fn refusal(error: AnswerError) -> Status {
    let message = error.to_string();
    match error {
        AnswerError::Unknown(_) => Status::not_found(message),
        AnswerError::Refused(..) | AnswerError::Kernel(_) => Status::failed_precondition(message),
        AnswerError::Store(_) => Status::internal(message),
    }
}
