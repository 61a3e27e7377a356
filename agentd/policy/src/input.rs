//! What packs see: facts about the agent, the host and what is asked about: one request, or one promotion.
//!
//! The field names here are the policy input reference: a pack that names a field that is not here does not load.

use std::collections::BTreeMap;
use std::net::IpAddr;

use agentguard_core::held::Asker;
use agentguard_core::operation::Operation;
use agentguard_core::record::{Object, Record};
use agentguard_core::spec::Spec;
use serde::{Deserialize, Serialize};

/// `input` of guardrails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Who is to be governed.
    pub agent: AgentFacts,
    /// Where.
    pub host: HostFacts,
}

/// `input.agent`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentFacts {
    /// Name of the agent.
    pub name: String,
    /// `compliance`, `analysis` or `ideation`.
    pub role: String,
    /// 1 to 4; the higher, the less policy may be relaxed for it.
    pub tier: u8,
    /// `observe` or `enforce`.
    pub mode: String,
    /// The spec as JSON, with its variables replaced (`ResolvedSpec::spec`); ports are `[low, high]`.
    pub spec: serde_json::Value,
    /// User that the agent runs as.
    pub uid: u32,
    /// Home directory of that user.
    pub home: String,
    /// The values in force of the spec's variables, with `home`, `user` and `uid`, not escaped.
    pub variables: BTreeMap<String, String>,
    /// Where it stands in governance: [`UNREGISTERED`], or the state of a registered agent. Inputs that were stored
    /// before there was governance have none.
    #[serde(default = "unregistered")]
    pub state: String,
}

impl AgentFacts {
    /// An agent of this spec, with its variables replaced as far as they are known.
    ///
    /// # Errors
    /// When the spec can not be written as JSON.
    pub fn of(
        spec: &Spec,
        uid: u32,
        home: &str,
        variables: &BTreeMap<String, String>,
        state: &str,
    ) -> serde_json::Result<Self> {
        Ok(Self {
            name: spec.agent.name.0.clone(),
            role: spec.agent.role.name().to_owned(),
            tier: spec.agent.tier,
            mode: spec.agent.mode.name().to_owned(),
            spec: serde_json::to_value(spec)?,
            uid,
            home: home.to_owned(),
            variables: variables.clone(),
            state: state.to_owned(),
        })
    }
}

/// `input.agent.state` of an agent that is run without being registered.
pub const UNREGISTERED: &str = "UNREGISTERED";

fn unregistered() -> String {
    UNREGISTERED.to_owned()
}

/// `input.host`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Node name.
    pub hostname: String,
    /// Kernel release.
    pub kernel: String,
    /// `lsm`, `fmod-ret` or `tracing`.
    pub backend: String,
    /// Sockets of container runtimes that are there.
    pub runtime_sockets: Vec<String>,
    /// Resolvers of the host.
    pub nameservers: Vec<IpAddr>,
    /// Network interfaces.
    pub interfaces: Vec<Interface>,
}

/// One network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// `eth0`.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// `input.request`: one recorded request. Fields that a request does not have are undefined in Rego.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RequestFacts {
    /// `open`, `rename`, `connect`, `exec`, …
    pub call: String,
    /// As `policy explain` names it: `read`, `connect_address`, `command`, …; empty for byte counts.
    pub operation: String,
    /// Path, `address:port`, command line or arguments, as one text.
    pub object: String,
    /// Path of the file or executable.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<String>,
    /// New path of a rename or link.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub other: Option<String>,
    /// Arguments of an exec.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub argv: Option<Vec<String>>,
    /// Whether the arguments were cut, after 4 KiB.
    #[serde(default)]
    pub truncated: bool,
    /// Working directory of an exec.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cwd: Option<String>,
    /// Peer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub address: Option<IpAddr>,
    /// Port of the peer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub port: Option<u16>,
    /// `tcp`, `udp` or a number.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub protocol: Option<String>,
    /// Name that the agent resolved to the peer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// Read from a file.
    pub read_bytes: u64,
    /// Written to a file.
    pub written_bytes: u64,
    /// Sent to a peer.
    pub sent_bytes: u64,
    /// Received from a peer.
    pub received_bytes: u64,
    /// Connections that this agent opened in the last minute, this one included. Not in a record: agentd counts.
    pub connections: u64,
    /// Wall clock, nanoseconds since 1970.
    pub time_ns: u64,
}

