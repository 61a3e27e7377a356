//! Whether an agent may start: the chain of `agentguard_governance::admission` over what is on disk now.

use std::collections::BTreeMap;

use agentguard_audit::{Entry as AuditEntry, codes};
use agentguard_governance::admission::{Admission, Code, Facts, admit};
use agentguard_governance::register::Stored;
use agentguard_governance::state::State;
use serde_json::json;

use super::{Governance, GovernanceError, Person, file_of, now_sec, parse};
use crate::agents::Signed;
use crate::config::Unregistered;

/// Under what an agent may run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holds {
    /// Under which rules.
    pub state: State,
    /// Which of its specs.
    pub signed: Signed,
}

fn signed(stored: &Stored) -> Signed {
    Signed { revision: stored.entry.revision, created_sec: stored.entry.created_sec }
}

/// An agent that may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// Its name in the register.
    pub name: String,
    /// Under which rules.
    pub state: State,
    /// Which of its specs.
    pub signed: Signed,
    /// Its spec.
    pub spec: String,
    /// As messages call the spec.
    pub spec_file: String,
    /// Values of variables that were registered with it.
    pub variables: BTreeMap<String, String>,
}

impl Governance {
    /// Decides, and writes down what was decided.
    ///
    /// # Errors
    /// When it may not start, or that could not be written down.
    pub fn admit(&self, name: &str, by: &str) -> Result<Admitted, GovernanceError> {
        let stored = self.register.load(name)?;
        let admission = self.look(&stored);
        self.decided(
            name,
            &admission,
            by,
            json!({"revision": stored.entry.revision, "checks": admission.checks}),
        )?;
        if !admission.is_allowed() {
            let (agent, code) = (name.to_owned(), admission.code.name());
            return Err(GovernanceError::Denied { agent, code, reason: admission.reason });
        }
        Ok(Admitted {
            name: name.to_owned(),
            state: stored.entry.standing.state,
            signed: signed(&stored),
            spec: stored.spec,
            spec_file: file_of(name),
            variables: stored.entry.variables,
        })
    }

    /// Decides about a spec that nobody registered.
    ///
    /// # Errors
    /// When this host wants specs to be registered, the name is a registered agent's, or it could not be written down.
    pub fn admit_unregistered(
        &self,
        wanted: &str,
        name: &str,
        spec_sha256: &str,
        by: &str,
    ) -> Result<(), GovernanceError> {
        let taken = [wanted, name].into_iter().find(|name| self.register.has(name));
        let refusal = if let Some(name) = taken {
            Some(format!(
                "there is a registered agent of this name; start that: agentctl agent start {name}, or choose another: --name"
            ))
        } else {
            match self.settings.unregistered {
                Unregistered::Allow => None,
                Unregistered::Refuse => Some(format!(
                    "only registered agents may run here; register it: agentctl agent create {name} --from import --file SPEC"
                )),
            }
        };
        let code = if refusal.is_some() { Code::DenyUnregistered } else { Code::Allow };
        let reason = refusal.unwrap_or_default();
        let admission = Admission { code, reason, checks: Vec::new() };
        self.decided(name, &admission, by, json!({"registered": false, "spec_sha256": spec_sha256}))?;
        match admission.is_allowed() {
            true => Ok(()),
            false => Err(GovernanceError::Denied {
                agent: name.to_owned(),
                code: code.name(),
                reason: admission.reason,
            }),
        }
    }

    /// Whether it would be admitted now. Nothing is written down.
    pub fn look(&self, stored: &Stored) -> Admission {
        let ring = self.ring();
        let spec = parse(stored).map_err(|error| error.to_string());
        admit(&Facts {
            entry: &stored.entry,
            spec: spec.as_ref().map_err(String::as_str),
            proof: &stored.proof,
            ring: &ring,
            policy_sha256: self.policy.get().version().hash(),
            now_sec: now_sec(),
        })
    }

    /// Whether an agent that runs would be admitted now; if not, that is written down, and why is returned.
    pub fn still_holds(&self, name: &str) -> Result<Holds, String> {
        let stored = self.register.load(name).map_err(|error| error.to_string())?;
        let admission = self.look(&stored);
        if admission.is_allowed() {
            return Ok(Holds { state: stored.entry.standing.state, signed: signed(&stored) });
        }
        // It is stopped whether or not that can be written down.
        let _ = self.decided(
            name,
            &admission,
            &Person::agentd().name,
            json!({"running": true, "checks": admission.checks}),
        );
        Err(format!("{}: {}", admission.code.name(), admission.reason))
    }

    fn decided(
        &self,
        name: &str,
        admission: &Admission,
        by: &str,
        mut detail: serde_json::Value,
    ) -> Result<(), GovernanceError> {
        self.counters.started(admission.code);
        if let Some(detail) = detail.as_object_mut()
            && !admission.reason.is_empty()
        {
            detail.insert("reason".to_owned(), json!(admission.reason));
        }
        if !admission.is_allowed() {
            tracing::warn!(
                AGENT = name,
                CODE = admission.code.name(),
                BY = by,
                "agent {name} may not start: {}",
                admission.reason
            );
        }
        let code =
            agentguard_audit::codes::find(admission.code.name()).unwrap_or(codes::ADMISSION_DENY_STATE);
        Ok(self.audit.record(AuditEntry::new(code, by).agent(name).detail(detail))?)
    }
}
