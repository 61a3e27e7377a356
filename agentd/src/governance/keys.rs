//! Keys over the API: made, trusted, revoked, replaced. Each change is in the audit log before it is made.

use agentguard_api::report::{KeyChange, KeyList, KeyView};
use agentguard_audit::{Code, Entry as AuditEntry, codes};
use agentguard_governance::admission::FoundProof;
use agentguard_governance::keys::{Algorithm, KeyId, KeyRing, RingError, Status};
use agentguard_governance::proof::Act;
use serde_json::json;

use super::agents::{because as shortened, one_line};
use super::{Governance, GovernanceError, Person, now_sec};

/// Longest label.
const MAX_LABEL: usize = 128;

impl Governance {
    /// Every key.
    pub fn keys(&self) -> Result<KeyList, GovernanceError> {
        let ring = self.ring();
        let signers = self.signers()?;
        let keys = ring.keys().iter().map(|key| view(&ring, &key.id, &signers)).collect::<Result<_, _>>()?;
        Ok(KeyList { keys, problems: ring.problems().to_vec() })
    }

    /// Makes a key; it signs if no other does.
    pub fn generate_key(
        &self,
        algorithm: &str,
        label: &str,
        by: &Person,
    ) -> Result<KeyChange, GovernanceError> {
        let algorithm = self.algorithm(algorithm, Algorithm::Ed25519)?;
        let _changing = self.changing();
        let mut ring = self.ring();
        let label = one_line(label, MAX_LABEL);
        let detail = json!({"algorithm": algorithm, "label": label});
        let id = if ring.active().is_none() {
            self.key_for_a_host_without(&mut ring, algorithm, &label, by, detail)?
        } else {
            self.about_to(codes::KEY_GENERATED, by, detail)?;
            ring.generate(algorithm, &label, &by.name, now_sec(), false)?
        };
        self.change(&id, 0)
    }

    /// A host without a key signs nothing, the audit log neither: it gets one first, and that is written down next.
    fn key_for_a_host_without(
        &self,
        ring: &mut KeyRing,
        algorithm: Algorithm,
        label: &str,
        by: &Person,
        mut detail: serde_json::Value,
    ) -> Result<KeyId, RingError> {
        let id = ring.generate(algorithm, label, &by.name, now_sec(), true)?;
        self.audit.sign_anew();
        if let Some(detail) = detail.as_object_mut() {
            detail.insert("key".to_owned(), json!(id));
        }
        self.audit.note(said(codes::KEY_GENERATED, by, detail));
        Ok(id)
    }

    /// Trusts a public key from elsewhere.
    pub fn trust_key(&self, public: &str, label: &str, by: &Person) -> Result<KeyChange, GovernanceError> {
        let _changing = self.changing();
        let mut ring = self.ring();
        let id = ring.id_of(public)?;
        self.about_to(codes::KEY_TRUSTED, by, json!({"key": id, "label": label}))?;
        let id = ring.trust(public, &one_line(label, MAX_LABEL), &by.name, now_sec())?;
        self.change(&id, 0)
    }

    /// Ends a key. Was it the one in use, another is made: a host must be able to sign. Ended it is in any case, as it may
    /// be a thief's.
    pub fn revoke_key(&self, name: &str, because: &str, by: &Person) -> Result<KeyChange, GovernanceError> {
        let _changing = self.changing();
        let mut ring = self.ring();
        let (id, algorithm, status) =
            ring.find(name).map(|key| (key.id.clone(), key.algorithm, key.status))?;
        if status == Status::Revoked {
            return Err(RingError::Revoked(id).into());
        }
        let is_active = ring.active() == Some(&id);
        self.about_to(codes::KEY_REVOKED, by, json!({"key": id, "because": shortened(because)}))?;
        ring.revoke(&id.0, &shortened(because), now_sec())?;
        if is_active {
            let (label, detail) =
                (format!("instead of {id}"), json!({"algorithm": algorithm, "instead_of": id}));
            self.key_for_a_host_without(&mut ring, algorithm, &label, by, detail)
                .map_err(|error| GovernanceError::NoOtherKey(id.clone(), error))?;
        }
        self.change(&id, 0)
    }

    /// Another key signs from now on, and signs every proof anew that holds today. The old one stays trusted, so that nothing
    /// stops meanwhile; revoke it afterwards.
    pub fn rotate_key(
        &self,
        algorithm: &str,
        label: &str,
        by: &Person,
    ) -> Result<KeyChange, GovernanceError> {
        let _changing = self.changing();
        let mut ring = self.ring();
        let old = ring.active().and_then(|id| ring.get(id)).map(|key| (key.id.clone(), key.algorithm));
        let algorithm =
            self.algorithm(algorithm, old.as_ref().map_or(Algorithm::Ed25519, |(_, used)| *used))?;
        let detail = json!({"algorithm": algorithm, "label": label, "instead_of": old.map(|(id, _)| id)});
        self.about_to(codes::KEY_ROTATED, by, detail)?;
        let id = ring.generate(algorithm, &one_line(label, MAX_LABEL), &by.name, now_sec(), true)?;
        self.audit.sign_anew();
        let mut resigned = 0;
        for name in self.register.names()? {
            match self.sign_by_new_key(&name) {
                Ok(signed) => resigned += u32::from(signed),
                Err(error) => {
                    tracing::error!(AGENT = name, %error, "agent {name} keeps its proof by the old key");
                }
            }
        }
        self.change(&id, resigned)
    }

