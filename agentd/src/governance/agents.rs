//! Registered agents: made, changed, shown, forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use agentguard_api::report::{AgentDetail, ProofView, RegisteredAgent};
use agentguard_audit::codes;
use agentguard_core::ids::AgentName;
use agentguard_core::spec::{Spec, Variables};
use agentguard_governance::admission::{FoundProof, violations};
use agentguard_governance::keys::SignatureCheck;
use agentguard_governance::register::{Entry, RegisterError, Step, Stored};
use agentguard_governance::state::{Event, Standing, State};
use serde_json::json;

use super::{
    AGENT_ADMIN, Governance, GovernanceError, NS_PER_SEC, Person, SEC_PER_DAY, after, file_of, now_sec, parse,
};
use crate::clock;

/// Longest word about where a spec comes from.
const MAX_ORIGIN: usize = 256;
/// Longest reason that a person gives.
const MAX_BECAUSE: usize = 500;

/// A spec for an agent that is to be registered, or is.
#[derive(Debug, Clone, Default)]
pub struct NewSpec {
    /// The agent's name.
    pub name: String,
    /// Text.
    pub spec: String,
    /// As the user named the file, for messages.
    pub spec_file: String,
    /// How it was made.
    pub origin: String,
    /// Values that a start does not have to give.
    pub variables: BTreeMap<String, String>,
    /// Days in the sandbox; 0: as configured.
    pub sandbox_days: u32,
}

impl Governance {
    /// Registers an agent: it is in the sandbox.
    pub fn create(&self, new: &NewSpec, by: &Person) -> Result<RegisteredAgent, GovernanceError> {
        let spec = self.checked(new)?;
        let _changing = self.changing();
        let now = now_sec();
        let mut entry =
            Entry::new(&new.name, &by.name, by.uid, now, now + self.sandbox_sec(new.sandbox_days, by));
        entry.origin = one_line(&new.origin, MAX_ORIGIN);
        entry.variables.clone_from(&new.variables);
        self.register.has_room(&new.name)?;
        let hash = spec.sha256();
        let detail = json!({"spec_sha256": hash, "origin": entry.origin, "revision": entry.revision});
        self.put_into_effect(&entry, codes::AGENT_CREATED, by, &hash, detail, |register| {
            register.create(&entry, &new.spec)
        })?;
        self.get(&new.name)
    }

    /// Another spec: the agent is in the sandbox again, because nobody has signed it.
    pub fn update(&self, new: &NewSpec, by: &Person) -> Result<RegisteredAgent, GovernanceError> {
        let spec = self.checked(new)?;
        let _changing = self.changing();
        let Stored { mut entry, .. } = self.register.load(&new.name)?;
        may_change(&entry, by)?;
        entry.standing = after(&entry, Event::Updated)?;
        entry.revision = entry.revision.saturating_add(1);
        entry.reason.clear();
        entry.updated_sec = now_sec();
        entry.sandbox_until_sec = now_sec() + self.sandbox_sec(new.sandbox_days, by);
        if !new.origin.is_empty() {
            entry.origin = one_line(&new.origin, MAX_ORIGIN);
        }
        entry.variables.clone_from(&new.variables);
        let hash = spec.sha256();
        let detail = json!({"spec_sha256": hash, "revision": entry.revision});
        self.put_into_effect(&entry, codes::AGENT_UPDATED, by, &hash, detail, |register| {
            register.put_spec(&entry, &new.spec)
        })?;
        self.get(&new.name)
    }

    /// Forgets an agent.
    pub fn delete(&self, name: &str, because: &str, by: &Person) -> Result<AgentName, GovernanceError> {
        let _changing = self.changing();
        match self.register.load(name) {
            Ok(stored) => may_change(&stored.entry, by)?,
            Err(RegisterError::Unknown(name)) => return Err(RegisterError::Unknown(name).into()),
            // What can not be read has nobody who made it.
            Err(_) => must_be_admin(by, &format!("delete agent {name}"))?,
        }
        let because = one_line(because, MAX_BECAUSE);
        let entry = agentguard_audit::Entry::new(codes::AGENT_DELETED, &by.name).agent(name);
        self.audit.record(entry.detail(json!({"because": because})))?;
        self.register.delete(name)?;
        tracing::info!(AGENT = name, BY = by.name, "agent {name} is deleted");
        Ok(AgentName(name.to_owned()))
    }

