//! Approvals over the API: who waits, and a person's answer.

use agentguard_api::report::ApprovalView;
use agentguard_api::v1::{AnswerRequest, ApprovalsRequest};
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
    let reuse = match (asked.session, asked.seconds) {
        (true, _) => Reuse::Session,
        (false, 0) => Reuse::Once,
        (false, seconds) => Reuse::Seconds(seconds),
    };
    let vote = Vote {
        by: caller.name(),
        allow: asked.allow,
        because: asked.because,
        reuse,
        time_ns: clock::wall_ns(),
    };
    daemon.holds.answer(&asked.id, vote).map_err(refusal)
}

fn refusal(error: AnswerError) -> Status {
    let message = error.to_string();
    match error {
        AnswerError::Unknown(_) => Status::not_found(message),
        AnswerError::Refused(..) | AnswerError::Kernel(_) => Status::failed_precondition(message),
        AnswerError::Store(_) => Status::internal(message),
    }
}