/// `input.held`: what is known besides about a request that waits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HeldFacts {
    /// Id of the rule that says hold or evaluate; empty for a default.
    pub rule: String,
    /// `sha256`, `process` and `lineage`.
    #[serde(flatten)]
    pub asker: Asker,
    /// The agent's newest records, newest first.
    pub recent: Vec<Recent>,
}

/// `input.promotion`: what is asked about an agent's place in governance, and by whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromotionFacts {
    /// What brought the question up.
    pub action: PromotionAction,
    /// Who asks.
    pub actor: Actor,
    /// Where the agent is to run; empty if that was not asked.
    pub environment: String,
    /// The agent's tier, or the one that was asked about.
    pub tier: u8,
    /// Most that the agent may spend in a month, if that was asked.
    pub budget_limit_usd: Option<f64>,
    /// Spent this month.
    pub spent_usd: f64,
    /// Wall clock, nanoseconds since 1970.
    pub time_ns: u64,
}

/// `input.promotion.action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromotionAction {
    /// Somebody wants the agent out of its sandbox.
    Promote,
    /// The agent is out of it; policy, spec or spending changed.
    Revalidate,
    /// Somebody wants to know what a promotion would be refused for.
    Check,
}

/// `input.promotion.actor`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Actor {
    /// User name; empty if agentd itself asks.
    pub name: String,
    /// `agent_admin`, `policy_admin`; none for everybody else.
    pub roles: Vec<String>,
}

/// Facts about held requests that a policy reads. To find one out takes longer than most policies need to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WantedFacts {
    /// `input.held.sha256`.
    pub sha256: bool,
    /// `input.held.process`, but for its `sha256`.
    pub process: bool,
    /// `input.held.process.sha256`.
    pub process_sha256: bool,
    /// `input.held.lineage`.
    pub lineage: bool,
    /// `input.held.recent`.
    pub recent: bool,
}

impl WantedFacts {
    /// What people are shown.
    pub const FOR_PEOPLE: Self =
        Self { sha256: true, process: true, process_sha256: true, lineage: true, recent: false };

    /// By the names that packs refer to. Who takes `input` or `input.held` as a whole may read anything.
    pub(crate) fn of<'r>(references: impl Iterator<Item = &'r str> + Clone) -> Self {
        let whole = references.clone().any(|name| matches!(name, "input" | "input.held"));
        let reads = |path: &str| {
            let inside = |name: &str| {
                name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            whole || references.clone().any(inside)
        };
        Self {
            sha256: reads("input.held.sha256"),
            process: reads("input.held.process"),
            process_sha256: whole
                || references.clone().any(|name| name == "input.held.process")
                || reads("input.held.process.sha256"),
            lineage: reads("input.held.lineage"),
            recent: reads("input.held.recent"),
        }
    }
}

/// One member of `input.held.recent`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Recent {
    /// `open`, `connect`, `exec`, …
    pub call: String,
    /// As rules see it; empty for byte counts.
    pub operation: String,
    /// Path, address or name, as one text.
    pub object: String,
    /// `allow`, `audit`, `hold` or `deny`.
    pub verdict: String,
    /// Wall clock, nanoseconds since 1970.
    pub time_ns: u64,
}

impl From<&Record> for RequestFacts {
    fn from(record: &Record) -> Self {
        let operation = match &record.object {
            Object::Exec { .. } => "command",
            _ => record.operation.map_or("", |operation: Operation| operation.name()),
        };
        let facts = Self {
            call: record.call.clone(),
            operation: operation.to_owned(),
            time_ns: record.time_ns,
            ..Self::default()
        };
        facts.with_object(&record.object)
    }
}