    /// Every agent, by name. One that can not be read says why.
    pub fn list(&self) -> Result<Vec<RegisteredAgent>, GovernanceError> {
        let names = self.register.names()?;
        Ok(names.iter().map(|name| self.get(name).unwrap_or_else(|error| unreadable(name, &error))).collect())
    }

    /// States of all agents that can be read.
    pub fn states(&self) -> Vec<State> {
        let names = self.register.names().unwrap_or_default();
        names.iter().filter_map(|name| Some(self.register.entry(name).ok()?.standing.state)).collect()
    }

    /// One agent.
    pub fn get(&self, name: &str) -> Result<RegisteredAgent, GovernanceError> {
        Ok(self.view(&self.register.load(name)?))
    }

    /// One agent with everything about it, but for where it runs.
    pub fn detail(&self, name: &str) -> Result<AgentDetail, GovernanceError> {
        let stored = self.register.load(name)?;
        let proof = match &stored.proof {
            FoundProof::Read { envelope, proof } => Some(ProofView {
                envelope: envelope.clone(),
                proof: (**proof).clone(),
                signature: word(envelope.check(&self.ring())).to_owned(),
            }),
            FoundProof::Missing | FoundProof::Unreadable(_) => None,
        };
        Ok(AgentDetail {
            agent: self.view(&stored),
            admission: self.look(&stored),
            policy_sha256: self.policy.get().version().hash().to_owned(),
            proof,
            variables: stored.entry.variables,
            spec: stored.spec,
            instances: Vec::new(),
        })
    }

    /// What became of it.
    pub fn history(&self, name: &str) -> Result<Vec<Step>, GovernanceError> {
        self.register.load(name)?;
        Ok(self.register.history(name)?)
    }

    /// A spec that it has or had; 0 for the one that it has.
    pub fn revision(&self, name: &str, number: u32) -> Result<String, GovernanceError> {
        let stored = self.register.load(name)?;
        Ok(if number == 0 { stored.spec } else { self.register.revision(name, number)? })
    }

    /// A spec that can be registered under this name, or every mistake in it.
    fn checked(&self, new: &NewSpec) -> Result<Spec, GovernanceError> {
        let file = if new.spec_file.is_empty() { file_of(&new.name) } else { new.spec_file.clone() };
        let spec = Spec::parse(&new.spec, Path::new(&file))?;
        if spec.agent.name.0 != new.name {
            return Err(GovernanceError::Invalid(format!(
                "{file}: the spec is of the agent {}, not {}; write name = \"{}\"",
                spec.agent.name, new.name, new.name
            )));
        }
        if let Some(what) = violations(&spec) {
            return Err(GovernanceError::Invalid(format!(
                "{file}: [containment] asks for {what}, which no sandbox has; set it to false"
            )));
        }
        for name in new.variables.keys() {
            Variables::new().set(name, "").map_err(|error| GovernanceError::Invalid(error.to_string()))?;
            if !spec.variables.contains_key(name) {
                return Err(GovernanceError::Invalid(format!("{file}: the spec has no variable `{name}`")));
            }
        }
        Ok(spec)
    }

    /// Only administrators give more time than is configured.
    fn sandbox_sec(&self, days: u32, by: &Person) -> u64 {
        let usual = self.settings.sandbox_days;
        let days = match days {
            0 => usual,
            days if by.has(AGENT_ADMIN) => days,
            days => days.min(usual),
        };
        u64::from(days).saturating_mul(SEC_PER_DAY)
    }

