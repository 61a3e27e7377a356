//! `keys`: who may sign proofs, and who could. Secrets stay with agentd; only public keys pass here.

use std::io;
use std::path::PathBuf;

use agentguard_api::report::{KeyChange, KeyList, KeyView};
use agentguard_api::v1::{KeyGenerateRequest, KeyRevokeRequest, KeyTrustRequest};
use agentguard_governance::keys::{Algorithm, Status};
use clap::{Args, Subcommand, ValueEnum};

use crate::daemon::Daemon;
use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::moment;
use crate::screen::{Format, Screen, Tone, cell, printable};
use crate::spec_text::SpecText;

/// The commands below `keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum Typed {
    /// List the keys
    List,
    /// Make a key; the first one signs from now on, another one when it is rotated to
    Generate(Generate),
    /// Trust a public key from elsewhere: proofs that it signed count here
    Trust(Trust),
    /// End a key: nothing that it signed counts any more, and agents that run on that are stopped
    Revoke(Revoke),
    /// Make a key that signs from now on, and sign every proof anew
    Rotate(Rotate),
    /// Print a public key as PEM
    Export(Export),
}

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Algo {
    /// Whoever has the public key can verify
    Ed25519,
    /// Only this host can verify
    HmacSha256,
}

/// What was typed after `keys generate`.
#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// How it signs
    #[arg(long, value_enum, default_value = "ed25519")]
    algorithm: Algo,
    /// For people
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
}

/// What was typed after `keys rotate`.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// How it signs; otherwise as the one that signs now
    #[arg(long, value_enum)]
    algorithm: Option<Algo>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
}

/// What was typed after `keys trust`.
#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// The public key of an Ed25519 key: PEM or base64
    file: PathBuf,
    /// For people
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
}

/// What was typed after `keys revoke`.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The key, or the first letters of its id
    id: String,
    /// Why: for the audit log and for whoever wonders
    #[arg(long, value_name = "WHY", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    because: String,
}

/// What was typed after `keys export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The key, or the first letters of its id
    id: String,
}

impl Algo {
    const fn of_api(self) -> Algorithm {
        match self {
            Self::Ed25519 => Algorithm::Ed25519,
            Self::HmacSha256 => Algorithm::HmacSha256,
        }
    }
}

/// Runs a command below `keys`.
pub(crate) fn run(typed: &Typed, daemon: &mut Daemon, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    match typed {
        Typed::List => list(daemon, screen),
        Typed::Generate(Generate { algorithm, label }) => {
            let request = generate(Some(*algorithm), label.as_deref());
            let change = daemon.call(async |client| client.key_generate(request).await)?;
            changed(screen, &change)
        }
        Typed::Rotate(Rotate { algorithm, label }) => {
            let request = generate(*algorithm, label.as_deref());
            let change = daemon.call(async |client| client.key_rotate(request).await)?;
            changed(screen, &change)
        }
        Typed::Trust(Trust { file, label }) => {
            let public_key = SpecText::read(file)?.text;
            let label = label.clone().unwrap_or_default();
            let request = KeyTrustRequest { public_key, label };
            let change = daemon.call(async |client| client.key_trust(request).await)?;
            changed(screen, &change)
        }
        Typed::Revoke(Revoke { id, because }) => {
            let request = KeyRevokeRequest { id: id.clone(), because: because.clone() };
            let change = daemon.call(async |client| client.key_revoke(request).await)?;
            changed(screen, &change)
        }
        Typed::Export(Export { id }) => export(id, daemon, screen),
    }
}

fn generate(algorithm: Option<Algo>, label: Option<&str>) -> KeyGenerateRequest {
    KeyGenerateRequest {
        algorithm: algorithm.map(|algorithm| algorithm.of_api().name().to_owned()).unwrap_or_default(),
        label: label.unwrap_or_default().to_owned(),
    }
}

fn list(daemon: &mut Daemon, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let keys = daemon.call(async |client| client.keys().await)?;
    match screen.format() {
        Format::Table => show(screen, &keys)?,
        Format::Json | Format::Ndjson => screen.document(&keys)?,
    }
    Ok(Outcome::of(keys.problems.is_empty()))
}

fn show(screen: &mut Screen<'_>, list: &KeyList) -> io::Result<()> {
    if list.keys.is_empty() {
        screen.line("no keys; make one with: agentctl keys generate")?;
    } else {
        let mut table = screen.new_table(&["key", "algorithm", "state", "proofs", "added", "by", "label"]);
        for view in &list.keys {
            let (state, tone) = state(view);
            table.add_row([
                cell(&view.key.id.0, Tone::Strong),
                cell(view.key.algorithm.name(), Tone::Plain),
                cell(state, tone),
                cell(view.proofs.to_string(), Tone::Plain),
                cell(moment::of_sec(view.key.added_sec), Tone::Plain),
                cell(&view.key.added_by, Tone::Plain),
                cell(&view.key.label, Tone::Dim),
            ]);
        }
        screen.table(&table)?;
    }
    for problem in &list.problems {
        screen.line(screen.paint(Tone::Bad, &printable(problem)))?;
    }
    Ok(())
}

