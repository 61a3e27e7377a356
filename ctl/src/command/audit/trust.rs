//! Which keys are trusted to have signed the log: the trust list of a host, which an auditor may have a copy of.

use std::path::PathBuf;

use agentguard_audit::{Verdict, Verifier};
use agentguard_governance::keys::{KeyId, KeyRing, SignatureCheck};
use clap::Args;

use crate::exit::Failure;

/// Where the trust list of this host is.
const LIST: &str = "/var/lib/agentguard/keys/trust.json";

/// How signatures are checked.
#[derive(Debug, Args)]
pub(super) struct Trust {
    /// Keys that are trusted to sign the log
    #[arg(long, value_name = "FILE", default_value = LIST)]
    trust: PathBuf,
    /// Check the chain alone, not who signed it: whoever can write the files can have made it
    #[arg(long, conflicts_with = "trust")]
    chain_only: bool,
}

impl Trust {
    /// Who checks signatures; nobody with `--chain-only`.
    pub(super) fn verifier(&self) -> Result<Option<Keys>, Failure> {
        if self.chain_only { Ok(None) } else { Keys::read(&self.trust).map(Some) }
    }
}

/// The keys of a trust list.
pub(super) struct Keys(KeyRing);

impl Keys {
    /// A list that is not there, or is none, is a failure: without keys nothing would be checked.
    pub(super) fn read(path: &std::path::Path) -> Result<Self, Failure> {
        if let Err(error) = std::fs::File::open(path) {
            let words =
                format!("{}: {error}; --trust names the list, --chain-only does without", path.display());
            return Err(match error.kind() {
                std::io::ErrorKind::PermissionDenied => Failure::Permission(words),
                _ => Failure::Failed(words),
            });
        }
        let ring = KeyRing::of_list(path, None);
        match (ring.keys(), ring.problems()) {
            ([], [problem, ..]) => Err(Failure::Failed(problem.clone())),
            ([], []) => Err(Failure::Failed(format!("{}: it names no key", path.display()))),
            (_, _) => Ok(Self(ring)),
        }
    }
}

impl Verifier for Keys {
    fn verify(&self, key_id: &str, message: &[u8], signature: &[u8]) -> Verdict {
        match self.0.check(&KeyId(key_id.to_owned()), message, signature) {
            SignatureCheck::Good => Verdict::Good,
            SignatureCheck::Wrong => Verdict::Bad,
            SignatureCheck::Unknown => Verdict::UnknownKey,
            SignatureCheck::Revoked => Verdict::Revoked,
        }
    }
}
