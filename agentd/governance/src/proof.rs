//! The proof bundle: what was promoted, under which policy, by whose authority, until when, signed.
//!
//! A DSSE envelope (payload type [`PAYLOAD_TYPE`]); the payload is canonical JSON, the signature is over its
//! pre-authentication encoding.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use agentguard_core::canonical;

use crate::keys::{KeyId, KeyRing, RingError, SignatureCheck};

/// Type of the payload, and version of its fields.
pub const PAYLOAD_TYPE: &str = "application/vnd.agentguard.proof.v1+json";

/// What is signed. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Name of the agent.
    pub agent: String,
    /// Of the spec, as its author counts.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// Counts the specs of this agent: a proof is of one of them.
    pub revision: u32,
    /// Over the canonical form of the spec.
    pub spec_sha256: String,
    /// Over every file of the policy.
    pub policy_sha256: String,
    /// Who promoted it.
    pub authority: Authority,
    /// When it was signed.
    pub signed_sec: u64,
    /// From then on it is worth nothing.
    pub expires_sec: u64,
    /// SHA-256 of the envelope that this one goes on from: a revalidation or a new key, not a person's promotion.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous: Option<String>,
}

/// On whose word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authority {
    /// `uid 1000 (alice)`: the person who promoted it, also in the proofs that go on from that.
    pub name: String,
    /// The roles that the person had.
    pub roles: Vec<String>,
    /// Why it was signed.
    pub act: Act,
}

/// Why a proof was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// A person promoted the agent.
    Promotion,
    /// Another policy came, and says yes to it, too.
    Revalidation,
    /// Another key came.
    Rotation,
}

/// A signed proof as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// Base64.
    pub payload: String,
    /// [`PAYLOAD_TYPE`].
    pub payload_type: String,
    /// One.
    pub signatures: Vec<Signature>,
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Of the key.
    pub keyid: KeyId,
    /// Base64.
    pub sig: String,
}

/// An envelope that holds no proof. One line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not an envelope.
    #[error("it is no DSSE envelope: {0}")]
    Envelope(String),
    /// Of another type.
    #[error("its payload is `{0}`, not `{PAYLOAD_TYPE}`")]
    Type(String),
    /// The payload is not what it should be.
    #[error("its payload is no proof: {0}")]
    Payload(String),
    /// None or several.
    #[error("it has {0} signatures, and must have one")]
    Signatures(usize),
}

impl Envelope {
    /// Signs with the key in use.
    ///
    /// # Errors
    /// When there is no key to sign with.
    pub fn sign(proof: &Proof, ring: &KeyRing) -> Result<Self, RingError> {
        let payload = canonical::text(&serde_json::to_value(proof).unwrap_or_default());
        let (keyid, signature) = ring.sign(&authenticated(PAYLOAD_TYPE, payload.as_bytes()))?;
        Ok(Self {
            payload: BASE64.encode(payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: vec![Signature { keyid, sig: BASE64.encode(signature) }],
        })
    }

    /// Reads the JSON of an envelope.
    ///
    /// # Errors
    /// When it is none, or not of exactly one signature.
    pub fn parse(text: &str) -> Result<Self, ProofError> {
        let envelope: Self =
            serde_json::from_str(text).map_err(|error| ProofError::Envelope(error.to_string()))?;
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(ProofError::Type(envelope.payload_type));
        }
        match envelope.signatures.len() {
            1 => Ok(envelope),
            other => Err(ProofError::Signatures(other)),
        }
    }

    /// What it says, whether or not its signature holds.
    ///
    /// # Errors
    /// When the payload is no proof.
    pub fn proof(&self) -> Result<Proof, ProofError> {
        let payload = BASE64.decode(&self.payload).map_err(|error| ProofError::Payload(error.to_string()))?;
        serde_json::from_slice(&payload).map_err(|error| ProofError::Payload(error.to_string()))
    }

    /// The key that it says to be signed with.
    pub fn key(&self) -> Option<&KeyId> {
        self.signatures.first().map(|signature| &signature.keyid)
    }

    /// Whether the signature is that key's over this payload.
    pub fn check(&self, ring: &KeyRing) -> SignatureCheck {
        let decoded = self.signatures.first().and_then(|signature| {
            Some((&signature.keyid, BASE64.decode(&signature.sig).ok()?, BASE64.decode(&self.payload).ok()?))
        });
        match decoded {
            Some((key, signature, payload)) => {
                ring.check(key, &authenticated(&self.payload_type, &payload), &signature)
            }
            None => SignatureCheck::Wrong,
        }
    }

    /// Its JSON, as it is stored.
    pub fn text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// What names it in a proof that goes on from it.
    pub fn sha256(&self) -> String {
        canonical::sha256(&serde_json::to_value(self).unwrap_or_default())
    }
}

/// DSSE's pre-authentication encoding.
fn authenticated(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_that_of_dsse() {
        assert_eq!(
            authenticated("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn what_is_no_envelope_says_why() {
        for (text, part) in [
            ("", "no DSSE envelope"),
            ("{}", "no DSSE envelope"),
            (r#"{"payload":"","payloadType":"x","signatures":[]}"#, "its payload is `x`"),
            (
                r#"{"payload":"","payloadType":"application/vnd.agentguard.proof.v1+json","signatures":[]}"#,
                "0 signatures",
            ),
        ] {
            let error = Envelope::parse(text).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
    }
}
