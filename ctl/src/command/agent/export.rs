//! `agent export`: a spec as it is written, as it is hashed, or as a bundle that proves what was promoted by whom.

use std::path::{Path, PathBuf};

use agentguard_api::report::AgentDetail;
use agentguard_core::spec::Spec;
use agentguard_governance::keys::KeyId;
use agentguard_governance::proof::Envelope;
use agentguard_governance::register::Step;
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::screen::{Screen, printable};

/// What was typed after `agent export`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The agent
    name: String,
    /// What to print
    #[arg(long, value_enum, value_name = "FORM", default_value = "toml")]
    format: Form,
    /// Write to a file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// The spec as it is written
    Toml,
    /// The spec in its canonical form: what is hashed
    Json,
    /// Spec, canonical form, hash, proof, public key and history: all that is needed to verify them elsewhere
    Bundle,
}

/// All that is needed to verify an agent without the host that it is registered on.
#[derive(Debug, Serialize)]
struct Bundle {
    agent: String,
    state: &'static str,
    revision: u32,
    /// As it is written.
    spec_toml: String,
    /// What the hash is over.
    spec_canonical: String,
    spec_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<Envelope>,
    /// Of the key that signed the proof; absent of keys that only this host can verify with.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key_pem: Option<String>,
    history: Vec<Step>,
}

pub(super) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let detail = super::show::ask(&arguments.name, daemon)?;
    let text = match arguments.format {
        Form::Toml => detail.spec,
        Form::Json => format!("{}\n", parse(&detail)?.canonical()),
        Form::Bundle => {
            let key = detail.proof.as_ref().and_then(|proof| proof.envelope.key()).cloned();
            let public_key_pem = key.map(|key| public_key(&key, daemon)).transpose()?.flatten();
            let bundle = Bundle::of(detail, public_key_pem, super::history::ask(&arguments.name, daemon)?)?;
            let json = serde_json::to_string_pretty(&bundle);
            format!("{}\n", json.map_err(|error| Failure::Failed(error.to_string()))?)
        }
    };
    match &arguments.out {
        Some(file) => std::fs::write(file, text).map_err(|error| Failure::on(file, &error))?,
        None => screen.text(&text)?,
    }
    Ok(Outcome::Done)
}

fn parse(detail: &AgentDetail) -> Result<Spec, Failure> {
    let name = &detail.agent.name;
    Spec::parse(&detail.spec, Path::new("spec.toml")).map_err(|error| {
        Failure::Failed(format!("the spec of {} has no canonical form: {error}", printable(&name.0)))
    })
}

fn public_key(id: &KeyId, daemon: &mut Daemon) -> Result<Option<String>, Failure> {
    let keys = daemon.call(async |client| client.keys().await)?.keys;
    Ok(keys.into_iter().find(|key| key.key.id == *id).and_then(|key| key.public_pem))
}

impl Bundle {
    fn of(detail: AgentDetail, public_key_pem: Option<String>, history: Vec<Step>) -> Result<Self, Failure> {
        let spec = parse(&detail)?;
        let AgentDetail { agent, spec: spec_toml, proof, .. } = detail;
        Ok(Self {
            agent: agent.name.0,
            state: agent.standing.state.name(),
            revision: agent.revision,
            spec_toml,
            spec_canonical: spec.canonical(),
            spec_sha256: spec.sha256(),
            proof: proof.map(|proof| proof.envelope),
            public_key_pem,
            history,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::agent::samples;

    const SPEC: &str =
        "[agent]\nname = \"coder\"\ndescription = \"x\"\nrole = \"ideation\"\ntier = 2\nmode = \"enforce\"\n";

    #[test]
    fn a_bundle_has_what_its_hash_is_over() {
        let detail = AgentDetail { spec: SPEC.to_owned(), ..samples::detail("coder") };
        let bundle = Bundle::of(detail, Some("PEM".to_owned()), Vec::new()).unwrap();
        let spec = Spec::parse(&bundle.spec_toml, Path::new("s.toml")).unwrap();
        assert_eq!((bundle.spec_canonical, bundle.spec_sha256), (spec.canonical(), spec.sha256()));
        assert!(bundle.proof.is_some() && bundle.public_key_pem.is_some());
    }

    #[test]
    fn a_spec_that_cannot_be_read_is_only_exported_as_it_is_written() {
        let failure = Bundle::of(samples::detail("coder"), None, Vec::new()).unwrap_err().to_string();
        assert!(failure.starts_with("the spec of coder has no canonical form: "), "{failure}");
    }
}
