//! Whether an agent may start: the chain of `agentguard_governance::admission` over what is on disk now.

use std::collections::BTreeMap;

use agentguard_audit::{Entry as AuditEntry, codes};
use agentguard_core::spec::Spec;
use agentguard_governance::admission::{Admission, Code, Facts, FoundProof, admit, unreadable};
use agentguard_governance::register::{Entry, RegisterError, Stored};
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
        let (stored, admission) = self.seen(name)?;
        let detail = match &stored {
            Some(stored) => json!({"revision": stored.entry.revision, "checks": admission.checks}),
            None => json!({"checks": admission.checks}),
        };
        self.decided(name, &admission, by, detail)?;
        let stored = match stored {
            Some(stored) if admission.is_allowed() => stored,
            Some(_) | None => {
                let (agent, code) = (name.to_owned(), admission.code.name());
                return Err(GovernanceError::Denied { agent, code, reason: admission.reason });
            }
        };
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
        let spec = parse(stored).map_err(|error| error.to_string());
        self.chain(&stored.entry, spec.as_ref().map_err(String::as_str), &stored.proof)
    }

    fn chain(&self, entry: &Entry, spec: Result<&Spec, &str>, proof: &FoundProof) -> Admission {
        let ring = self.ring();
        admit(&Facts {
            entry,
            spec,
            proof,
            ring: &ring,
            policy_sha256: self.policy.get().version().hash(),
            now_sec: now_sec(),
        })
    }

    /// An agent as it is on disk, and what admission says to that. Files that can not be read are a no like any other; then
    /// there is no agent to go on with.
    ///
    /// # Errors
    /// When nobody of that name is registered.
    fn seen(&self, name: &str) -> Result<(Option<Stored>, Admission), RegisterError> {
        let why = match self.register.load(name) {
            Ok(stored) => {
                let admission = self.look(&stored);
                return Ok((Some(stored), admission));
            }
            Err(unknown @ RegisterError::Unknown(_)) => return Err(unknown),
            Err(error) => error.to_string(),
        };
        let admission = match self.register.entry(name) {
            Ok(entry) => self.chain(&entry, Err(&why), &self.register.proof(name)),
            Err(_) => unreadable(&why),
        };
        Ok((None, admission))
    }

    /// Whether an agent that runs would be admitted now; if not, that is written down, and why is returned.
    pub fn still_holds(&self, name: &str) -> Result<Holds, String> {
        let (stored, admission) = self.seen(name).map_err(|error| error.to_string())?;
        if let Some(stored) = stored.filter(|_| admission.is_allowed()) {
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::world;
    use super::*;

    #[test]
    fn files_that_can_not_be_read_deny_by_the_code_of_their_check_and_are_written_down() {
        type Damage = fn(&std::path::Path);
        let remove: Damage = |path| fs::remove_file(path).unwrap();
        let fill: Damage = |path| fs::write(path, [0xff, 0xfe]).unwrap();
        let spec = "ADMISSION_DENY_SPEC_HASH_MISMATCH";
        let cases = [
            ("spec.toml", remove, spec),
            ("spec.toml", fill, spec),
            ("agent.json", remove, "ADMISSION_DENY_STATE"),
            ("agent.json", fill, "ADMISSION_DENY_STATE"),
            ("proof.json", fill, "ADMISSION_DENY_PROOF_MISSING"),
        ];
        let world = world();
        for (file, damage, code) in cases {
            let path = world.file(file);
            let before = fs::read(&path).unwrap();
            damage(&path);
            match world.governance.admit("tester", "test") {
                Err(GovernanceError::Denied { code: found, reason, .. }) => {
                    assert_eq!(found, code, "{file}: {reason}");
                }
                other => panic!("{file}: {other:?}"),
            }
            let why = world.governance.still_holds("tester").unwrap_err();
            assert!(why.starts_with(code) && !why.contains('\n'), "{why}");
            let audited = world.audited(2);
            for record in &audited {
                assert_eq!((record.code.as_str(), record.agent.as_deref()), (code, Some("tester")));
                let checks = record.detail["checks"].as_array().unwrap();
                assert_eq!(checks.iter().filter(|check| check["holds"] == false).count(), 1, "{checks:?}");
                assert!(record.detail["reason"].as_str().unwrap().contains(file), "{record:?}");
            }
            assert_eq!(audited[1].detail["running"], true);
            fs::write(&path, before).unwrap();
            world.governance.admit("tester", "test").unwrap();
        }
    }

    #[test]
    fn of_an_agent_that_is_not_there_nothing_is_written_down() {
        let world = world();
        let error = world.governance.admit("nobody", "test").unwrap_err();
        assert!(matches!(error, GovernanceError::Register(RegisterError::Unknown(_))), "{error}");
        assert!(world.governance.still_holds("nobody").is_err());
        assert_eq!(world.audited(1)[0].code, "PROMOTION_SUCCESS");
    }
}
