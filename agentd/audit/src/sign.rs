//! What is signed: a statement about a place in the chain. Who signs is the caller's business.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::error::AuditError;
use crate::record::Receipt;

/// Begins every signed message, so that a signature made for something else is never one of this log.
const DOMAIN: &str = "agentguard audit v1\n";

/// Signs places of the chain.
pub trait Signer: Send + Sync {
    /// Names the key to a [`Verifier`].
    fn key_id(&self) -> &str;

    /// The signature over a message.
    ///
    /// # Errors
    /// When the key cannot be used.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// Why there is no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {key_id}: {why}")]
pub struct SignError {
    /// Which key.
    pub key_id: String,
    /// One line.
    pub why: String,
}

/// Knows which keys are trusted.
pub trait Verifier {
    /// What a signature is worth.
    fn verify(&self, key_id: &str, message: &[u8], signature: &[u8]) -> Verdict;
}

/// What a signature is worth.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Made by a trusted key over this message.
    Good,
    /// Not made by that key over this message.
    Bad,
    /// Nobody trusts that key.
    UnknownKey,
    /// Right, but the key is trusted no longer: whoever has it may have signed anything.
    Revoked,
}

/// The statement: this was the newest record, at that time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Statement {
    /// Checkpoint in the chain, or head beside it: the one is never taken for the other.
    pub(crate) what: What,
    pub(crate) seq: u64,
    pub(crate) hash: String,
    #[serde(with = "crate::record::decimal")]
    pub(crate) time_ns: u64,
    pub(crate) key_id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    Checkpoint,
    Head,
}

/// A statement and who signed it: what the head holds, and a checkpoint in its detail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attestation {
    pub(crate) statement: Statement,
    /// Base64.
    pub(crate) signature: String,
}

impl Attestation {
    /// States where the chain ends.
    pub(crate) fn sign(
        what: What,
        newest: &Receipt,
        time_ns: u64,
        signer: &dyn Signer,
    ) -> Result<Self, AuditError> {
        let Receipt { seq, hash } = newest.clone();
        let statement = Statement { what, seq, hash, time_ns, key_id: signer.key_id().to_owned() };
        let message =
            statement.message().map_err(|source| AuditError::Json { code: "LOG_CHECKPOINT", source })?;
        let signature = STANDARD.encode(signer.sign(&message)?);
        Ok(Self { statement, signature })
    }

    /// The record that it is about.
    pub(crate) fn receipt(&self) -> Receipt {
        Receipt { seq: self.statement.seq, hash: self.statement.hash.clone() }
    }

    /// What the signature is worth.
    pub(crate) fn verdict(&self, verifier: &dyn Verifier) -> Verdict {
        match (self.statement.message(), STANDARD.decode(&self.signature)) {
            (Ok(message), Ok(signature)) => verifier.verify(&self.statement.key_id, &message, &signature),
            (Err(_), _) | (_, Err(_)) => Verdict::Bad,
        }
    }
}

impl Statement {
    /// The bytes that are signed.
    fn message(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut message = DOMAIN.as_bytes().to_vec();
        serde_json_canonicalizer::to_writer(self, &mut message)?;
        Ok(message)
    }
}
