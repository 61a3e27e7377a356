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
        let detail = json!({"algorithm": algorithm, "label": label});
        self.about_to(codes::KEY_GENERATED, by, detail)?;
        let id = ring.generate(algorithm, &one_line(label, MAX_LABEL), &by.name, now_sec(), false)?;
        if ring.active() == Some(&id) {
            self.audit.sign_anew();
        }
        self.change(&id, 0)
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

    /// Ends a key. Was it the one in use, another is made: a host must be able to sign.
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
        if is_active {
            self.about_to(codes::KEY_GENERATED, by, json!({"algorithm": algorithm, "instead_of": id}))?;
            ring.generate(algorithm, &format!("instead of {id}"), &by.name, now_sec(), true)?;
            self.audit.sign_anew();
        }
        ring.revoke(&id.0, &shortened(because), now_sec())?;
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
        tracing::info!(CODE = code.name, BY = by.name, "keys: {}", code.meaning);
        Ok(self.audit.record(AuditEntry::new(code, &by.name).detail(detail))?)
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
