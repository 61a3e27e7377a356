//! Admission: whether an agent may start now. A chain of checks, in order; the first that fails denies, and so does
//! whatever could not be found out.
//!
//! A check is one function and its line in [`CHAIN`]. It sees [`Facts`] and nothing else.

use agentguard_core::spec::Spec;
use serde::{Deserialize, Serialize};

use crate::keys::{KeyRing, SignatureCheck, Status};
use crate::proof::{Envelope, Proof};
use crate::register::Entry;
use crate::state::State;

/// What is known about an agent that wants to start.
pub struct Facts<'a> {
    /// As it is registered.
    pub entry: &'a Entry,
    /// Its spec as it is on disk now, or why it can not be read.
    pub spec: Result<&'a Spec, &'a str>,
    /// Its proof.
    pub proof: &'a FoundProof,
    /// Whose signatures count.
    pub ring: &'a KeyRing,
    /// The policy in force: SHA-256 over its files.
    pub policy_sha256: &'a str,
    /// Seconds since 1970.
    pub now_sec: u64,
}

/// What is where the proof should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundProof {
    /// Nothing.
    Missing,
    /// Something that is no proof, and why.
    Unreadable(String),
    /// A proof, whether or not it holds.
    Read {
        /// As it is stored.
        envelope: Envelope,
        /// What it says.
        proof: Box<Proof>,
    },
}

/// The answer, as records, metrics and users see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Code {
    /// It may start.
    #[serde(rename = "ADMISSION_ALLOW")]
    Allow,
    /// It is invalidated.
    #[serde(rename = "ADMISSION_DENY_STATE")]
    DenyState,
    /// It is promoted and has no usable proof.
    #[serde(rename = "ADMISSION_DENY_PROOF_MISSING")]
    DenyProofMissing,
    /// Its spec is not the one that was signed.
    #[serde(rename = "ADMISSION_DENY_SPEC_HASH_MISMATCH")]
    DenySpecHashMismatch,
    /// The policy is not the one that was signed.
    #[serde(rename = "ADMISSION_DENY_POLICY_HASH_MISMATCH")]
    DenyPolicyHashMismatch,
    /// The key that signed it was revoked, or was never trusted.
    #[serde(rename = "ADMISSION_DENY_SIGNER_REVOKED")]
    DenySignerRevoked,
    /// The signature is not over what the proof says.
    #[serde(rename = "ADMISSION_DENY_SIGNATURE_INVALID")]
    DenySignatureInvalid,
    /// It was too long in the sandbox.
    #[serde(rename = "ADMISSION_DENY_SANDBOX_EXPIRED")]
    DenySandboxExpired,
    /// Its proof was good until then.
    #[serde(rename = "ADMISSION_DENY_PROOF_EXPIRED")]
    DenyProofExpired,
    /// It is in the sandbox and asks for more than that.
    #[serde(rename = "ADMISSION_DENY_CONTAINMENT_VIOLATION")]
    DenyContainmentViolation,
    /// Nobody registered it, and this host wants that.
    #[serde(rename = "ADMISSION_DENY_UNREGISTERED")]
    DenyUnregistered,
}

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// As records and metrics see it.
    pub code: Code,
    /// One line for the user.
    pub reason: String,
}

/// One link of the chain.
pub struct Check {
    /// As users see it.
    pub name: &'static str,
    /// Whether it holds.
    pub run: fn(&Facts<'_>) -> Result<(), Denial>,
}

/// Every check, in order. To add one: a function below, and its line here.
pub const CHAIN: [Check; 8] = [
    Check { name: "state", run: state_lets_it_start },
    Check { name: "proof", run: proof_is_there },
    Check { name: "spec", run: spec_is_the_signed_one },
    Check { name: "policy", run: policy_is_the_signed_one },
    Check { name: "signer", run: signer_is_trusted },
    Check { name: "signature", run: signature_holds },
    Check { name: "expiry", run: not_expired },
    Check { name: "containment", run: sandbox_is_contained },
];

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// Its name.
    pub name: String,
    /// Whether it holds; absent if one before it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub holds: Option<bool>,
}

/// What came of the chain.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// The answer.
    pub code: Code,
    /// Why not; empty if it may start.
    pub reason: String,
    /// Check by check.
    pub checks: Vec<CheckResult>,
}

impl Admission {
    /// Whether it may start.
    pub fn is_allowed(&self) -> bool {
        self.code == Code::Allow
    }
}

