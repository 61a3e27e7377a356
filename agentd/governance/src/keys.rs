//! Keys: who may sign proofs and checkpoints, and the secrets that this host signs with.
//!
//! One private folder. `trust.json` lists the keys whose signatures count, and those that do not any more;
//! `ID.key` holds a secret: an Ed25519 key as PKCS#8 PEM, as openssl reads it, or one of HMAC-SHA256 as hex. A secret may also
//! come as a systemd credential. A secret that others can read is not used.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes,
};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::files::{self, FileError};

/// Keys that are trusted at once: more is a mistake.
const MAX_TRUSTED: usize = 256;
/// A list that is longer, in bytes, takes no further key. Revoked ones stay in it for good, or they could be trusted
/// again; some thousand fit. What is left up to the longest file that is read is for revoking all that are trusted.
const MAX_LIST: usize = 1 << 20;
const SECRET_BYTES: usize = 32;
/// Of SHA-256.
const BLOCK_BYTES: usize = 64;
/// Hex digits of a key id.
const ID_DIGITS: usize = 16;
const TRUST: &str = "trust.json";
const SECRET_SUFFIX: &str = "key";
/// Names of systemd credentials begin with this.
const CREDENTIAL: &str = "agentguard-key";

/// Names a key: algorithm and the first digits of a hash over it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub String);

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// Public key: whoever knows it can verify.
    #[serde(rename = "ed25519")]
    Ed25519,
    /// One secret: only this host can verify.
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
}

/// Whether a key's signatures count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// They do.
    Trusted,
    /// They do not any more, also those from before.
    Revoked,
}

/// One key of the trust list. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedKey {
    /// Its name.
    pub id: KeyId,
    /// How it signs.
    pub algorithm: Algorithm,
    /// For people.
    pub label: String,
    /// Base64 of the 32 bytes; of Ed25519 only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub public_key: Option<String>,
    /// Whether it counts.
    pub status: Status,
    /// When it was added.
    pub added_sec: u64,
    /// By whom.
    pub added_by: String,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked_sec: Option<u64>,
    /// Why it was revoked.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub because: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trust {
    /// Signs from now on.
    active: Option<KeyId>,
    keys: Vec<TrustedKey>,
}

/// What a signature is worth.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureCheck {
    /// It is the key's, and the key is trusted.
    Good,
    /// It is the key's, or may be, but the key was revoked.
    Revoked,
    /// Nobody trusts this key.
    Unknown,
    /// It is not the key's over this message, or that could not be told.
    Wrong,
}

/// Why something about keys was not done. One line.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The trust list is not one.
    #[error("{}: the list of trusted keys is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A list that can not be read is not replaced.
    #[error("{0}; restore it before keys are changed")]
    Unwritable(String),
    /// No key is in use.
    #[error("there is no key to sign with; make one: agentctl keys generate")]
    NoKey,
    /// Its secret is not here.
    #[error(
        "the secret of key {0} is not on this host, so it cannot sign; make another: agentctl keys rotate"
    )]
    NoSecret(KeyId),
    /// No such key.
    #[error("there is no key `{0}`; agentctl keys list shows them")]
    Unknown(String),
    /// Several keys.
    #[error("`{0}` names more than one key; write more of it")]
    Ambiguous(String),
    /// It is in the list.
    #[error("key {0} is in the list already")]
    Twice(KeyId),
    /// It was revoked, for good.
    #[error("key {0} was revoked already")]
    Revoked(KeyId),
    /// Not a key.
    #[error("this is no Ed25519 public key; give PEM (openssl pkey -pubout) or base64 of its 32 bytes")]
    NotAKey,
    /// Too many.
    #[error("the list has {MAX_TRUSTED} trusted keys, which is the most; revoke those that nobody needs")]
    Full,
    /// Too many that were revoked.
    #[error("the list of keys has {MAX_LIST} bytes, which is the most, with the keys that were revoked")]
    TooLong,
    /// The system gave no randomness.
    #[error("no randomness for a key: {0}")]
    Random(String),
    /// A secret can not be written as PEM.
    #[error("the secret could not be written: {0}")]
    Encode(String),
}

enum Secret {
    Ed25519(Box<SigningKey>),
    Hmac(Zeroizing<[u8; SECRET_BYTES]>),
}

