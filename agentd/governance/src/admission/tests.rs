use std::path::Path;

use super::*;
use crate::keys::Algorithm;
use crate::proof::{Act, Authority};
use crate::state::{Event, Standing};

const SPEC: &str = "[agent]\nname = \"a\"\nrole = \"analysis\"\ntier = 2\nmode = \"enforce\"\n";
const POLICY: &str = "0123456789abcdef";
const NOW: u64 = 1_800_000_000;

/// A promoted agent whose proof holds.
struct World {
    _home: tempfile::TempDir,
    ring: KeyRing,
    entry: Entry,
    spec: String,
    proof: FoundProof,
    policy: String,
    now: u64,
}

fn spec(text: &str) -> Spec {
    Spec::parse(text, Path::new("a.toml")).unwrap_or_else(|error| panic!("{error}"))
}

fn world() -> World {
    let home = tempfile::tempdir().unwrap();
    let mut ring = KeyRing::open(home.path(), None);
    ring.generate(Algorithm::Ed25519, "host", "test", 1, false).unwrap();
    let mut entry = Entry::new("a", "alice", 1000, NOW, NOW + 100);
    entry.standing = Standing::SANDBOX.after(Event::Promoted).unwrap();
    let proof = Proof {
        agent: "a".to_owned(),
        version: None,
        revision: entry.revision,
        spec_sha256: spec(SPEC).sha256(),
        variables: entry.variables.clone(),
        policy_sha256: POLICY.to_owned(),
        authority: Authority {
            name: "alice".to_owned(),
            roles: vec!["agent_admin".to_owned()],
            act: Act::Promotion,
        },
        signed_sec: NOW,
        expires_sec: NOW + 1000,
        previous: None,
    };
    let envelope = Envelope::sign(&proof, &ring).unwrap();
    let proof = FoundProof::Read { envelope, proof: Box::new(proof) };
    World { _home: home, ring, entry, spec: SPEC.to_owned(), proof, policy: POLICY.to_owned(), now: NOW + 1 }
}

impl World {
    fn admit(&self) -> Admission {
        let parsed = Spec::parse(&self.spec, Path::new("a.toml")).map_err(|error| error.to_string());
        admit(&Facts {
            entry: &self.entry,
            spec: parsed.as_ref().map_err(String::as_str),
            proof: &self.proof,
            ring: &self.ring,
            policy_sha256: &self.policy,
            now_sec: self.now,
        })
    }

    fn read(&mut self) -> (&mut Envelope, &mut Proof) {
        match &mut self.proof {
            FoundProof::Read { envelope, proof } => (envelope, proof),
            FoundProof::Missing | FoundProof::Unreadable(_) => panic!("a proof"),
        }
    }

    /// What the stored envelope says now, as admission reads it.
    fn reread(&mut self) {
        let text = self.read().0.text();
        let envelope = Envelope::parse(&text).unwrap();
        let proof = envelope.proof().unwrap();
        self.proof = FoundProof::Read { envelope, proof: Box::new(proof) };
    }

    /// Another payload under the old signature.
    fn forge(&mut self, change: impl FnOnce(&mut Proof)) {
        use base64::Engine as _;
        let (envelope, proof) = self.read();
        change(proof);
        envelope.payload =
            base64::engine::general_purpose::STANDARD.encode(serde_json::to_vec(proof).unwrap());
        self.reread();
    }

    fn sandbox(mut self) -> Self {
        self.entry.standing = Standing::SANDBOX;
        self.proof = FoundProof::Missing;
        self
    }
}

#[test]
fn an_agent_whose_proof_holds_may_start() {
    let admission = world().admit();
    assert_eq!((admission.code, admission.reason.as_str()), (Code::Allow, ""));
    assert!(admission.checks.iter().all(|check| check.holds == Some(true)));
    assert_eq!(world().sandbox().admit().code, Code::Allow);
}

