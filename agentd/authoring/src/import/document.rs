//! A spec as JSON, as policy sees it and as `agentctl` prints it: ports as pairs, no comments.

use agentguard_core::rule::Protocol;
use agentguard_core::spec::{Executable, Memory, Mode, Peer, Role};
use agentguard_core::verdict::Verdict;
use serde::Deserialize;

use crate::draft::{Note, NoteKind};
use crate::{
    Anatomy, AuthoringError, Containment, Draft, ExecPart, FilesPart, Identity, List, NetworkPart,
    ProcessPart, Source, SpecDraft, UnixPart,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    agent: Agent,
    #[serde(default)]
    anatomy: AnatomyDocument,
    #[serde(default)]
    economics: Economics,
    #[serde(default)]
    containment: ContainmentDocument,
    #[serde(default)]
    variables: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    files: Files,
    #[serde(default)]
    exec: Exec,
    #[serde(default)]
    network: Network,
    #[serde(default)]
    unix: Unix,
    #[serde(default)]
    process: Process,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Agent {
    #[serde(rename = "name")]
    _name: String,
    #[serde(default)]
    description: String,
    role: Role,
    tier: u8,
    mode: Mode,
    version: Option<String>,
    owner: Option<String>,
    expires: Option<String>,
    #[serde(default)]
    capabilities: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct AnatomyDocument {
    reasoning: Option<Reasoning>,
    inputs: Vec<String>,
    actions: Vec<String>,
    memory: Option<Memory>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reasoning {
    model: String,
    temperature: Option<f64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Economics {
    monthly_budget_usd: Option<f64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ContainmentDocument {
    external_calls: bool,
    persistent_writes: bool,
    loopback: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Files {
    default: Option<Verdict>,
    read: Vec<String>,
    write: Vec<String>,
    create: Vec<String>,
    delete: Vec<String>,
    link: Vec<String>,
    audit: Vec<String>,
    hold: Vec<String>,
    deny: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Exec {
    default: Option<Verdict>,
    allow: Vec<Program>,
    libraries: Vec<String>,
    hold: Vec<String>,
    deny: Vec<String>,
    commands_hold: Vec<String>,
    commands_deny: Vec<String>,
    anonymous: Option<Verdict>,
    memfd: Option<Verdict>,
    privileged: Option<Verdict>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Program {
    Path(String),
    Pinned { path: String, sha256: Option<String> },
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Network {
    default: Option<Verdict>,
    connect: Vec<PeerDocument>,
    listen: Vec<PeerDocument>,
    hold: Vec<PeerDocument>,
    deny: Vec<PeerDocument>,
    resolvers: Vec<String>,
    sockets: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerDocument {
    #[serde(alias = "on")]
    to: String,
    #[serde(default)]
    ports: Vec<(u16, u16)>,
    #[serde(default = "any")]
    protocol: Protocol,
}

const fn any() -> Protocol {
    Protocol::Any
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Unix {
    default: Option<Verdict>,
    connect: Vec<String>,
    bind: Vec<String>,
    hold: Vec<String>,
    deny: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Process {
    default: Option<Verdict>,
    capabilities: Vec<String>,
    allow: Vec<String>,
}

pub(super) fn draft(source: Source<'_>, identity: &Identity) -> Result<Draft, AuthoringError> {
    let document: Document =
        serde_json::from_str(source.text).map_err(|error| AuthoringError::json(source.file, &error))?;
    let mut notes = Vec::new();
    let changed = [
        (document.agent.mode != Mode::Enforce, "agent.mode = \"enforce\""),
        (document.containment.external_calls, "containment.external_calls = false"),
        (document.containment.persistent_writes, "containment.persistent_writes = false"),
    ];
    for (_, about) in changed.into_iter().filter(|(changed, _)| *changed) {
        notes.push(Note::new(
            NoteKind::Assumed,
            about,
            "a new agent begins enforced and contained in the sandbox",
        ));
    }
    let Document { agent, anatomy, economics, containment, variables, files, exec, network, unix, process } =
        document;
    let mut spec = SpecDraft::new(agent.role);
    spec.head = vec![format!("Made of {}.", source.file)];
    spec.description = Some(agent.description).filter(|text| !text.is_empty());
    spec.tier = agent.tier;
    spec.version = agent.version.unwrap_or(spec.version);
    spec.owner = agent.owner;
    spec.expires = agent.expires;
    spec.capabilities = agent.capabilities;
    let (model, temperature) =
        anatomy.reasoning.map_or((None, None), |reasoning| (Some(reasoning.model), reasoning.temperature));
    spec.anatomy = Anatomy {
        inputs: anatomy.inputs,
        actions: anatomy.actions,
        memory: anatomy.memory,
        model,
        temperature,
    };
    spec.monthly_budget_usd = economics.monthly_budget_usd;
    spec.containment = Containment { loopback: containment.loopback };
    for (name, default) in &variables {
        spec.variable(name, default, if default.is_empty() { "must be given" } else { "default" });
    }
    spec.files = files.part();
    spec.exec = exec.part();
    spec.network = network.part();
    spec.unix = UnixPart {
        default: unix.default,
        connect: list(unix.connect),
        bind: list(unix.bind),
        hold: list(unix.hold),
        deny: list(unix.deny),
    };
    spec.process = ProcessPart {
        default: process.default,
        capabilities: list(process.capabilities),
        allow: list(process.allow),
    };
    spec.finish(identity, notes)
}

impl Files {
    fn part(self) -> FilesPart {
        FilesPart {
            default: self.default,
            read: list(self.read),
            write: list(self.write),
            create: list(self.create),
            delete: list(self.delete),
            link: list(self.link),
            audit: list(self.audit),
            hold: list(self.hold),
            deny: list(self.deny),
        }
    }
}

impl Exec {
    fn part(self) -> ExecPart {
        let programs = self.allow.into_iter().map(|program| match program {
            Program::Path(path) => Executable { path, sha256: None },
            Program::Pinned { path, sha256 } => Executable { path, sha256 },
        });
        // Left out, the default of the section holds, which may be another than deny.
        let class = |verdict: Option<Verdict>| verdict.or(self.default.filter(|verdict| !verdict.waits()));
        ExecPart {
            allow: list(programs),
            anonymous: class(self.anonymous),
            memfd: class(self.memfd),
            privileged: class(self.privileged),
            default: self.default,
            libraries: list(self.libraries),
            hold: list(self.hold),
            deny: list(self.deny),
            commands_hold: list(self.commands_hold),
            commands_deny: list(self.commands_deny),
        }
    }
}

impl Network {
    fn part(self) -> NetworkPart {
        let peers = |peers: Vec<PeerDocument>| {
            list(peers.into_iter().map(|peer| Peer {
                to: peer.to,
                ports: peer.ports,
                protocol: peer.protocol,
            }))
        };
        NetworkPart {
            default: self.default,
            connect: peers(self.connect),
            listen: peers(self.listen),
            hold: peers(self.hold),
            deny: peers(self.deny),
            resolvers: list(self.resolvers),
            sockets: list(
                self.sockets.unwrap_or_else(|| crate::render::USUAL_SOCKETS.map(str::to_owned).to_vec()),
            ),
        }
    }
}

fn list<T: PartialEq>(values: impl IntoIterator<Item = T>) -> List<T> {
    let mut list = List::default();
    values.into_iter().for_each(|value| list.add(value));
    list
}