/// The keys of this host.
pub struct KeyRing {
    folder: PathBuf,
    trust: Trust,
    secrets: BTreeMap<KeyId, Secret>,
    problems: Vec<String>,
    /// What is wrong with the list: then it is not written either, so that no revocation is forgotten.
    damaged: Option<String>,
}

impl KeyRing {
    /// Reads the folder, and secrets that systemd hands over. What is wrong with it is a problem and no error: then fewer
    /// signatures count, never more.
    pub fn open(folder: &Path, credentials: Option<&Path>) -> Self {
        Self::of_list(&folder.join(TRUST), credentials)
    }

    /// The same with a list of another name; secrets are looked for beside it.
    pub fn of_list(list: &Path, credentials: Option<&Path>) -> Self {
        let folder = list.parent().unwrap_or(Path::new("/"));
        let mut ring = Self {
            folder: folder.to_owned(),
            trust: Trust::default(),
            secrets: BTreeMap::new(),
            problems: Vec::new(),
            damaged: None,
        };
        match read_trust(list) {
            Ok(trust) => ring.trust = trust,
            Err(error) => {
                ring.damaged = Some(error.to_string());
                ring.problems.push(error.to_string());
            }
        }
        let own = secrets_in(folder, |name| name.ends_with(&format!(".{SECRET_SUFFIX}")));
        let handed = credentials.map(|folder| secrets_in(folder, |name| name.starts_with(CREDENTIAL)));
        for path in own.into_iter().chain(handed.into_iter().flatten()) {
            match read_secret(&path) {
                Ok(secret) => {
                    ring.secrets.insert(secret.id(), secret);
                }
                Err(problem) => ring.problems.push(problem),
            }
        }
        ring
    }

    /// What is wrong with the folder, one line each.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Every key, in the order in which they came.
    pub fn keys(&self) -> &[TrustedKey] {
        &self.trust.keys
    }

    /// The key in use.
    pub fn active(&self) -> Option<&KeyId> {
        self.trust.active.as_ref()
    }

    /// Whether this host can sign with it.
    pub fn has_secret(&self, id: &KeyId) -> bool {
        self.secrets.contains_key(id)
    }

    /// One key.
    pub fn get(&self, id: &KeyId) -> Option<&TrustedKey> {
        self.trust.keys.iter().find(|key| key.id == *id)
    }