/// Runs the chain.
pub fn admit(facts: &Facts<'_>) -> Admission {
    let mut denied: Option<Denial> = None;
    let mut checks = Vec::new();
    for check in &CHAIN {
        let holds = match denied {
            Some(_) => None,
            None => {
                denied = (check.run)(facts).err();
                Some(denied.is_none())
            }
        };
        checks.push(CheckResult { name: check.name.to_owned(), holds });
    }
    let (code, reason) = denied.map_or((Code::Allow, String::new()), |denial| (denial.code, denial.reason));
    Admission { code, reason, checks }
}

/// The answer about an agent of which not even the state can be read.
pub fn unreadable(why: &str) -> Admission {
    let result = |check: &Check| CheckResult {
        name: check.name.to_owned(),
        holds: (check.name == "state").then_some(false),
    };
    let reason = format!("its state can not be read: {why}");
    Admission { code: Code::DenyState, reason, checks: CHAIN.iter().map(result).collect() }
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 11] = [
        Self::Allow,
        Self::DenyState,
        Self::DenyProofMissing,
        Self::DenySpecHashMismatch,
        Self::DenyPolicyHashMismatch,
        Self::DenySignerRevoked,
        Self::DenySignatureInvalid,
        Self::DenySandboxExpired,
        Self::DenyProofExpired,
        Self::DenyContainmentViolation,
        Self::DenyUnregistered,
    ];

    /// As users, records and metrics see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "ADMISSION_ALLOW",
            Self::DenyState => "ADMISSION_DENY_STATE",
            Self::DenyProofMissing => "ADMISSION_DENY_PROOF_MISSING",
            Self::DenySpecHashMismatch => "ADMISSION_DENY_SPEC_HASH_MISMATCH",
            Self::DenyPolicyHashMismatch => "ADMISSION_DENY_POLICY_HASH_MISMATCH",
            Self::DenySignerRevoked => "ADMISSION_DENY_SIGNER_REVOKED",
            Self::DenySignatureInvalid => "ADMISSION_DENY_SIGNATURE_INVALID",
            Self::DenySandboxExpired => "ADMISSION_DENY_SANDBOX_EXPIRED",
            Self::DenyProofExpired => "ADMISSION_DENY_PROOF_EXPIRED",
            Self::DenyContainmentViolation => "ADMISSION_DENY_CONTAINMENT_VIOLATION",
            Self::DenyUnregistered => "ADMISSION_DENY_UNREGISTERED",
        }
    }
}

fn deny(code: Code, reason: impl Into<String>) -> Result<(), Denial> {
    Err(Denial { code, reason: reason.into() })
}

fn state_lets_it_start(facts: &Facts<'_>) -> Result<(), Denial> {
    match facts.entry.standing.state {
        State::Sandbox | State::Valid | State::Restricted => Ok(()),
        State::Invalidated => {
            let why = &facts.entry.reason;
            deny(Code::DenyState, format!("it is invalidated ({why}); correct that, then promote it again"))
        }
    }
}

fn proof_is_there(facts: &Facts<'_>) -> Result<(), Denial> {
    if !facts.entry.standing.state.is_promoted() {
        return Ok(());
    }
    match facts.proof {
        FoundProof::Missing => deny(Code::DenyProofMissing, "its proof is missing; promote it again"),
        FoundProof::Unreadable(why) => {
            deny(Code::DenyProofMissing, format!("its proof can not be read: {why}; promote it again"))
        }
        FoundProof::Read { proof, .. } if proof.agent != facts.entry.name => deny(
            Code::DenyProofMissing,
            format!("its proof is of the agent {}; promote it again", proof.agent),
        ),
        FoundProof::Read { .. } => Ok(()),
    }
}

/// The proof of a promoted agent; one that is not promoted has none to look at.
fn proof<'f>(facts: &Facts<'f>) -> Option<(&'f Envelope, &'f Proof)> {
    match facts.proof {
        FoundProof::Read { envelope, proof } if facts.entry.standing.state.is_promoted() => {
            Some((envelope, proof))
        }
        FoundProof::Read { .. } | FoundProof::Missing | FoundProof::Unreadable(_) => None,
    }
}

fn spec_is_the_signed_one(facts: &Facts<'_>) -> Result<(), Denial> {
    let spec = match facts.spec {
        Ok(spec) => spec,
        Err(why) => return deny(Code::DenySpecHashMismatch, format!("its spec can not be read: {why}")),
    };
    let Some((_, proof)) = proof(facts) else { return Ok(()) };
    let found = spec.sha256();
    if proof.spec_sha256 != found {
        let (signed, found) = (short(&proof.spec_sha256), short(&found));
        return deny(
            Code::DenySpecHashMismatch,
            format!("its spec was changed: {signed} was signed, {found} is there"),
        );
    }
    if proof.variables != facts.entry.variables {
        return deny(
            Code::DenySpecHashMismatch,
            "the values of its variables are not those that were signed",
        );
    }
    if proof.revision != facts.entry.revision {
        let (signed, is) = (proof.revision, facts.entry.revision);
        return deny(
            Code::DenySpecHashMismatch,
            format!("its proof is of revision {signed}, and it is at {is}"),
        );
    }
    Ok(())
}