impl RequestFacts {
    fn with_object(mut self, object: &Object) -> Self {
        match object {
            Object::File { path, other, .. } => {
                self.object.clone_from(path);
                self.path = Some(path.clone());
                self.other.clone_from(other);
            }
            Object::FileIo { path, read_bytes, written_bytes } => {
                self.object.clone_from(path);
                self.path = Some(path.clone());
                self.read_bytes = *read_bytes;
                self.written_bytes = *written_bytes;
            }
            Object::Address { address, port, protocol, name, size } => {
                self.peer(*address, *port, protocol, name.as_ref());
                self.sent_bytes = *size;
            }
            Object::PeerIo { address, port, protocol, name, sent_bytes, received_bytes } => {
                self.peer(*address, *port, protocol, name.as_ref());
                self.sent_bytes = *sent_bytes;
                self.received_bytes = *received_bytes;
            }
            Object::Resolved { name, address, .. } => {
                self.object.clone_from(name);
                self.name = Some(name.clone());
                self.address = Some(*address);
            }
            Object::Exec { path, cwd, argv, truncated, .. } => {
                self.truncated = *truncated;
                self.object = argv.join(" ");
                self.path = Some(path.clone());
                self.cwd = Some(cwd.clone());
                self.argv = Some(argv.clone());
            }
            Object::Class { detail } | Object::Credentials { detail } => self.object.clone_from(detail),
            Object::Fork { child_pid, .. } => self.object = child_pid.to_string(),
            Object::Exit { code, .. } => self.object = code.to_string(),
        }
        self
    }

    fn peer(&mut self, address: IpAddr, port: u16, protocol: &str, name: Option<&String>) {
        self.object = std::net::SocketAddr::new(address, port).to_string();
        self.address = Some(address);
        self.port = Some(port);
        self.protocol = Some(protocol.to_owned());
        self.name = name.cloned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exec_becomes_a_command_with_its_arguments() {
        let facts = RequestFacts::default().with_object(&Object::Exec {
            path: "/usr/bin/rm".to_owned(),
            cwd: "/".to_owned(),
            argv: vec!["rm".to_owned(), "-rf".to_owned(), "/".to_owned()],
            truncated: false,
            inode: 1,
            device: "8:1".to_owned(),
        });
        assert_eq!(facts.object, "rm -rf /");
        assert_eq!(facts.path.as_deref(), Some("/usr/bin/rm"));
    }

    #[test]
    fn an_input_that_was_stored_without_a_state_is_of_an_unregistered_agent() {
        let stored = serde_json::json!({"name": "coder", "role": "ideation", "tier": 2, "mode": "enforce",
            "spec": {}, "uid": 1000, "home": "/home/ada", "variables": {}});
        assert_eq!(serde_json::from_value::<AgentFacts>(stored).unwrap().state, UNREGISTERED);
    }

    #[test]
    fn only_facts_that_a_policy_reads_are_wanted() {
        let wanted = |names: &[&str]| WantedFacts::of(names.iter().copied());
        assert_eq!(
            wanted(&["input.held.rule", "input.request.argv", "input.agent.tier"]),
            WantedFacts::default()
        );
        assert_eq!(
            wanted(&["input.held.process.cwd", "input.held.recent"]),
            WantedFacts { process: true, recent: true, ..WantedFacts::default() }
        );
        assert!(wanted(&["input.held.process"]).process_sha256);
        assert!(wanted(&["input.held"]).lineage && wanted(&["input"]).sha256);
    }

    #[test]
    fn bytes_exchanged_with_a_peer_keep_their_direction() {
        let facts = RequestFacts::default().with_object(&Object::PeerIo {
            address: "2001:db8::1".parse().unwrap(),
            port: 443,
            protocol: "tcp".to_owned(),
            name: None,
            sent_bytes: 7,
            received_bytes: 9,
        });
        assert_eq!(facts.object, "[2001:db8::1]:443");
        assert_eq!((facts.sent_bytes, facts.received_bytes), (7, 9));
    }

    #[test]
    fn a_field_that_a_request_does_not_have_is_not_in_the_input() {
        let json = serde_json::to_value(RequestFacts::default()).unwrap();
        assert!(json.get("argv").is_none() && json.get("port").is_none());
    }
}