    /// The key of this id, or of these first letters of one.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn find(&self, name: &str) -> Result<&TrustedKey, RingError> {
        let mut found = self.trust.keys.iter().filter(|key| key.id.0.starts_with(name) && !name.is_empty());
        match (found.next(), found.next()) {
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(RingError::Ambiguous(name.to_owned())),
            (None, _) => Err(RingError::Unknown(name.to_owned())),
        }
    }

    /// Signs with the key in use, and says which it was.
    ///
    /// # Errors
    /// When there is none, it was revoked, or its secret is not here.
    pub fn sign(&self, message: &[u8]) -> Result<(KeyId, Vec<u8>), RingError> {
        let id = self.trust.active.clone().ok_or(RingError::NoKey)?;
        if self.get(&id).is_none_or(|key| key.status != Status::Trusted) {
            return Err(RingError::NoKey);
        }
        let secret = self.secrets.get(&id).ok_or_else(|| RingError::NoSecret(id.clone()))?;
        Ok((id, secret.sign(message)))
    }

    /// What a signature is worth.
    pub fn check(&self, id: &KeyId, message: &[u8], signature: &[u8]) -> SignatureCheck {
        let Some(key) = self.get(id) else { return SignatureCheck::Unknown };
        if key.status == Status::Revoked {
            return SignatureCheck::Revoked;
        }
        let good = match key.algorithm {
            Algorithm::Ed25519 => key.verifying().is_some_and(|public| {
                ed25519_dalek::Signature::from_slice(signature)
                    .is_ok_and(|signature| public.verify_strict(message, &signature).is_ok())
            }),
            Algorithm::HmacSha256 => match self.secrets.get(id) {
                Some(Secret::Hmac(secret)) => mac(secret, message).verify_slice(signature).is_ok(),
                Some(Secret::Ed25519(_)) | None => false,
            },
        };
        if good { SignatureCheck::Good } else { SignatureCheck::Wrong }
    }

    /// Makes a key and trusts it. It signs from now on if none does, or if `activate` says so.
    ///
    /// # Errors
    /// When the system gives no randomness or the disk refuses; then nothing is changed.
    pub fn generate(
        &mut self,
        algorithm: Algorithm,
        label: &str,
        by: &str,
        now_sec: u64,
        activate: bool,
    ) -> Result<KeyId, RingError> {
        let mut bytes = Zeroizing::new([0_u8; SECRET_BYTES]);
        getrandom::fill(&mut *bytes).map_err(|error| RingError::Random(error.to_string()))?;
        let secret = match algorithm {
            Algorithm::Ed25519 => Secret::Ed25519(Box::new(SigningKey::from_bytes(&bytes))),
            Algorithm::HmacSha256 => Secret::Hmac(bytes),
        };
        let id = secret.id();
        let mut trust = self.trust.clone();
        trust.add(TrustedKey {
            id: id.clone(),
            algorithm,
            label: label.to_owned(),
            public_key: secret.public(),
            status: Status::Trusted,
            added_sec: now_sec,
            added_by: by.to_owned(),
            revoked_sec: None,
            because: String::new(),
        })?;
        if activate || trust.active.is_none() {
            trust.active = Some(id.clone());
        }
        files::folder(&self.folder)?;
        let path = self.folder.join(format!("{}.{SECRET_SUFFIX}", id.0));
        files::write(&path, secret.text()?.as_bytes())?;
        if let Err(error) = self.replace(trust) {
            // A secret that no list knows signs nothing, but should not lie around either.
            let _ = files::remove(&path);
            return Err(error);
        }
        self.secrets.insert(id.clone(), secret);
        Ok(id)
    }

    /// The id of a public key from elsewhere that is not in the list yet.
    ///
    /// # Errors
    /// When it is no key, or in the list.
    pub fn id_of(&self, public: &str) -> Result<KeyId, RingError> {
        let id = ed25519_id(&public_key(public).ok_or(RingError::NotAKey)?);
        if self.get(&id).is_some() { Err(RingError::Twice(id)) } else { Ok(id) }
    }

    /// Trusts a public key from elsewhere, in PEM or base64.
    ///
    /// # Errors
    /// When it is none, is there already, or the disk refuses.
    pub fn trust(&mut self, public: &str, label: &str, by: &str, now_sec: u64) -> Result<KeyId, RingError> {
        let key = public_key(public).ok_or(RingError::NotAKey)?;
        let id = ed25519_id(&key);
        let mut trust = self.trust.clone();
        trust.add(TrustedKey {
            id: id.clone(),
            algorithm: Algorithm::Ed25519,
            label: label.to_owned(),
            public_key: Some(BASE64.encode(key.as_bytes())),
            status: Status::Trusted,
            added_sec: now_sec,
            added_by: by.to_owned(),
            revoked_sec: None,
            because: String::new(),
        })?;
        files::folder(&self.folder)?;
        self.replace(trust)?;
        Ok(id)
    }

    /// From now on nothing that it signed counts. It is for good.
    ///
    /// # Errors
    /// When there is no such key, it was revoked before, or the disk refuses.
    pub fn revoke(&mut self, name: &str, because: &str, now_sec: u64) -> Result<KeyId, RingError> {
        let id = self.find(name)?.id.clone();
        let mut trust = self.trust.clone();
        let key = trust.keys.iter_mut().find(|key| key.id == id).ok_or(RingError::NoKey)?;
        if key.status == Status::Revoked {
            return Err(RingError::Revoked(id));
        }
        key.status = Status::Revoked;
        key.revoked_sec = Some(now_sec);
        because.clone_into(&mut key.because);
        trust.active = trust.active.filter(|active| *active != id);
        self.replace(trust)?;
        Ok(id)
    }

    /// The public half, for others to trust.
    pub fn public_pem(&self, id: &KeyId) -> Option<String> {
        self.get(id)?.verifying()?.to_public_key_pem(LineEnding::LF).ok()
    }

    fn replace(&mut self, trust: Trust) -> Result<(), RingError> {
        if let Some(why) = &self.damaged {
            return Err(RingError::Unwritable(why.clone()));
        }
        files::write(&self.folder.join(TRUST), &trust.text()?)?;
        self.trust = trust;
        Ok(())
    }
}

