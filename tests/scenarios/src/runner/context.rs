//! What a run needs to know about the host: where the programs are, who the ordinary user is, that agentd answers.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::unistd::{Gid, Group as UserGroup, Uid, User as Account};

use crate::need;
use crate::scenario::{Scenario, User};

/// Folder of everything that scenarios make. On disk, because a tmpfs lacks some of what is tried.
const ROOT: &str = "/var/tmp/agentguard-selftest";
/// Records take milliseconds; emulated machines and floods take their time.
const RECORD_LIMIT_SEC: u64 = 20;
/// Where the trigger is installed, if not beside agentctl.
const TRIGGER_FOLDERS: [&str; 3] = ["/usr/libexec/agentguard", "/usr/lib/agentguard", "/usr/bin"];
const TRIGGER: &str = "agentguard-trigger";
/// Ordinary users to try as, in this order.
const USERS: [&str; 2] = ["dev", "nobody"];
/// Members may ask agentd to govern their own processes.
const GROUP: &str = "agentguard";

/// Where and as whom scenarios run.
#[derive(Debug, Clone)]
pub struct Context {
    /// `agentctl`.
    pub agentctl: PathBuf,
    /// `agentguard-trigger`.
    pub trigger: PathBuf,
    /// Folder of everything that scenarios make; made and owned by root.
    pub root: PathBuf,
    /// Name of the back end, as `agentctl status` says it.
    pub backend: String,
    /// How long a record may take from the kernel to the store.
    pub record_limit_sec: u64,
    pub(crate) person: Person,
    pub(crate) run_id: String,
}

/// The ordinary user.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    /// The group that may talk to agentd, if the host has it.
    pub(crate) group: Option<Gid>,
}

/// Why nothing can run here.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// Not root.
    #[error("the scenarios need root: they try things as root and as an ordinary user, and look at both")]
    NotRoot,
    /// No trigger.
    #[error("{TRIGGER} is neither beside agentctl nor in {}", TRIGGER_FOLDERS.join(", "))]
    NoTrigger,
    /// No ordinary user.
    #[error("there is neither a user {} to try as", USERS.join(" nor a user "))]
    NoUser,
    /// agentd does not answer.
    #[error("agentd does not answer: {0}")]
    NoDaemon(String),
}

impl Context {
    /// Finds out about this host. `agentctl` is the program to use, usually the running one.
    pub fn discover(agentctl: &Path) -> Result<Self, ContextError> {
        if !Uid::effective().is_root() {
            return Err(ContextError::NotRoot);
        }
        let trigger = find_trigger(agentctl).ok_or(ContextError::NoTrigger)?;
        let person = find_person().ok_or(ContextError::NoUser)?;
        let backend = ask_backend(agentctl)?;
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Ok(Self {
            agentctl: agentctl.to_owned(),
            trigger,
            root: PathBuf::from(ROOT),
            record_limit_sec: RECORD_LIMIT_SEC,
            backend,
            person,
            run_id: format!("{}-{}", std::process::id(), now_ms % 1_000_000),
        })
    }

    /// What this host lacks for the scenario.
    pub(crate) fn missing(&self, scenario: &Scenario) -> Option<String> {
        if !scenario.backends.contains(&self.backend) {
            return Some(format!("back end {} (this is {})", scenario.backends.join(" or "), self.backend));
        }
        scenario.needs.iter().find(|need| !need.is_met()).map(ToString::to_string)
    }

    /// Ids of who tries.
    pub(crate) fn ids(&self, user: User) -> (Uid, Gid) {
        match user {
            User::Root => (Uid::from_raw(0), Gid::from_raw(0)),
            User::Dev => (self.person.uid, self.person.gid),
        }
    }
}

fn find_trigger(agentctl: &Path) -> Option<PathBuf> {
    let beside =
        agentctl.canonicalize().ok().and_then(|path| path.parent().map(|folder| folder.join(TRIGGER)));
    let installed = TRIGGER_FOLDERS.iter().map(|folder| Path::new(folder).join(TRIGGER));
    // Rules see the resolved path.
    beside.into_iter().chain(installed).find(|path| path.is_file()).and_then(|path| path.canonicalize().ok())
}

fn find_person() -> Option<Person> {
    let account = USERS.iter().find_map(|name| Account::from_name(name).ok().flatten())?;
    let group = UserGroup::from_name(GROUP).ok().flatten().map(|group| group.gid);
    Some(Person { uid: account.uid, gid: account.gid, group })
}

fn ask_backend(agentctl: &Path) -> Result<String, ContextError> {
    let failed = |why: String| ContextError::NoDaemon(why);
    let output = Command::new(agentctl)
        .args(["-o", "json", "status"])
        .output()
        .map_err(|error| failed(format!("{}: {error}", agentctl.display())))?;
    let status: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))?;
    status
        .get("backend")
        .and_then(serde_json::Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| failed("its status names no back end".to_owned()))
}

impl Person {
    /// Words that run what follows them as this user.
    pub(crate) fn drop_root(&self) -> Vec<OsString> {
        let setpriv = need::in_path("setpriv").unwrap_or_else(|| PathBuf::from("/usr/bin/setpriv"));
        // As the primary group, because that is what the other end of a unix socket sees of a process.
        let (gid, groups) = match self.group {
            Some(group) => (group, format!("--groups={}", self.gid)),
            None => (self.gid, "--clear-groups".to_owned()),
        };
        let (uid, gid) = (format!("--reuid={}", self.uid), format!("--regid={gid}"));
        std::iter::once(setpriv.into_os_string())
            .chain([uid, gid, groups, "--inh-caps=-all".to_owned()].map(OsString::from))
            .collect()
    }
}