fn policy_is_the_signed_one(facts: &Facts<'_>) -> Result<(), Denial> {
    let Some((_, proof)) = proof(facts) else { return Ok(()) };
    if proof.policy_sha256 == facts.policy_sha256 {
        return Ok(());
    }
    let (signed, is) = (short(&proof.policy_sha256), short(facts.policy_sha256));
    deny(Code::DenyPolicyHashMismatch, format!("policy {signed} was signed, and {is} is in force"))
}

fn signer_is_trusted(facts: &Facts<'_>) -> Result<(), Denial> {
    let Some((envelope, _)) = proof(facts) else { return Ok(()) };
    let Some(id) = envelope.key() else { return deny(Code::DenySignerRevoked, "nobody signed its proof") };
    match facts.ring.get(id) {
        None => {
            deny(Code::DenySignerRevoked, format!("its proof is signed by {id}, which nobody trusts here"))
        }
        Some(key) => match key.status {
            Status::Trusted => Ok(()),
            Status::Revoked => {
                deny(Code::DenySignerRevoked, format!("its proof is signed by {id}, which was revoked"))
            }
        },
    }
}

fn signature_holds(facts: &Facts<'_>) -> Result<(), Denial> {
    let Some((envelope, _)) = proof(facts) else { return Ok(()) };
    match envelope.check(facts.ring) {
        SignatureCheck::Good => Ok(()),
        SignatureCheck::Wrong => {
            deny(Code::DenySignatureInvalid, "the signature is not over what its proof says")
        }
        SignatureCheck::Revoked | SignatureCheck::Unknown => {
            deny(Code::DenySignatureInvalid, "the key of its proof is not trusted")
        }
    }
}

fn not_expired(facts: &Facts<'_>) -> Result<(), Denial> {
    let by_spec = facts.spec.ok().and_then(|spec| spec.agent.expires.as_ref());
    let by_spec = by_spec.filter(|moment| facts.now_sec >= moment.wall_ns / 1_000_000_000);
    match proof(facts) {
        Some((_, proof)) if facts.now_sec >= proof.expires_sec => deny(
            Code::DenyProofExpired,
            format!("its proof was good until {}; promote it again", date(proof.expires_sec)),
        ),
        Some(_) => match by_spec {
            Some(moment) => {
                deny(Code::DenyProofExpired, format!("its spec says that it expired at {moment}"))
            }
            None => Ok(()),
        },
        None if facts.now_sec >= facts.entry.sandbox_until_sec => {
            let until = date(facts.entry.sandbox_until_sec);
            deny(
                Code::DenySandboxExpired,
                format!("its time in the sandbox ended at {until}; promote it, or create it again"),
            )
        }
        None => match by_spec {
            Some(moment) => {
                deny(Code::DenySandboxExpired, format!("its spec says that it expired at {moment}"))
            }
            None => Ok(()),
        },
    }
}

fn sandbox_is_contained(facts: &Facts<'_>) -> Result<(), Denial> {
    let Ok(spec) = facts.spec else {
        return deny(Code::DenyContainmentViolation, "its spec can not be read");
    };
    match facts.entry.standing.state {
        State::Valid | State::Restricted | State::Invalidated => Ok(()),
        State::Sandbox => violations(spec).map_or(Ok(()), |what| {
            let reason = format!(
                "it is in the sandbox and asks for {what}; set that to false in [containment], or promote it"
            );
            deny(Code::DenyContainmentViolation, reason)
        }),
    }
}

/// What a spec asks of the sandbox that it does not have; none if it is content.
pub fn violations(spec: &Spec) -> Option<&'static str> {
    match (spec.containment.external_calls, spec.containment.persistent_writes) {
        (true, true) => Some("external_calls and persistent_writes"),
        (true, false) => Some("external_calls"),
        (false, true) => Some("persistent_writes"),
        (false, false) => None,
    }
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// A moment for people.
pub fn date(sec: u64) -> String {
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + std::time::Duration::from_secs(sec)).to_string()
}

#[cfg(test)]
mod tests;
