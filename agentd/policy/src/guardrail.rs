//! A guardrail as a pack writes it, and the rules that it means.
//!
//! Everything that could make a guardrail weaker than its author thinks is an error here: an unknown field, an
//! operation that does not fit its object, a pattern that never matches.

use agentguard_core::address::parse_ports;
use agentguard_core::capability;
use agentguard_core::operation::{AddressOp, ClassOp, PathOp};
use agentguard_core::pattern::Pattern;
use agentguard_core::rule::{Network, Ports, Protocol, Rule, Scope, Source};
use agentguard_core::verdict::{Layer, Severity, Verdict};
use serde::Deserialize;
use serde_json::Value;

/// Patterns, networks, classes and capabilities of one guardrail together.
const MAX_OBJECTS: usize = 1024;

/// A member of `guardrails`. Exactly one kind of object is given, as one or as a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    verdict: Verdict,
    severity: Severity,
    reason: String,
    #[serde(default)]
    ops: Vec<String>,
    path: Option<String>,
    paths: Option<Vec<String>>,
    address: Option<String>,
    addresses: Option<Vec<String>>,
    ports: Option<Vec<WrittenPort>>,
    protocol: Option<Protocol>,
    class: Option<String>,
    classes: Option<Vec<String>>,
    capability: Option<String>,
    capabilities: Option<Vec<String>>,
    command: Option<String>,
    commands: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum WrittenPort {
    One(u16),
    Range(String),
}

/// One guardrail, read: its id within the pack and what it speaks about.
#[derive(Debug)]
pub(crate) struct Guardrail {
    pub(crate) id: String,
    verdict: Verdict,
    severity: Severity,
    reason: String,
    scopes: Vec<Scope>,
}

impl Guardrail {
    /// Reads one member of a pack's `guardrails`.
    pub(crate) fn read(value: Value) -> Result<Self, String> {
        let written: Written = serde_json::from_value(value).map_err(|error| error.to_string())?;
        if !is_id(&written.id) {
            return Err("an id is made of a-z, 0-9 and _".to_owned());
        }
        if written.reason.trim().is_empty() || written.reason.contains('\n') {
            return Err("the reason must be one line of text: it is what the user reads".to_owned());
        }
        let scopes = written.scopes()?;
        if written.verdict.waits() && !scopes.iter().all(can_hold) {
            return Err("only operations on paths and addresses and commands can be held, and of those not \
                        map_exec; write allow, audit or deny"
                .to_owned());
        }
        if scopes.is_empty() || scopes.len() > MAX_OBJECTS {
            return Err(format!("speaks about {} objects; write 1 to {MAX_OBJECTS}", scopes.len()));
        }
        let Written { id, verdict, severity, reason, .. } = written;
        Ok(Self { id, verdict, severity, reason, scopes })
    }

    /// One rule per object, all under the id `<pack>.<id>`.
    pub(crate) fn rules(self, pack: &str, source: Source) -> impl Iterator<Item = Rule> + use<> {
        let Self { id, verdict, severity, reason, scopes } = self;
        let id = format!("{pack}.{id}");
        scopes.into_iter().map(move |scope| Rule {
            id: id.clone(),
            layer: Layer::Guardrail,
            verdict,
            scope,
            severity: Some(severity),
            reason: reason.clone(),
            source: source.clone(),
        })
    }
}

impl Written {
    fn scopes(&self) -> Result<Vec<Scope>, String> {
        let paths = list("path", self.path.as_ref(), self.paths.as_ref())?;
        let addresses = list("address", self.address.as_ref(), self.addresses.as_ref())?;
        let classes = list("class", self.class.as_ref(), self.classes.as_ref())?;
        let capabilities = list("capability", self.capability.as_ref(), self.capabilities.as_ref())?;
        let commands = list("command", self.command.as_ref(), self.commands.as_ref())?;
        if addresses.is_none() && (self.ports.is_some() || self.protocol.is_some()) {
            return Err("`ports` and `protocol` go with an address".to_owned());
        }
        match (paths, addresses, classes, capabilities, commands) {
            (Some(paths), None, None, None, None) => self.path_scopes(&paths),
            (None, Some(addresses), None, None, None) => self.address_scopes(&addresses),
            (None, None, Some(classes), None, None) => self.without_ops(&classes, class),
            (None, None, None, Some(names), None) => self.without_ops(&names, capability_scope),
            (None, None, None, None, Some(commands)) => self.without_ops(&commands, command),
            _ => Err("give exactly one of path, address, class, capability or command".to_owned()),
        }
    }

