//! Governance on this host: registered agents, what becomes of them, and whether they may start.
//!
//! The rules of it are pure and elsewhere (`agentguard-governance`, and the packs' `refuse` rules); here they meet the disk, the
//! clock, the audit log and the policy in force. Whatever an agent is about to be allowed is written down first; if that
//! fails, it is not allowed. Knows no kernel: what runs is [`crate::agents::registry`]'s, which asks here.

mod admission;
mod agents;
mod budget;
mod keys;
mod promotion;
mod revalidation;
mod standing;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agentguard_audit::{Code, Entry as AuditEntry, codes};
use agentguard_core::spec::{Spec, SpecError, Variables};
use agentguard_governance::keys::{Algorithm, KeyId, KeyRing, RingError};
use agentguard_governance::register::{Entry, Register, RegisterError, Step, Stored};
use agentguard_governance::state::{Event, Refused, Standing};
use agentguard_policy::{AgentFacts, HostFacts, Input, PolicyErrors};

use crate::agents::user::User;
use crate::audit::{Audit, Unrecorded};
use crate::clock;
use crate::config::GovernanceSettings;
use crate::export::metrics::GovernanceCounters;
use crate::policy::InUse;
use crate::record::StoreError;

pub use admission::{Admitted, Holds};
pub use agents::NewSpec;
pub use budget::{Amount, Ledger};
pub use promotion::{Question, refusal_views};
pub use revalidation::Judged;

/// Folders in the state directory.
const AGENTS: &str = "agents";
const KEYS: &str = "keys";
pub(crate) const AUDIT: &str = "audit";

/// What `agentctl restore` leaves for the audit log.
const RESTORED: &str = "restored.json";

const NS_PER_SEC: u64 = 1_000_000_000;
const SEC_PER_DAY: u64 = 24 * 60 * 60;

/// Role of those who may promote, restrict and revoke agents.
pub const AGENT_ADMIN: &str = "agent_admin";
/// Role of those who may change policy.
pub const POLICY_ADMIN: &str = "policy_admin";

/// Who asks, and what that person may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// `uid 1000 (alice)`.
    pub name: String,
    /// User.
    pub uid: u32,
    /// [`AGENT_ADMIN`], [`POLICY_ADMIN`].
    pub roles: Vec<String>,
}

impl Person {
    /// agentd itself.
    pub fn agentd() -> Self {
        Self { name: "agentd".to_owned(), uid: 0, roles: Vec::new() }
    }

    fn has(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role)
    }
}