/// The check that must catch it, its code, and what is done to the world.
type Tamper = (&'static str, Code, fn(&mut World));

#[test]
fn each_check_denies_with_its_code_and_the_later_ones_are_not_asked() {
    let cases: [Tamper; 17] = [
        ("state", Code::DenyState, |world| {
            world.entry.standing = world.entry.standing.after(Event::Revoked).unwrap();
        }),
        ("proof", Code::DenyProofMissing, |world| world.proof = FoundProof::Missing),
        ("proof", Code::DenyProofMissing, |world| world.proof = FoundProof::Unreadable("x".to_owned())),
        ("proof", Code::DenyProofMissing, |world| world.entry.name = "b".to_owned()),
        ("spec", Code::DenySpecHashMismatch, |world| world.spec = SPEC.replace("tier = 2", "tier = 1")),
        ("spec", Code::DenySpecHashMismatch, |world| world.spec = "[agent".to_owned()),
        ("spec", Code::DenySpecHashMismatch, |world| world.entry.revision += 1),
        ("spec", Code::DenySpecHashMismatch, |world| {
            world.entry.variables.insert("workspace".to_owned(), "/etc".to_owned());
        }),
        ("policy", Code::DenyPolicyHashMismatch, |world| world.policy = "fedcba9876543210".to_owned()),
        ("signer", Code::DenySignerRevoked, |world| {
            let id = world.ring.keys()[0].id.0.clone();
            world.ring.revoke(&id, "lost", NOW).unwrap();
        }),
        ("signer", Code::DenySignerRevoked, |world| {
            world.read().0.signatures[0].keyid = crate::keys::KeyId("ed25519-0000".to_owned());
        }),
        ("signature", Code::DenySignatureInvalid, |world| {
            // The spec is another, and the proof says so, too.
            world.spec = SPEC.replace("tier = 2", "tier = 1");
            let hash = spec(&world.spec).sha256();
            world.forge(|proof| proof.spec_sha256 = hash);
        }),
        ("signature", Code::DenySignatureInvalid, |world| {
            world.forge(|proof| proof.expires_sec += 1_000_000)
        }),
        ("signature", Code::DenySignatureInvalid, |world| {
            let signature = &mut world.read().0.signatures[0].sig;
            let last = if signature.starts_with('A') { "B" } else { "A" };
            signature.replace_range(..1, last);
        }),
        ("expiry", Code::DenyProofExpired, |world| world.now = NOW + 1000),
        ("containment", Code::DenyContainmentViolation, |world| {
            world.entry.standing = Standing::SANDBOX;
            world.spec = format!("{SPEC}[containment]\nexternal_calls = true\n");
        }),
        ("expiry", Code::DenySandboxExpired, |world| {
            world.entry.standing = Standing::SANDBOX;
            world.now = NOW + 100;
        }),
    ];
    for (name, code, change) in cases {
        let mut world = world();
        change(&mut world);
        let admission = world.admit();
        assert_eq!(admission.code, code, "{name}: {}", admission.reason);
        assert!(!admission.reason.is_empty() && !admission.reason.contains('\n'), "{}", admission.reason);
        let failed = admission.checks.iter().position(|check| check.holds == Some(false)).unwrap();
        assert_eq!(admission.checks[failed].name, name);
        assert!(admission.checks[failed + 1..].iter().all(|check| check.holds.is_none()));
    }
}

#[test]
fn a_spec_that_expired_starts_neither_promoted_nor_in_the_sandbox() {
    let expired = SPEC.replace("tier = 2", "tier = 2\nexpires = 2027-01-15T00:00:00Z");
    let mut promoted = world();
    promoted.spec.clone_from(&expired);
    promoted.forge(|proof| proof.spec_sha256 = spec(&expired).sha256());
    let (_, proof) = promoted.read();
    let envelope = Envelope::sign(&proof.clone(), &promoted.ring).unwrap();
    *promoted.read().0 = envelope;
    assert_eq!(promoted.admit().code, Code::DenyProofExpired);
    let mut sandbox = world().sandbox();
    sandbox.spec = expired;
    assert_eq!(sandbox.admit().code, Code::DenySandboxExpired);
}

#[test]
fn comments_in_a_spec_are_not_what_was_signed() {
    let mut world = world();
    world.spec = format!("# reviewed\n{SPEC}");
    assert_eq!(world.admit().code, Code::Allow);
}