    /// False if it has no proof, or one that does not hold.
    fn sign_by_new_key(&self, name: &str) -> Result<bool, GovernanceError> {
        let Ok(stored) = self.register.load(name) else { return Ok(false) };
        let FoundProof::Read { envelope, proof } = &stored.proof else { return Ok(false) };
        if !stored.entry.standing.state.is_promoted() || !self.look(&stored).is_allowed() {
            return Ok(false);
        }
        let next = self.sign_anew(envelope, proof, Act::Rotation, &proof.policy_sha256)?;
        self.put_proof(name, &next)?;
        Ok(true)
    }

    fn about_to(&self, code: Code, by: &Person, detail: serde_json::Value) -> Result<(), GovernanceError> {
        Ok(self.audit.record(said(code, by, detail))?)
    }

    fn algorithm(&self, word: &str, default: Algorithm) -> Result<Algorithm, GovernanceError> {
        match word {
            "" => Ok(default),
            "ed25519" => Ok(Algorithm::Ed25519),
            "hmac-sha256" => Ok(Algorithm::HmacSha256),
            other => Err(GovernanceError::Invalid(format!(
                "`{other}` is no algorithm; write ed25519 or hmac-sha256"
            ))),
        }
    }

    /// Keys that signed the proofs of this host, one entry a proof.
    fn signers(&self) -> Result<Vec<KeyId>, GovernanceError> {
        let names = self.register.names()?;
        let key = |name: &String| match self.register.load(name).ok()?.proof {
            FoundProof::Read { envelope, .. } => envelope.key().cloned(),
            FoundProof::Missing | FoundProof::Unreadable(_) => None,
        };
        Ok(names.iter().filter_map(key).collect())
    }

    fn change(&self, id: &KeyId, resigned: u32) -> Result<KeyChange, GovernanceError> {
        let key = view(&self.ring(), id, &self.signers()?)?;
        Ok(KeyChange { key, resigned, stopped: Vec::new() })
    }
}

/// What happens to a key, told in the journal and as the audit log has it.
fn said(code: Code, by: &Person, detail: serde_json::Value) -> AuditEntry {
    tracing::info!(CODE = code.name, BY = by.name, "keys: {}", code.meaning);
    AuditEntry::new(code, &by.name).detail(detail)
}

fn view(ring: &KeyRing, id: &KeyId, signers: &[KeyId]) -> Result<KeyView, RingError> {
    let key = ring.get(id).ok_or_else(|| RingError::Unknown(id.0.clone()))?.clone();
    Ok(KeyView {
        active: ring.active() == Some(id),
        has_secret: ring.has_secret(id),
        proofs: u32::try_from(signers.iter().filter(|signer| *signer == id).count()).unwrap_or(u32::MAX),
        public_pem: ring.public_pem(id),
        key,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::{root, world};
    use super::*;

    #[test]
    fn another_key_takes_the_place_of_the_one_in_use_when_that_is_revoked() {
        let world = world();
        let id = world.governance.keys().unwrap().keys[0].key.id.clone();
        world.governance.revoke_key(&id.0, "stolen", &root()).unwrap();
        let keys = world.governance.keys().unwrap().keys;
        let found: Vec<_> = keys.iter().map(|key| (key.key.status, key.active)).collect();
        assert_eq!(found, [(Status::Revoked, false), (Status::Trusted, true)]);
        let audited = world.audited(2);
        assert_eq!((audited[0].code.as_str(), audited[1].code.as_str()), ("KEY_REVOKED", "KEY_GENERATED"));
        assert_eq!(audited[1].detail["instead_of"], json!(id));
        assert_eq!(audited[1].detail["key"], json!(keys[1].key.id));
    }

    #[test]
    fn a_stolen_key_is_revoked_also_when_no_other_can_be_made_and_a_host_without_a_key_can_get_one() {
        let world = world();
        let list = world.keys().join("trust.json");
        let before = fs::read_to_string(&list).unwrap();
        let id = world.governance.keys().unwrap().keys[0].key.id.clone();
        // As long as a list can be, by keys that were revoked.
        let mut trust: serde_json::Value = serde_json::from_str(&before).unwrap();
        let keys = trust["keys"].as_array_mut().unwrap();
        for number in 0..300 {
            let mut key = keys[0].clone();
            key["id"] = json!(format!("ed25519-{number:016}"));
            (key["status"], key["because"]) = (json!("revoked"), json!("x".repeat(4096)));
            keys.push(key);
        }
        fs::write(&list, trust.to_string()).unwrap();
        let error = world.governance.revoke_key(&id.0, "stolen", &root()).unwrap_err();
        assert!(matches!(error, GovernanceError::NoOtherKey(..)), "{error}");
        assert!(error.to_string().ends_with("agentctl keys generate"), "{error}");
        assert_eq!(world.audited(1)[0].code, "KEY_REVOKED");
        let denied = world.governance.admit("tester", "test").unwrap_err();
        assert!(
            matches!(denied, GovernanceError::Denied { code: "ADMISSION_DENY_SIGNER_REVOKED", .. }),
            "{denied}"
        );
        assert!(world.governance.promote("tester", &root()).is_err());

        let mut trust: serde_json::Value = serde_json::from_str(&fs::read_to_string(&list).unwrap()).unwrap();
        trust["keys"].as_array_mut().unwrap().truncate(1);
        let world = world.again_with(|| fs::write(&list, trust.to_string()).unwrap());
        assert!(world.governance.audit().standing().problem.is_some(), "nothing signs it");
        let made = world.governance.generate_key("", "next", &root()).unwrap();
        assert!(made.key.active);
        assert_eq!(world.audited(1)[0].detail["key"], json!(made.key.key.id));
        assert_eq!(world.governance.audit().standing().problem, None);
        assert_eq!(world.governance.promote("tester", &root()).unwrap().refusals, []);
        world.governance.admit("tester", "test").unwrap();
    }
}
