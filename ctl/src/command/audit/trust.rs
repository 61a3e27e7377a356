//! Which keys are trusted to have signed the log: the one place that knows how a trust list is written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use agentguard_audit::{Verdict, Verifier};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use ed25519_dalek::{Signature, VerifyingKey};
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;

use crate::exit::Failure;

/// Where the trust list of this host is.
const LIST: &str = "/etc/agentguard/trust.json";

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
    pub(super) fn verifier(&self) -> Result<Option<impl Verifier + use<>>, Failure> {
        if self.chain_only { Ok(None) } else { verifier(&self.trust).map(Some) }
    }
}

/// The keys of a trust list.
pub(super) fn verifier(path: &Path) -> Result<impl Verifier + use<>, Failure> {
    let text = fs::read(path).map_err(|error| {
        let words = format!("{}: {error}; --trust names the list, --chain-only does without", path.display());
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => Failure::Permission(words),
            _ => Failure::Failed(words),
        }
    })?;
    Keys::parse(&text).map_err(|why| Failure::Failed(format!("{}: {why}", path.display())))
}

#[derive(Deserialize)]
struct List {
    keys: Vec<Listed>,
}

/// A key as it is listed; who may sign what else is not for this command.
#[derive(Deserialize)]
struct Listed {
    id: String,
    algorithm: Algorithm,
    public_key: String,
    status: Status,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Algorithm {
    Ed25519,
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Trusted,
    /// Signs no more; what it signed counts.
    Retired,
    Revoked,
}

/// What checks a signature.
enum Key {
    Ed25519(Box<VerifyingKey>),
    /// The shared secret.
    HmacSha256(Vec<u8>),
}

/// Keys by name.
struct Keys(BTreeMap<String, (Key, Status)>);

impl Keys {
    fn parse(text: &[u8]) -> Result<Self, String> {
        let list: List = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let mut keys = BTreeMap::new();
        for Listed { id, algorithm, public_key, status } in list.keys {
            let key = key(algorithm, &public_key).map_err(|why| format!("key {id}: {why}"))?;
            if keys.insert(id.clone(), (key, status)).is_some() {
                return Err(format!("key {id} is there twice"));
            }
        }
        Ok(Self(keys))
    }
}

fn key(algorithm: Algorithm, text: &str) -> Result<Key, String> {
    let bytes = STANDARD.decode(text).map_err(|error| format!("public_key: {error}"))?;
    match algorithm {
        Algorithm::HmacSha256 if bytes.is_empty() => Err("public_key: the secret is empty".to_owned()),
        Algorithm::HmacSha256 => Ok(Key::HmacSha256(bytes)),
        Algorithm::Ed25519 => {
            let key = VerifyingKey::try_from(bytes.as_slice());
            key.map(|key| Key::Ed25519(Box::new(key))).map_err(|_| "public_key is no Ed25519 key".to_owned())
        }
    }
}

impl Verifier for Keys {
    fn verify(&self, key_id: &str, message: &[u8], signature: &[u8]) -> Verdict {
        let Some((key, status)) = self.0.get(key_id) else { return Verdict::UnknownKey };
        let right = match key {
            Key::Ed25519(key) => Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Key::HmacSha256(secret) => Hmac::<Sha256>::new_from_slice(secret)
                .is_ok_and(|mac| mac.chain_update(message).verify_slice(signature).is_ok()),
        };
        match (right, status) {
            (false, _) => Verdict::Bad,
            (true, Status::Trusted | Status::Retired) => Verdict::Good,
            (true, Status::Revoked) => Verdict::Revoked,
        }
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    fn keys(status: &str) -> (SigningKey, Keys) {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public_key = STANDARD.encode(key.verifying_key().as_bytes());
        let shared = STANDARD.encode(b"secret");
        let list = serde_json::json!({ "keys": [
            { "id": "host", "algorithm": "ed25519", "public_key": public_key, "status": status, "owner": "ops" },
            { "id": "mac", "algorithm": "hmac-sha256", "public_key": shared, "status": status },
        ]});
        (key, Keys::parse(list.to_string().as_bytes()).unwrap())
    }

    #[test]
    fn a_signature_is_worth_what_its_key_is() {
        for (status, worth) in
            [("trusted", Verdict::Good), ("retired", Verdict::Good), ("revoked", Verdict::Revoked)]
        {
            let (key, keys) = keys(status);
            let signature = key.sign(b"message").to_bytes();
            assert_eq!(keys.verify("host", b"message", &signature), worth);
            assert_eq!(keys.verify("host", b"another", &signature), Verdict::Bad);
            assert_eq!(keys.verify("host", b"message", b"short"), Verdict::Bad);
            assert_eq!(keys.verify("nobody", b"message", &signature), Verdict::UnknownKey);
            let mac = Hmac::<Sha256>::new_from_slice(b"secret").unwrap().chain_update(b"message").finalize();
            assert_eq!(keys.verify("mac", b"message", &mac.into_bytes()), worth);
        }
    }

    #[test]
    fn a_wrong_list_is_one_clear_line() {
        for (text, line) in [
            ("{", "EOF while parsing"),
            (
                r#"{"keys":[{"id":"a","algorithm":"rsa","public_key":"","status":"trusted"}]}"#,
                "unknown variant `rsa`",
            ),
            (
                r#"{"keys":[{"id":"a","algorithm":"ed25519","public_key":"AA==","status":"trusted"}]}"#,
                "key a: public_key is no Ed25519 key",
            ),
        ] {
            let error = Keys::parse(text.as_bytes()).err().unwrap();
            assert!(error.starts_with(line), "{error}");
        }
    }
}