impl Trust {
    fn add(&mut self, key: TrustedKey) -> Result<(), RingError> {
        if self.keys.iter().any(|known| known.id == key.id) {
            return Err(RingError::Twice(key.id));
        }
        if self.keys.iter().filter(|known| known.status == Status::Trusted).count() >= MAX_TRUSTED {
            return Err(RingError::Full);
        }
        if self.text()?.len() > MAX_LIST {
            return Err(RingError::TooLong);
        }
        self.keys.push(key);
        Ok(())
    }

    fn text(&self) -> Result<Vec<u8>, RingError> {
        serde_json::to_vec_pretty(self).map_err(|error| RingError::Encode(error.to_string()))
    }
}

impl TrustedKey {
    fn verifying(&self) -> Option<VerifyingKey> {
        let bytes = BASE64.decode(self.public_key.as_ref()?).ok()?;
        let key = VerifyingKey::from_bytes(bytes.as_slice().try_into().ok()?).ok()?;
        // A list in which an id was put to another key trusts nobody by that id.
        (ed25519_id(&key) == self.id).then_some(key)
    }
}

impl Secret {
    fn id(&self) -> KeyId {
        match self {
            Self::Ed25519(key) => ed25519_id(&key.verifying_key()),
            Self::Hmac(secret) => {
                let hash = Sha256::new().chain_update("agentguard key id").chain_update(secret.as_slice());
                KeyId(format!("hmac-{}", digits(&hash.finalize())))
            }
        }
    }

    fn public(&self) -> Option<String> {
        match self {
            Self::Ed25519(key) => Some(BASE64.encode(key.verifying_key().as_bytes())),
            Self::Hmac(_) => None,
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
            Self::Hmac(secret) => mac(secret, message).finalize().into_bytes().to_vec(),
        }
    }