fn state(view: &KeyView) -> (String, Tone) {
    match (view.key.status, view.active, view.has_secret) {
        (Status::Revoked, ..) => {
            let when = view.key.revoked_sec.map(moment::of_sec).unwrap_or_default();
            (format!("revoked {when}: {}", view.key.because), Tone::Bad)
        }
        (Status::Trusted, true, true) => ("signs".to_owned(), Tone::Good),
        // It should sign, and cannot: nothing is promoted until it is rotated.
        (Status::Trusted, true, false) => ("should sign, and its secret is not here".to_owned(), Tone::Bad),
        (Status::Trusted, false, true) => ("trusted".to_owned(), Tone::Plain),
        (Status::Trusted, false, false) => ("trusted, from elsewhere".to_owned(), Tone::Plain),
    }
}

fn changed(screen: &mut Screen<'_>, change: &KeyChange) -> Result<Outcome, Failure> {
    match screen.format() {
        Format::Table => {
            let (state, tone) = state(&change.key);
            let state = screen.paint(tone, &printable(&state));
            screen.line(format!("{}: {state}", printable(&change.key.key.id.0)))?;
            if change.resigned > 0 {
                screen.line(format!("{} signed anew", describe::count(change.resigned, "proof")))?;
            }
            for agent in &change.stopped {
                let stopped = screen.paint(Tone::Bad, "stopped");
                screen.line(format!("{agent}: {stopped}, its proof does not hold any more"))?;
            }
        }
        Format::Json | Format::Ndjson => screen.document(change)?,
    }
    Ok(Outcome::Done)
}

fn export(id: &str, daemon: &mut Daemon, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let keys = daemon.call(async |client| client.keys().await)?.keys;
    screen.text(&pem(id, &keys)?)?;
    Ok(Outcome::Done)
}

/// The PEM of the one key that begins so.
fn pem(id: &str, keys: &[KeyView]) -> Result<String, Failure> {
    let found: Vec<_> = keys.iter().filter(|view| view.key.id.0.starts_with(id)).collect();
    let id = printable(id);
    match found.as_slice() {
        [] => Err(Failure::Failed(format!("there is no key `{id}`; see agentctl keys list"))),
        [view] => view.public_pem.clone().ok_or_else(|| {
            let algorithm = view.key.algorithm.name();
            Failure::Failed(format!(
                "{} has no public key: {algorithm} is one secret",
                printable(&view.key.id.0)
            ))
        }),
        _ => Err(Failure::Usage(format!("{} keys begin with `{id}`; write more letters", found.len()))),
    }
}

#[cfg(test)]
mod tests {
    use agentguard_governance::keys::{KeyId, TrustedKey};

    use super::*;
    use crate::samples::NOON_NS;

    fn key(id: &str, algorithm: Algorithm, active: bool) -> KeyView {
        KeyView {
            key: TrustedKey {
                id: KeyId(id.to_owned()),
                algorithm,
                label: "production".to_owned(),
                public_key: None,
                status: Status::Trusted,
                added_sec: NOON_NS / 1_000_000_000,
                added_by: "uid 0 (root)".to_owned(),
                revoked_sec: None,
                because: String::new(),
            },
            active,
            has_secret: true,
            proofs: 3,
            public_pem: (algorithm == Algorithm::Ed25519).then(|| "-----BEGIN PUBLIC KEY-----\n".to_owned()),
        }
    }

    fn keys() -> Vec<KeyView> {
        let mut revoked = key("ed25519-00ff00ff00ff", Algorithm::Ed25519, false);
        revoked.key.status = Status::Revoked;
        revoked.key.revoked_sec = Some(NOON_NS / 1_000_000_000);
        revoked.key.because = "laptop lost".to_owned();
        let mut elsewhere = key("ed25519-aaaaaaaaaaaa", Algorithm::Ed25519, false);
        elsewhere.has_secret = false;
        vec![
            key("ed25519-0123456789ab", Algorithm::Ed25519, true),
            revoked,
            elsewhere,
            key("hmac-ba9876543210", Algorithm::HmacSha256, false),
        ]
    }

    #[test]
    fn keys_are_a_table_and_what_is_wrong_with_them_a_line() {
        let problems = vec!["/var/lib/agentguard/keys/trust.json: readable by others".to_owned()];
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 150), &KeyList { keys: keys(), problems }).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn a_change_says_what_became_of_proofs_and_agents() {
        let stopped = vec![agentguard_core::ids::AgentName("coder".to_owned())];
        let change = KeyChange { key: keys().remove(1), resigned: 2, stopped };
        let mut out = Vec::new();
        assert_eq!(
            changed(&mut Screen::plain(&mut out, Format::Table, 100), &change).unwrap(),
            Outcome::Done
        );
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn only_a_public_key_that_is_one_is_exported() {
        let said = |id| pem(id, &keys()).map_err(|failure| failure.to_string());
        assert_eq!(said("ed25519-01").unwrap(), "-----BEGIN PUBLIC KEY-----\n");
        assert_eq!(said("ed25519").unwrap_err(), "3 keys begin with `ed25519`; write more letters");
        assert_eq!(
            said("hmac").unwrap_err(),
            "hmac-ba9876543210 has no public key: hmac-sha256 is one secret"
        );
        assert_eq!(said("x").unwrap_err(), "there is no key `x`; see agentctl keys list");
    }
}
