//! Who may ask for what. Peer credentials come from the kernel, so nobody can claim to be somebody else.

use agentguard_api::GROUP;
use agentguard_core::ids::AgentKey;
use procfs::process::Process;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Status};

use crate::agents::registry::Wanted;
use crate::agents::user::{self, Owner};
use crate::kernel::Kernel;

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Authority {
    /// Everything.
    Root,
    /// Read, and run or enroll processes of its own.
    Member,
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caller {
    /// User.
    pub(super) uid: u32,
    /// Its group.
    pub(super) gid: u32,
    /// The process that connected.
    pub(super) pid: u32,
    /// What it may do.
    pub(super) authority: Authority,
}

/// What is known about a peer.
#[derive(Debug, Clone, Copy)]
struct Peer {
    uid: u32,
    gid: u32,
    pid: u32,
}

impl Caller {
    /// As the journal and the policy history name it.
    pub(super) fn name(self) -> String {
        format!("uid {} ({})", self.uid, user::User::of(self.uid).name)
    }

    /// As approvals name it: who works as root is known by its login, so that two people are two.
    pub(super) fn reviewer(self) -> String {
        let login = i32::try_from(self.pid).ok().and_then(|pid| Process::new(pid).ok());
        let login = login.and_then(|process| process.loginuid().ok());
        match login.filter(|login| self.uid == 0 && *login != 0 && *login != u32::MAX) {
            Some(login) => format!("{}, login uid {login} ({})", self.name(), user::User::of(login).name),
            None => self.name(),
        }
    }

    /// Root and members of the reviewers' group may answer held requests. May block on the account database.
    pub(super) fn must_review(self, group: &str) -> Result<(), Status> {
        let is_reviewer = || !group.is_empty() && user::is_member(self.uid, self.gid, group);
        if self.authority == Authority::Root || is_reviewer() {
            return Ok(());
        }
        let who =
            if group.is_empty() { String::new() } else { format!(" and members of the group `{group}`") };
        Err(Status::permission_denied(format!("only root{who} may answer a held request")))
    }

    /// Only root may go on.
    pub(super) fn must_be_root(self, what: &str) -> Result<(), Status> {
        match self.authority {
            Authority::Root => Ok(()),
            Authority::Member => Err(Status::permission_denied(format!("only root may {what}"))),
        }
    }

    /// Whether the processes are the caller's to put under a spec.
    /// Returns whose process it is, to see later that it is still the same.
    pub(super) fn may_enroll(self, wanted: &Wanted, kernel: &dyn Kernel) -> Result<Option<Owner>, Status> {
        let pid = match wanted {
            Wanted::Run(pid) | Wanted::Pid(pid) => *pid,
            Wanted::Cgroup(_) | Wanted::Unit(_) => {
                return self.must_be_root("enroll a cgroup or unit").map(|()| None);
            }
        };
        if pid <= 1 || pid == std::process::id() {
            return Err(Status::invalid_argument(format!("process {pid} can not be an agent")));
        }
        let owner =
            user::owner(pid).ok_or_else(|| Status::not_found(format!("there is no process {pid}")))?;
        if self.authority != Authority::Root && !user::belongs_to(pid, self.uid) {
            return Err(Status::permission_denied(format!(
                "process {pid} is not yours; only root may enroll it"
            )));
        }
        match label(kernel, pid)? {
            Some(_) => Err(Status::failed_precondition(format!(
                "process {pid} is governed already; release its agent first"
            ))),
            None => Ok(Some(owner)),
        }
    }
}

/// The caller of a request, or why it is refused. May block on the account database.
pub(super) async fn caller<T>(
    request: &Request<T>,
    kernel: &std::sync::Arc<dyn Kernel>,
) -> Result<Caller, Status> {
    let unknown = || Status::unauthenticated("the caller could not be told; connect through the unix socket");
    let credentials =
        request.extensions().get::<UdsConnectInfo>().and_then(|info| info.peer_cred).ok_or_else(unknown)?;
    let peer = Peer {
        uid: credentials.uid(),
        gid: credentials.gid(),
        pid: credentials.pid().and_then(|pid| u32::try_from(pid).ok()).ok_or_else(unknown)?,
    };
    let kernel = kernel.clone();
    tokio::task::spawn_blocking(move || {
        let governed = label(&*kernel, peer.pid)?;
        let is_member = || user::is_member(peer.uid, peer.gid, GROUP);
        judge(peer, governed, is_member).map_err(Status::permission_denied)
    })
    .await
    .map_err(|_| Status::unavailable("agentd is stopping"))?
}

/// Could not tell is a no.
fn label(kernel: &dyn Kernel, pid: u32) -> Result<Option<AgentKey>, Status> {
    kernel
        .label_of(pid)
        .map_err(|error| Status::internal(format!("the label of process {pid} could not be read: {error}")))
}

/// Everything that decides, without anything that has to be asked for.
fn judge(peer: Peer, governed: Option<AgentKey>, is_member: impl FnOnce() -> bool) -> Result<Caller, String> {
    let caller = |authority| Caller { uid: peer.uid, gid: peer.gid, pid: peer.pid, authority };
    if governed.is_some() {
        return Err("a governed process may not talk to agentd".to_owned());
    }
    if peer.uid == 0 {
        return Ok(caller(Authority::Root));
    }
    if is_member() {
        return Ok(caller(Authority::Member));
    }
    Err(format!(
        "uid {} is neither root nor a member of the group `{GROUP}`; add it: usermod -aG {GROUP} USER",
        peer.uid
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Peer = Peer { uid: 1000, gid: 1000, pid: 4242 };

    #[test]
    fn root_may_do_everything() {
        let caller = judge(Peer { uid: 0, ..PEER }, None, || false).unwrap();
        assert_eq!(caller.authority, Authority::Root);
        assert!(caller.must_be_root("reload the policy").is_ok());
    }

    #[test]
    fn members_may_read_but_not_change_policy() {
        let caller = judge(PEER, None, || true).unwrap();
        assert_eq!(caller.authority, Authority::Member);
        let refused = caller.must_be_root("reload the policy").unwrap_err();
        assert_eq!(refused.message(), "only root may reload the policy");
    }

    #[test]
    fn everybody_else_is_refused_in_one_line() {
        let refused = judge(PEER, None, || false).unwrap_err();
        assert!(refused.contains("uid 1000") && refused.contains("usermod"), "{refused}");
        assert_eq!(refused.lines().count(), 1);
    }

    #[test]
    fn a_governed_process_is_refused_even_as_root() {
        let key = Some(AgentKey { slot: 1, serial: 1 });
        assert!(judge(Peer { uid: 0, ..PEER }, key, || true).is_err());
    }
}