    fn view(&self, stored: &Stored) -> RegisteredAgent {
        let entry = &stored.entry;
        let spec = parse(stored);
        let expires_sec = match &stored.proof {
            FoundProof::Read { proof, .. } if entry.standing.state.is_promoted() => proof.expires_sec,
            FoundProof::Read { .. } | FoundProof::Missing | FoundProof::Unreadable(_) => {
                entry.sandbox_until_sec
            }
        };
        let spent = self.ledger.spent(&entry.name, clock::wall_ns()).unwrap_or_default();
        let mut view = RegisteredAgent {
            name: AgentName(entry.name.clone()),
            standing: entry.standing.clone(),
            reason: entry.reason.clone(),
            revision: entry.revision,
            version: None,
            description: String::new(),
            owner: None,
            role: String::new(),
            tier: 0,
            spec_sha256: String::new(),
            origin: entry.origin.clone(),
            created_ns: entry.created_sec.saturating_mul(NS_PER_SEC),
            created_by: entry.created_by.clone(),
            updated_ns: entry.updated_sec.saturating_mul(NS_PER_SEC),
            expires_ns: expires_sec.saturating_mul(NS_PER_SEC),
            monthly_budget_usd: None,
            spent_usd: spent.dollars(),
            running: Vec::new(),
            problem: None,
        };
        match spec {
            Ok(spec) => {
                view.spec_sha256 = spec.sha256();
                view.expires_ns = spec
                    .agent
                    .expires
                    .as_ref()
                    .map_or(view.expires_ns, |moment| view.expires_ns.min(moment.wall_ns));
                view.version = spec.agent.version;
                view.description = spec.agent.description;
                view.owner = spec.agent.owner;
                spec.agent.role.name().clone_into(&mut view.role);
                view.tier = spec.agent.tier;
                view.monthly_budget_usd =
                    spec.economics.monthly_budget_usd.map(agentguard_core::spec::Usd::dollars);
            }
            Err(error) => view.problem = error.problems.first().map(ToString::to_string),
        }
        view
    }
}

/// Who made it while it is in the sandbox, and administrators of agents.
fn may_change(entry: &Entry, by: &Person) -> Result<(), GovernanceError> {
    let is_own = entry.created_uid == by.uid && !entry.standing.state.is_promoted();
    if is_own { Ok(()) } else { must_be_admin(by, &format!("change agent {}", entry.name)) }
}

/// Only administrators of agents go on.
pub(super) fn must_be_admin(by: &Person, what: &str) -> Result<(), GovernanceError> {
    if by.has(AGENT_ADMIN) {
        return Ok(());
    }
    Err(GovernanceError::Role { who: by.name.clone(), what: what.to_owned(), role: AGENT_ADMIN })
}

/// What a person writes, as one line that is not too long.
pub(super) fn one_line(text: &str, most: usize) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(most).collect()
}

pub(super) fn because(text: &str) -> String {
    one_line(text, MAX_BECAUSE)
}

pub(super) const fn word(check: SignatureCheck) -> &'static str {
    match check {
        SignatureCheck::Good => "good",
        SignatureCheck::Wrong => "wrong",
        SignatureCheck::Revoked => "revoked",
        SignatureCheck::Unknown => "unknown",
    }
}

/// What can not be read does not start; so it is shown as what does not start.
fn unreadable(name: &str, error: &GovernanceError) -> RegisteredAgent {
    RegisteredAgent {
        name: AgentName(name.to_owned()),
        standing: Standing { state: State::Invalidated, restricted_by: BTreeSet::new() },
        reason: String::new(),
        revision: 0,
        version: None,
        description: String::new(),
        owner: None,
        role: String::new(),
        tier: 0,
        spec_sha256: String::new(),
        origin: String::new(),
        created_ns: 0,
        created_by: String::new(),
        updated_ns: 0,
        expires_ns: 0,
        monthly_budget_usd: None,
        spent_usd: 0.0,
        running: Vec::new(),
        problem: Some(error.to_string()),
    }
}