/// Why governance did not do something. Each is one line, or one per mistake.
#[derive(Debug, thiserror::Error)]
pub enum GovernanceError {
    /// The register.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// Keys.
    #[error(transparent)]
    Keys(#[from] RingError),
    /// The key in use is revoked, and nothing took its place.
    #[error(
        "key {0} is revoked, but no other could be made: {1}; until there is one nothing that this host signs counts: agentctl keys generate"
    )]
    NoOtherKey(KeyId, RingError),
    /// The audit log.
    #[error(transparent)]
    Unrecorded(#[from] Unrecorded),
    /// A spec.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The policy could not be asked.
    #[error("policy: {0}")]
    Policy(#[from] PolicyErrors),
    /// It means nothing in this state.
    #[error("agent {0}: {1}")]
    Refused(String, Refused),
    /// It may not start.
    #[error("agent {agent}: {code}: {reason}")]
    Denied {
        /// Which.
        agent: String,
        /// Admission's answer.
        code: &'static str,
        /// In words.
        reason: String,
    },
    /// Not this person.
    #[error("{who} may not {what}; it takes the role {role}")]
    Role {
        /// Who asked.
        who: String,
        /// For what.
        what: String,
        /// Who may.
        role: &'static str,
    },
    /// A policy by which everybody could be promoted.
    #[error("the policy has no rule `refuse`, so it could refuse nobody; add the pack promotion to it")]
    NothingRefused,
    /// What was asked is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Governance of one host. Methods block for some milliseconds: they read and write files.
pub struct Governance {
    register: Register,
    keys: PathBuf,
    audit: Audit,
    policy: Arc<InUse>,
    host: Box<dyn Fn() -> HostFacts + Send + Sync>,
    settings: GovernanceSettings,
    counters: Arc<GovernanceCounters>,
    ledger: Ledger,
    /// One change of the register at a time.
    changes: Mutex<()>,
}

/// The keys of this host: those in the folder, and what systemd hands over.
pub fn ring(folder: &Path) -> KeyRing {
    KeyRing::open(folder, std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).as_deref())
}

/// Opens the audit log of a state directory. A host that has no key gets one: without, nothing can be signed.
pub fn open_audit(state_dir: &Path, options: agentguard_audit::Options) -> Audit {
    let keys = state_dir.join(KEYS);
    let mut ring = ring(&keys);
    let is_new = ring.keys().is_empty() && ring.problems().is_empty();
    let made = if is_new {
        ring.generate(Algorithm::Ed25519, &options.host, "agentd", now_sec(), true).map(Some)
    } else {
        Ok(None)
    };
    let audit = Audit::open(&state_dir.join(AUDIT), &keys, options);
    match made {
        Ok(Some(id)) => {
            tracing::info!(key = %id, "this host has a key of its own now: {id}");
            audit.note(
                AuditEntry::new(codes::KEY_GENERATED, "agentd")
                    .detail(serde_json::json!({"key": id, "algorithm": Algorithm::Ed25519, "active": true})),
            );
        }
        Ok(None) => {}
        Err(error) => tracing::error!(%error, "no key could be made for this host"),
    }
    note_restore(state_dir, &audit);
    audit
}

/// That this state comes from a backup is written down once, by the first start that can.
fn note_restore(state_dir: &Path, audit: &Audit) {
    let path = state_dir.join(RESTORED);
    let Ok(text) = std::fs::read_to_string(&path) else { return };
    let detail = serde_json::from_str(&text).unwrap_or_else(|_| serde_json::json!({"unreadable": true}));
    tracing::warn!("the state of this host was put back from a backup");
    let written = audit.record(AuditEntry::new(codes::LOG_RESTORED, "agentctl").detail(detail)).is_ok();
    if written && let Err(error) = std::fs::remove_file(&path) {
        tracing::error!(%error, "{} could not be removed: the audit log will have it twice", path.display());
    }
}

impl Governance {
    /// Opens the register of a state directory.
    ///
    /// # Errors
    /// When its folder can not be made, or the ledger not opened.
    pub fn open(
        state_dir: &Path,
        audit: Audit,
        policy: Arc<InUse>,
        ledger: Ledger,
        settings: GovernanceSettings,
        counters: Arc<GovernanceCounters>,
        host: impl Fn() -> HostFacts + Send + Sync + 'static,
    ) -> Result<Self, GovernanceError> {
        Ok(Self {
            register: Register::open(&state_dir.join(AGENTS))?,
            keys: state_dir.join(KEYS),
            audit,
            policy,
            host: Box::new(host),
            settings,
            counters,
            ledger,
            changes: Mutex::new(()),
        })
    }

    /// The audit log.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// What Prometheus sees of it.
    pub fn counters(&self) -> &GovernanceCounters {
        &self.counters
    }

    /// One agent as it is on disk.
    ///
    /// # Errors
    /// When there is none, or it can not be read.
    pub fn stored(&self, name: &str) -> Result<Stored, RegisterError> {
        self.register.load(name)
    }

    /// How it is set.
    pub fn settings(&self) -> &GovernanceSettings {
        &self.settings
    }

    /// Whether an agent of this name is registered.
    pub fn has(&self, name: &str) -> bool {
        self.register.has(name)
    }

    /// Who a caller is to governance. May block on the account database.
    pub fn person(&self, name: String, uid: u32, gid: u32) -> Person {
        let is =
            |group: &str| uid == 0 || (!group.is_empty() && crate::agents::user::is_member(uid, gid, group));
        let mut roles = Vec::new();
        for (role, group) in [
            (AGENT_ADMIN, &self.settings.agent_admin_group),
            (POLICY_ADMIN, &self.settings.policy_admin_group),
        ] {
            if is(group) {
                roles.push(role.to_owned());
            }
        }
        Person { name, uid, roles }
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) -> KeyRing {
        ring(&self.keys)
    }

    /// What policy sees of an agent that need not run.
    fn input(&self, stored: &Stored, spec: &Spec, host: &HostFacts) -> Result<Input, GovernanceError> {
        let user = User::of(stored.entry.created_uid);
        // Values that were registered are known, and so are the user's; what only a start gives stays open.
        let mut variables = Variables::of_user(&user.home, &user.name, user.uid);
        for (name, value) in &stored.entry.variables {
            // One that the spec does not take any more is no reason to judge by another spec.
            let _ = variables.set(name, value);
        }
        let resolved = spec.resolve(&variables).ok();
        let shown = resolved.as_ref().map_or(spec, |resolved| resolved.spec());
        let entry = &stored.entry;
        let facts =
            AgentFacts::of(shown, user.uid, &user.home, &entry.variables, entry.standing.state.name())
                .map_err(|error| GovernanceError::Invalid(format!("{}: {error}", file_of(&entry.name))))?;
        Ok(Input { agent: AgentFacts { name: entry.name.clone(), ..facts }, host: host.clone() })
    }

    /// Writes a change down: first in the audit log, then in the register, then in the agent's own history.
    fn put_into_effect(
        &self,
        entry: &Entry,
        code: Code,
        by: &Person,
        spec_sha256: &str,
        detail: serde_json::Value,
        write: impl FnOnce(&Register) -> Result<(), RegisterError>,
    ) -> Result<(), GovernanceError> {
        let recorded =
            self.audit.record(AuditEntry::new(code, &by.name).agent(entry.name.clone()).detail(detail));
        // A log that can not be written keeps nobody from being stopped or restricted; what is missing there is counted.
        if !tightens(code) {
            recorded?;
        }
        write(&self.register)?;
        tracing::info!(
            AGENT = entry.name,
            STATE = %entry.standing.state,
            CODE = code.name,
            BY = by.name,
            "agent {} is {}: {}",
            entry.name,
            entry.standing.state,
            code.meaning
        );
        self.note(entry, code, by, spec_sha256);
        Ok(())
    }

    /// Writes down that an agent stands elsewhere now. What ends or restricts it leaves it unable to start even if the disk
    /// takes nothing more: without its proof it does not start.
    fn put_standing(
        &self,
        entry: &Entry,
        event: Event,
        code: Code,
        by: &Person,
        spec_sha256: &str,
        detail: serde_json::Value,
    ) -> Result<(), GovernanceError> {
        let ends = matches!(event, Event::Revoked | Event::Failed);
        self.put_into_effect(entry, code, by, spec_sha256, detail, |register| {
            if ends {
                register.remove_proof(&entry.name)?;
            }
            let written = register.put(entry);
            if written.is_err() && matches!(event, Event::Restricted(_)) {
                register.remove_proof(&entry.name)?;
            }
            written
        })?;
        if ends {
            self.counters.invalidated();
        }
        Ok(())
    }

    /// Adds to an agent's history. The audit log has it already.
    fn note(&self, entry: &Entry, code: Code, by: &Person, spec_sha256: &str) {
        let step = Step {
            time_sec: now_sec(),
            by: by.name.clone(),
            code: code.name.to_owned(),
            state: entry.standing.state,
            revision: entry.revision,
            spec_sha256: spec_sha256.to_owned(),
            reason: entry.reason.clone(),
        };
        if let Err(error) = self.register.note(&entry.name, &step) {
            tracing::warn!(AGENT = entry.name, %error, "the history of agent {} lacks a step", entry.name);
        }
    }
}

/// Whether an agent may do less after it.
fn tightens(code: Code) -> bool {
    [codes::AGENT_RESTRICTED, codes::AGENT_REVOKED, codes::AGENT_INVALIDATED].contains(&code)
}

/// Reads a stored spec.
fn parse(stored: &Stored) -> Result<Spec, SpecError> {
    Spec::parse(&stored.spec, Path::new(&file_of(&stored.entry.name)))
}

/// How messages call an agent's spec.
fn file_of(name: &str) -> String {
    format!("{name}/spec.toml")
}

fn now_sec() -> u64 {
    clock::wall_ns() / NS_PER_SEC
}

fn after(entry: &Entry, event: Event) -> Result<Standing, GovernanceError> {
    entry.standing.after(event).map_err(|refused| GovernanceError::Refused(entry.name.clone(), refused))
}

#[cfg(test)]
mod tests {
    use agentguard_audit::Options;
    use agentguard_audit::read::{Filter, Records};

    use super::*;
    use crate::record::Store;
    use crate::testing::{Home, PROMOTING_POLICY, SPEC};

    /// Governance of a host that is really there, with one agent, `tester`, that is promoted.
    pub(super) struct World {
        pub(super) home: Home,
        pub(super) governance: Arc<Governance>,
    }

    pub(super) fn root() -> Person {
        Person { name: "uid 0 (root)".to_owned(), uid: 0, roles: vec![AGENT_ADMIN.to_owned()] }
    }

    fn governance(home: &Home) -> Arc<Governance> {
        let (policy, store) = (Arc::new(home.policy_in_use()), Store::open(&home.state()).unwrap());
        crate::testing::governance(home, &policy, &store, home.config().governance)
    }

    pub(super) fn world() -> World {
        let home = Home::new();
        home.write_policy(PROMOTING_POLICY);
        let governance = governance(&home);
        let spec = format!("{SPEC}\n[economics]\nmonthly_budget_usd = 10\n")
            .replace("tier = 1", "tier = 1\nowner = \"alice\"");
        let new = NewSpec { name: "tester".to_owned(), spec, ..NewSpec::default() };
        governance.create(&new, &root()).unwrap();
        assert_eq!(governance.promote("tester", &root()).unwrap().refusals, []);
        World { home, governance }
    }

    impl World {
        pub(super) fn file(&self, name: &str) -> PathBuf {
            self.home.state().join(AGENTS).join("tester").join(name)
        }

        pub(super) fn keys(&self) -> PathBuf {
            self.home.state().join(KEYS)
        }

        /// What the audit log says last, so many records, without those about itself.
        pub(super) fn audited(&self, count: usize) -> Vec<agentguard_audit::AuditRecord> {
            self.governance.audit().tick();
            let records = Records::of(&self.home.state().join(AUDIT), Filter::default()).unwrap();
            let mut records: Vec<_> = records.map(Result::unwrap).collect();
            records.retain(|record| !record.code.starts_with("LOG_"));
            records.split_off(records.len() - count)
        }

        /// As after a restart, with something that happens meanwhile.
        pub(super) fn again_with(self, meanwhile: impl FnOnce()) -> Self {
            let Self { home, governance } = self;
            governance.audit().close();
            drop(governance);
            meanwhile();
            let governance = self::governance(&home);
            Self { home, governance }
        }
    }

    #[test]
    fn a_restore_is_written_down_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let left = folder.path().join(RESTORED);
        std::fs::write(&left, r#"{"backup_of": "host-a"}"#).expect("a file");
        for _ in 0..2 {
            open_audit(folder.path(), Options::default()).close();
        }
        assert!(!left.exists());
        let segment = folder.path().join("audit/audit-00000000000000000001.ndjson");
        let text = std::fs::read_to_string(segment).expect("a log");
        assert_eq!(text.matches("LOG_RESTORED").count(), 1, "{text}");
        assert!(text.contains("host-a"));
    }
}
