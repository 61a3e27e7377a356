//! Where an agent lives: finds the cgroup that was named, or gives a command a scope or cgroup of its own.

use std::path::PathBuf;

use agentguard_core::ids::{AgentKey, AgentName};

use super::cgroup::{self, CgroupError, Cgroups};
use super::systemd::{self, SystemdError};
use super::undo::Undo;
use super::{Target, user};
use user::Owner;

/// What a caller wants to be governed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A stopped child of the caller, in a place of its own.
    Run(u32),
    /// A process and its children.
    Pid(u32),
    /// A cgroup by name.
    Cgroup(String),
    /// A systemd unit.
    Unit(String),
}

/// Why there is no place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The process is gone.
    #[error("there is no process {0}")]
    NoProcess(u32),
    /// About a cgroup.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// About systemd.
    #[error(transparent)]
    Systemd(#[from] SystemdError),
    /// Only systemd has units.
    #[error("unit {0} can not be enrolled: systemd does not run here; name its cgroup or a pid")]
    NoSystemd(String),
}

impl Wanted {
    /// Fails if the process is not the one any more that the caller was allowed to name.
    pub(super) fn is_still(&self, owner: Option<Owner>) -> Result<(), PlaceError> {
        match self {
            Self::Run(pid) | Self::Pid(pid) if owner.is_some() && user::owner(*pid) != owner => {
                Err(PlaceError::NoProcess(*pid))
            }
            Self::Run(_) | Self::Pid(_) | Self::Cgroup(_) | Self::Unit(_) => Ok(()),
        }
    }
}

/// The user for whom the wanted processes run; root for a cgroup without processes.
pub(super) async fn user_of(wanted: &Wanted) -> Result<user::User, PlaceError> {
    let pid = match wanted {
        Wanted::Run(pid) | Wanted::Pid(pid) => Some(*pid),
        Wanted::Cgroup(name) => cgroup::processes(&Cgroups::find()?.named(name)?).first().copied(),
        Wanted::Unit(unit) => cgroup::processes(&unit_cgroup(unit).await?).first().copied(),
    };
    match pid {
        Some(pid) => {
            user::owner(pid).map(|owner| user::User::of(owner.uid)).ok_or(PlaceError::NoProcess(pid))
        }
        None => Ok(user::User::of(0)),
    }
}

/// Finds or makes the place. What it makes is taken back by `undo`.
pub(super) async fn settle(
    wanted: &Wanted,
    name: &AgentName,
    key: AgentKey,
    undo: &mut Undo,
) -> Result<Target, PlaceError> {
    match wanted {
        Wanted::Run(pid) if systemd::is_there() => scope(name, key, *pid).await,
        Wanted::Run(pid) => own_cgroup(name, key, *pid, undo),
        Wanted::Pid(pid) => {
            let owner = user::owner(*pid).ok_or(PlaceError::NoProcess(*pid))?;
            Ok(Target::Pid { pid: *pid, start_ticks: owner.start_ticks })
        }
        Wanted::Cgroup(cgroup) => Ok(Target::Cgroup { cgroup: Cgroups::find()?.named(cgroup)? }),
        Wanted::Unit(unit) => Ok(Target::Unit { unit: unit.clone(), cgroup: unit_cgroup(unit).await? }),
    }
}

/// A scope ends by itself with its last process, so there is nothing to take back: the caller ends the process.
async fn scope(name: &AgentName, key: AgentKey, pid: u32) -> Result<Target, PlaceError> {
    let scope = format!("agentguard-{name}-{}.scope", key.serial);
    let cgroup =
        systemd::start_scope(&Cgroups::find()?, &scope, &format!("AgentGuard agent {name}"), pid).await?;
    Ok(Target::Run { pid, cgroup, scope: Some(scope) })
}

fn own_cgroup(name: &AgentName, key: AgentKey, pid: u32, undo: &mut Undo) -> Result<Target, PlaceError> {
    let cgroups = Cgroups::find()?;
    let before = cgroups.of(pid).ok_or(PlaceError::NoProcess(pid))?;
    let cgroup = cgroups.make(&format!("{name}-{}", key.serial))?;
    let made = cgroup.clone();
    undo.push(move || cgroup::remove(&made));
    cgroup::enter(&cgroup, pid)?;
    undo.push(move || {
        // The process may be gone already; then there is nothing to bring back.
        let _ = cgroup::enter(&before, pid);
    });
    Ok(Target::Run { pid, cgroup, scope: None })
}

async fn unit_cgroup(unit: &str) -> Result<PathBuf, PlaceError> {
    if !systemd::is_there() {
        return Err(PlaceError::NoSystemd(unit.to_owned()));
    }
    let cgroups = Cgroups::find()?;
    let path = systemd::unit_cgroup(&cgroups, unit).await?;
    Ok(cgroups.named(&path.to_string_lossy())?)
}