    fn text(&self) -> Result<Zeroizing<String>, RingError> {
        match self {
            // Without the public key: openssl does not read the form that has it.
            Self::Ed25519(key) => KeypairBytes { secret_key: key.to_bytes(), public_key: None }
                .to_pkcs8_pem(LineEnding::LF)
                .map_err(|error| RingError::Encode(error.to_string())),
            Self::Hmac(secret) => Ok(Zeroizing::new(format!("{}\n", hex::encode(secret.as_slice())))),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if let Ok(key) = SigningKey::from_pkcs8_pem(text) {
            return Some(Self::Ed25519(Box::new(key)));
        }
        let bytes = Zeroizing::new(hex::decode(text.trim()).ok()?);
        Some(Self::Hmac(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
    }
}

fn mac(secret: &[u8; SECRET_BYTES], message: &[u8]) -> Hmac<Sha256> {
    // HMAC fills a short key up to a block with zeros; of a whole block nothing can be wrong.
    let mut block = Zeroizing::new([0_u8; BLOCK_BYTES]);
    block.iter_mut().zip(secret).for_each(|(to, from)| *to = *from);
    <Hmac<Sha256> as Mac>::new((&*block).into()).chain_update(message)
}

fn digits(hash: &[u8]) -> String {
    let mut digits = hex::encode(hash);
    digits.truncate(ID_DIGITS);
    digits
}

fn ed25519_id(key: &VerifyingKey) -> KeyId {
    KeyId(format!("ed25519-{}", digits(&Sha256::digest(key.as_bytes()))))
}

fn public_key(text: &str) -> Option<VerifyingKey> {
    if let Ok(key) = VerifyingKey::from_public_key_pem(text.trim()) {
        return Some(key);
    }
    let bytes = BASE64.decode(text.trim()).ok()?;
    VerifyingKey::from_bytes(bytes.as_slice().try_into().ok()?).ok()
}

fn read_trust(path: &Path) -> Result<Trust, RingError> {
    let Some(text) = files::read(path)? else { return Ok(Trust::default()) };
    serde_json::from_str(&text)
        .map_err(|error| RingError::Damaged { path: path.to_owned(), why: error.to_string() })
}

fn secrets_in(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(&wanted))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

fn read_secret(path: &Path) -> Result<Secret, String> {
    let shown = path.display();
    match files::is_private(path) {
        Ok(true) => {}
        Ok(false) => {
            return Err(format!(
                "{shown}: others can read this key, so it is not used; chmod 600, or make another"
            ));
        }
        Err(error) => return Err(error.to_string()),
    }
    let text = files::read(path).map_err(|error| error.to_string())?.map(Zeroizing::new);
    let secret = text.as_ref().and_then(|text| Secret::parse(text));
    secret.ok_or_else(|| format!("{shown}: holds no key; it must be PKCS#8 PEM of Ed25519, or 64 hex digits"))
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Algorithm {
    /// As users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::HmacSha256 => "hmac-sha256",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn ring(folder: &Path) -> KeyRing {
        let ring = KeyRing::open(folder, None);
        assert_eq!(ring.problems(), &[] as &[String]);
        ring
    }

    #[test]
    fn what_a_key_signs_counts_until_it_is_revoked_also_after_a_restart() {
        for algorithm in [Algorithm::Ed25519, Algorithm::HmacSha256] {
            let home = tempfile::tempdir().unwrap();
            let mut first = ring(home.path());
            assert!(matches!(first.sign(b"x"), Err(RingError::NoKey)));
            let id = first.generate(algorithm, "host", "test", 1, false).unwrap();
            let (by, signature) = first.sign(b"message").unwrap();
            assert_eq!(by, id);
            let mut again = ring(home.path());
            assert_eq!(again.check(&id, b"message", &signature), SignatureCheck::Good);
            assert_eq!(again.check(&id, b"massage", &signature), SignatureCheck::Wrong);
            let other = KeyId("ed25519-0000000000000000".to_owned());
            assert_eq!(again.check(&other, b"message", &signature), SignatureCheck::Unknown);
            again.revoke(&id.0, "lost", 2).unwrap();
            assert_eq!(ring(home.path()).check(&id, b"message", &signature), SignatureCheck::Revoked);
            assert!(matches!(ring(home.path()).sign(b"x"), Err(RingError::NoKey)));
            assert!(matches!(again.revoke(&id.0, "", 3), Err(RingError::Revoked(_))));
        }
    }

    #[test]
    fn a_new_key_signs_and_the_old_one_still_counts() {
        let home = tempfile::tempdir().unwrap();
        let mut ring = ring(home.path());
        let old = ring.generate(Algorithm::Ed25519, "old", "test", 1, false).unwrap();
        let (_, signature) = ring.sign(b"m").unwrap();
        let new = ring.generate(Algorithm::Ed25519, "new", "test", 2, true).unwrap();
        assert_eq!(ring.sign(b"m").unwrap().0, new);
        assert_eq!(ring.check(&old, b"m", &signature), SignatureCheck::Good);
    }

    #[test]
    fn a_public_key_from_elsewhere_is_taken_in_both_forms() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut signer = ring(one.path());
        let id = signer.generate(Algorithm::Ed25519, "ci", "test", 1, false).unwrap();
        let mut host = ring(other.path());
        assert_eq!(host.trust(&signer.public_pem(&id).unwrap(), "ci", "test", 1).unwrap(), id);
        let base64 = signer.keys()[0].public_key.clone().unwrap();
        assert!(matches!(host.trust(&base64, "ci", "test", 1), Err(RingError::Twice(_))));
        assert!(matches!(host.trust("hello", "ci", "test", 1), Err(RingError::NotAKey)));
        let (_, signature) = signer.sign(b"m").unwrap();
        assert_eq!(host.check(&id, b"m", &signature), SignatureCheck::Good);
        assert!(!host.has_secret(&id));
    }

    #[test]
    fn a_secret_that_others_can_read_is_not_used() {
        let home = tempfile::tempdir().unwrap();
        let id = ring(home.path()).generate(Algorithm::Ed25519, "x", "test", 1, false).unwrap();
        let path = home.path().join(format!("{id}.key"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let loose = KeyRing::open(home.path(), None);
        assert!(loose.problems()[0].contains("others can read"), "{:?}", loose.problems());
        assert!(matches!(loose.sign(b"x"), Err(RingError::NoSecret(_))));
    }

    #[test]
    fn a_damaged_list_trusts_nobody() {
        let home = tempfile::tempdir().unwrap();
        let mut good = ring(home.path());
        let id = good.generate(Algorithm::Ed25519, "x", "test", 1, false).unwrap();
        let (_, signature) = good.sign(b"m").unwrap();
        let list = home.path().join(TRUST);
        let text = fs::read_to_string(&list).unwrap();
        fs::write(&list, &text[..text.len() - 4]).unwrap();
        let damaged = KeyRing::open(home.path(), None);
        assert_eq!(damaged.problems().len(), 1);
        assert_eq!(damaged.check(&id, b"m", &signature), SignatureCheck::Unknown);
        let mut damaged = damaged;
        let refused = damaged.generate(Algorithm::Ed25519, "y", "test", 2, true).unwrap_err();
        assert!(
            matches!(refused, RingError::Unwritable(_)),
            "what it knew of revoked keys is not lost: {refused}"
        );
        // Another key under a known id is not that key.
        let other = SigningKey::from_bytes(&[7; 32]);
        let public = good.keys()[0].public_key.clone().unwrap();
        fs::write(&list, text.replace(&public, &BASE64.encode(other.verifying_key().as_bytes()))).unwrap();
        let swapped = KeyRing::open(home.path(), None);
        assert_eq!(swapped.check(&id, b"m", &other.sign(b"m").to_bytes()), SignatureCheck::Wrong);
    }

    /// A list with so many more keys.
    fn fill(ring: &mut KeyRing, count: usize, status: Status, because: &str) {
        let first = ring.trust.keys[0].clone();
        ring.trust.keys.extend((0..count).map(|number| TrustedKey {
            id: KeyId(format!("ed25519-{number:016}")),
            status,
            because: because.to_owned(),
            ..first.clone()
        }));
        ring.replace(ring.trust.clone()).unwrap();
    }

    #[test]
    fn a_list_that_is_full_of_trusted_keys_takes_another_when_one_is_revoked() {
        let home = tempfile::tempdir().unwrap();
        let mut full = ring(home.path());
        let id = full.generate(Algorithm::Ed25519, "x", "test", 1, false).unwrap();
        fill(&mut full, MAX_TRUSTED - 1, Status::Trusted, "");
        let refused = full.generate(Algorithm::Ed25519, "y", "test", 2, true);
        assert!(matches!(refused, Err(RingError::Full)), "{refused:?}");
        full.revoke(&id.0, "lost", 3).unwrap();
        let next = full.generate(Algorithm::Ed25519, "y", "test", 4, false).unwrap();
        assert_eq!(ring(home.path()).sign(b"x").unwrap().0, next);
    }

    #[test]
    fn revoked_keys_take_no_room_from_trusted_ones_and_every_one_can_be_revoked() {
        let home = tempfile::tempdir().unwrap();
        let mut long = ring(home.path());
        long.generate(Algorithm::Ed25519, "x", "test", 1, false).unwrap();
        fill(&mut long, 4 * MAX_TRUSTED, Status::Revoked, "");
        long.generate(Algorithm::Ed25519, "y", "test", 2, true).unwrap();
        // The longest reason that a person can give, as JSON writes it.
        let worst = "\u{1}".repeat(500);
        fill(&mut long, MAX_TRUSTED - 2, Status::Trusted, "");
        while long.trust.text().unwrap().len() <= MAX_LIST {
            long.trust.keys.push(TrustedKey { because: worst.clone(), ..long.trust.keys[1].clone() });
        }
        for key in long.trust.keys.iter_mut().filter(|key| key.status == Status::Trusted) {
            (key.status, key.revoked_sec) = (Status::Revoked, Some(u64::MAX));
            key.because.clone_from(&worst);
        }
        long.replace(long.trust.clone()).unwrap();
        let mut long = ring(home.path());
        let refused = long.generate(Algorithm::Ed25519, "z", "test", 3, true);
        assert!(matches!(refused, Err(RingError::TooLong)), "{refused:?}");
    }

    #[test]
    fn a_credential_is_a_secret_too() {
        let (home, credentials) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let id = ring(home.path()).generate(Algorithm::Ed25519, "x", "test", 1, false).unwrap();
        let handed = credentials.path().join("agentguard-key");
        fs::rename(home.path().join(format!("{id}.key")), handed).unwrap();
        assert!(matches!(ring(home.path()).sign(b"x"), Err(RingError::NoSecret(_))));
        assert_eq!(KeyRing::open(home.path(), Some(credentials.path())).sign(b"x").unwrap().0, id);
    }
}