    fn path_scopes(&self, paths: &[&String]) -> Result<Vec<Scope>, String> {
        let ops = self.ops.iter().map(|op| path_op(op)).collect::<Result<Vec<_>, _>>()?;
        if ops.is_empty() {
            return Err("`ops` is missing; say which operations on the path".to_owned());
        }
        let scope = |path: &&String| {
            check_pattern(path)?;
            Ok(Scope::Path { ops: ops.clone(), pattern: (*path).clone(), sha256: None })
        };
        paths.iter().map(scope).collect()
    }

    fn address_scopes(&self, addresses: &[&String]) -> Result<Vec<Scope>, String> {
        let ops = self.ops.iter().map(|op| address_op(op)).collect::<Result<Vec<_>, _>>()?;
        if ops.is_empty() {
            return Err("`ops` is missing; write connect, listen or both".to_owned());
        }
        let ports = self.read_ports()?;
        let mut scopes = Vec::new();
        for address in addresses {
            let network: Network = address.parse().map_err(|error| format!("{error}"))?;
            scopes.extend(ops.iter().map(|op| Scope::Address { op: *op, network, ports: ports.clone() }));
        }
        Ok(scopes)
    }

    fn read_ports(&self) -> Result<Ports, String> {
        let range = |port: &WrittenPort| match port {
            WrittenPort::One(port) => Ok((*port, *port)),
            WrittenPort::Range(range) => parse_ports(range).map_err(|error| error.to_string()),
        };
        let protocol = self.protocol.unwrap_or(Protocol::Any);
        match &self.ports {
            Some(ports) if ports.is_empty() => {
                Err("`ports` is empty, which would mean every port; leave it out or name ports".to_owned())
            }
            Some(ports) => Ok(Ports { protocol, ranges: ports.iter().map(range).collect::<Result<_, _>>()? }),
            None => Ok(Ports { protocol, ranges: Vec::new() }),
        }
    }

    fn without_ops(
        &self,
        names: &[&String],
        scope: impl Fn(&str) -> Result<Scope, String>,
    ) -> Result<Vec<Scope>, String> {
        if !self.ops.is_empty() {
            return Err("`ops` goes with a path or an address only".to_owned());
        }
        names.iter().map(|name| scope(name)).collect()
    }
}

fn list<'w>(
    name: &str,
    one: Option<&'w String>,
    many: Option<&'w Vec<String>>,
) -> Result<Option<Vec<&'w String>>, String> {
    match (one, many) {
        (Some(_), Some(_)) => Err(format!("`{name}` is given both as one and as a list")),
        (Some(one), None) => Ok(Some(vec![one])),
        (None, Some(many)) => Ok(Some(many.iter().collect())),
        (None, None) => Ok(None),
    }
}

/// The kernel holds a system call only where it has done nothing yet.
fn can_hold(scope: &Scope) -> bool {
    match scope {
        Scope::Path { ops, .. } => !ops.contains(&PathOp::MapExec),
        Scope::Address { .. } | Scope::Name { .. } => true,
        Scope::Class { .. } | Scope::Capability { .. } => false,
    }
}

pub(crate) fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn path_op(name: &str) -> Result<PathOp, String> {
    let on_paths = |op: &PathOp| !matches!(op, PathOp::Resolve | PathOp::Command);
    PathOp::ALL.into_iter().filter(on_paths).find(|op| op.name() == name).ok_or_else(|| {
        let known: Vec<_> = PathOp::ALL.into_iter().filter(on_paths).map(PathOp::name).collect();
        format!("`{name}` is no operation on a path; write {}", known.join(", "))
    })
}

fn address_op(name: &str) -> Result<AddressOp, String> {
    match name {
        "connect" => Ok(AddressOp::Connect),
        "listen" => Ok(AddressOp::Listen),
        _ => Err(format!("`{name}` is no operation on an address; write connect or listen")),
    }
}

fn class(name: &str) -> Result<Scope, String> {
    let found = ClassOp::ALL.into_iter().find(|op| op.name() == name);
    found.map(|op| Scope::Class { op }).ok_or_else(|| {
        let known: Vec<_> = ClassOp::ALL.into_iter().map(ClassOp::name).collect();
        format!("`{name}` is no class; write {}", known.join(", "))
    })
}

fn capability_scope(name: &str) -> Result<Scope, String> {
    let number = capability::number(name);
    number
        .map(|number| Scope::Capability { number })
        .ok_or_else(|| format!("`{name}` is no capability; write them as cap_sys_admin"))
}

