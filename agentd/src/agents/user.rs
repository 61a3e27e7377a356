//! Users: for whom an agent runs, and who calls.

use nix::unistd::{Gid, Group, Uid, User as Account, getgrouplist};
use procfs::process::Process;

/// For whom an agent runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Number.
    pub uid: u32,
    /// Name; the number if there is no account.
    pub name: String,
    /// Home directory.
    pub home: String,
}

impl User {
    /// From the account database. A uid without an account is a user without a home.
    pub fn of(uid: u32) -> Self {
        match Account::from_uid(Uid::from_raw(uid)) {
            Ok(Some(account)) => {
                Self { uid, name: account.name, home: account.dir.to_string_lossy().into_owned() }
            }
            Ok(None) | Err(_) => Self { uid, name: uid.to_string(), home: "/nonexistent".to_owned() },
        }
    }
}

/// Whose a process is, and since when: another process that got the same pid is another owner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Real uid.
    pub uid: u32,
    /// Start as /proc tells it.
    pub start_ticks: u64,
}

/// The owner of a process; none if it is gone.
pub fn owner(pid: u32) -> Option<Owner> {
    let process = Process::new(i32::try_from(pid).ok()?).ok()?;
    Some(Owner { uid: process.status().ok()?.ruid, start_ticks: process.stat().ok()?.starttime })
}

/// Whether a process is the one that began then, and no later one that got its number.
pub fn is_still(pid: u32, start_ticks: u64) -> bool {
    owner(pid).is_some_and(|owner| owner.start_ticks == start_ticks)
}

/// Whether a process runs. One that has ended and waits for its parent to hear of it does not; one whose first thread has
/// ended does, as long as there is another.
pub fn is_alive(pid: u32) -> bool {
    let process = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok());
    process
        .and_then(|process| process.stat().ok())
        .is_some_and(|stat| !matches!(stat.state, 'Z' | 'X') || stat.num_threads > 1)
}

/// Whether all of a process' uids are this one: a program that gained another user's rights is not the caller's own.
pub fn belongs_to(pid: u32, uid: u32) -> bool {
    let status = i32::try_from(pid)
        .ok()
        .and_then(|pid| Process::new(pid).ok())
        .and_then(|process| process.status().ok());
    status.is_some_and(|status| {
        [status.ruid, status.euid, status.suid, status.fuid].iter().all(|id| *id == uid)
    })
}

/// Whether a user is in a group, also as one of the user's further groups. A group that does not exist has no members.
pub fn is_member(uid: u32, gid: u32, group: &str) -> bool {
    let Ok(Some(group)) = Group::from_name(group) else { return false };
    if group.gid == Gid::from_raw(gid) {
        return true;
    }
    let Ok(Some(account)) = Account::from_uid(Uid::from_raw(uid)) else { return false };
    let Ok(name) = std::ffi::CString::new(account.name) else { return false };
    getgrouplist(&name, account.gid).is_ok_and(|groups| groups.contains(&group.gid))
}