fn command(glob: &str) -> Result<Scope, String> {
    let pattern = format!("argv:{glob}");
    check_pattern(&pattern)?;
    Ok(Scope::Path { ops: vec![PathOp::Command], pattern, sha256: None })
}

fn check_pattern(pattern: &str) -> Result<(), String> {
    Pattern::parse(pattern).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(fields: Value) -> Result<Vec<Scope>, String> {
        let mut value = json!({"id": "x", "verdict": "deny", "severity": "HIGH", "reason": "because"});
        if let (Value::Object(all), Value::Object(more)) = (&mut value, fields) {
            all.extend(more);
        }
        Guardrail::read(value).map(|guardrail| guardrail.scopes)
    }

    #[test]
    fn a_list_of_paths_is_one_rule_each_under_one_id() {
        let value = json!({"id": "keys", "verdict": "deny", "severity": "CRITICAL", "reason": "keys",
            "ops": ["read", "write"], "paths": ["/a", "/b/**"]});
        let source = Source { file: "p/a/a.rego".into(), line: 3 };
        let rules: Vec<_> = Guardrail::read(value).unwrap().rules("files", source).collect();
        assert_eq!(rules.len(), 2);
        assert!(rules.iter().all(|rule| rule.id == "files.keys" && rule.layer == Layer::Guardrail));
    }

    #[test]
    fn an_address_takes_ports_and_both_operations() {
        let scopes = written(json!({"ops": ["connect", "listen"], "address": "10.0.0.0/8",
            "ports": [22, "6660-6669"], "protocol": "tcp"}))
        .unwrap();
        assert_eq!(scopes.len(), 2);
        let Some(Scope::Address { ports, .. }) = scopes.first() else { panic!("{scopes:?}") };
        assert_eq!(ports.ranges, [(22, 22), (6660, 6669)]);
        assert_eq!(ports.protocol, Protocol::Tcp);
    }

    #[test]
    fn a_command_is_matched_as_a_command_line() {
        let scopes = written(json!({"command": "rm -rf /"})).unwrap();
        assert!(matches!(scopes.as_slice(), [Scope::Path { pattern, .. }] if pattern == "argv:rm -rf /"));
    }

    #[test]
    fn whatever_would_weaken_a_guardrail_is_an_error() {
        let bad = [
            (json!({}), "exactly one of"),
            (json!({"path": "/x"}), "`ops` is missing"),
            (json!({"path": "/x", "paths": ["/y"], "ops": ["read"]}), "both as one and as a list"),
            (json!({"path": "/x", "class": "kernel", "ops": ["read"]}), "exactly one of"),
            (json!({"path": "/x", "ops": ["reed"]}), "`reed` is no operation on a path"),
            (json!({"path": "/x", "ops": ["command"]}), "`command` is no operation on a path"),
            (json!({"path": "x", "ops": ["read"]}), "begin it with"),
            (json!({"paths": [], "ops": ["read"]}), "speaks about 0 objects"),
            (json!({"path": "/x", "ops": ["read"], "ports": [1]}), "go with an address"),
            (json!({"address": "10.0.0.1/8", "ops": ["connect"]}), "bits set after its prefix"),
            (json!({"address": "10.0.0.0/8", "ops": ["read"]}), "no operation on an address"),
            (json!({"address": "10.0.0.0/8", "ops": ["connect"], "ports": []}), "`ports` is empty"),
            (json!({"address": "10.0.0.0/8", "ops": ["connect"], "ports": ["9-8"]}), "ends before it starts"),
            (json!({"address": "10.0.0.0/8", "ops": ["connect"], "ports": [70000]}), "did not match"),
            (json!({"class": "kernal"}), "`kernal` is no class"),
            (json!({"class": "kernel", "ops": ["read"]}), "`ops` goes with"),
            (json!({"capability": "cap_everything"}), "no capability"),
            (json!({"class": "kernel", "pathz": "/x"}), "unknown field `pathz`"),
            (json!({"class": "kernel", "verdict": "forbid"}), "unknown variant `forbid`"),
            (json!({"class": "kernel", "verdict": "hold"}), "can be held"),
            (json!({"path": "/x", "ops": ["read", "map_exec"], "verdict": "hold"}), "not map_exec"),
            (json!({"class": "kernel", "severity": "LOW"}), "unknown variant `LOW`"),
            (json!({"class": "kernel", "reason": " "}), "one line of text"),
            (json!({"class": "kernel", "id": "A b"}), "an id is made of"),
        ];
        for (fields, message) in bad {
            let error = written(fields.clone()).unwrap_err();
            assert!(error.contains(message) && !error.contains('\n'), "{fields}: {error}");
        }
    }
}
