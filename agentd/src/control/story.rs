//! Tells a decision so that a person understands it: what both layers say, and how it could be allowed.
//!
//! Pure: records and rules in, words out.

use std::sync::Arc;

use agentguard_api::report::{Ancestor, LayerView, Remedy};
use agentguard_core::capability;
use agentguard_core::decide::{Evaluator, Explanation, Request};
use agentguard_core::operation::{AddressOp, ClassOp, Operation, PathOp};
use agentguard_core::pattern::{COMMAND_PREFIX, Pattern, PatternError};
use agentguard_core::record::{Object, Record};
use agentguard_core::rule::{Defaults, Protocol, Rule, Ruleset};
use agentguard_core::verdict::{Layer, Reason, Verdict};

/// The request that a record is about; none for plain events.
pub(super) fn request_of(record: &Record) -> Option<Request> {
    match (record.operation?, &record.object) {
        (Operation::Path(PathOp::Command), Object::Exec { argv, .. }) => {
            let text = format!("{COMMAND_PREFIX}{}", argv.join(" ")).into_bytes();
            Some(Request::Path { op: PathOp::Command, text })
        }
        (Operation::Path(op), Object::File { path, .. } | Object::Exec { path, .. }) => {
            Some(Request::Path { op, text: path.clone().into_bytes() })
        }
        (Operation::Path(op), Object::Resolved { name, .. }) => {
            Some(Request::Path { op, text: format!("dns:{name}").into_bytes() })
        }
        (Operation::Address(op), Object::Address { address, port, protocol, name, .. }) => {
            Some(Request::Address {
                op,
                address: *address,
                port: *port,
                protocol: match protocol.as_str() {
                    "tcp" => Protocol::Tcp,
                    "udp" => Protocol::Udp,
                    _ => Protocol::Any,
                },
                names: name.iter().cloned().collect(),
            })
        }
        (Operation::Class(op), _) => Some(Request::Class(op)),
        (Operation::Capability(number), _) => Some(Request::Capability(number)),
        (Operation::Path(_) | Operation::Address(_), _) => None,
    }
}

/// What rules say to a recorded request. Requests that failed before any rule was asked have no answer in rules.
pub(super) fn decide_again<'r>(evaluator: &'r Evaluator, record: &Record) -> Option<Explanation<'r>> {
    match record.decision.reason {
        Reason::Rule | Reason::Default | Reason::Elsewhere | Reason::ResolvedName | Reason::Answered => {}
        Reason::Unresolved
        | Reason::TooLong
        | Reason::NoMemory
        | Reason::NoRules
        | Reason::Identity
        | Reason::Protected
        | Reason::CannotHold
        | Reason::Changed => return None,
    }
    let seen = evaluator.explain(&request_of(record)?);
    match (record.operation, &record.object) {
        (Some(Operation::Path(op)), Object::File { other: Some(host), .. })
            if record.decision.reason == Reason::Elsewhere =>
        {
            let elsewhere = evaluator.explain_elsewhere(op, host.as_bytes());
            Some(if elsewhere.result.verdict > seen.result.verdict { elsewhere } else { seen })
        }
        _ => Some(seen),
    }
}

/// Rules that are ready to be asked.
pub(super) fn evaluator(ruleset: Ruleset) -> Result<Evaluator, PatternError> {
    Evaluator::new(Arc::new(ruleset))
}

/// Both layers, the guardrails first.
pub(super) fn layers(explanation: &Explanation<'_>, default: Verdict) -> Vec<LayerView> {
    let guardrail = explanation.guardrail.map_or_else(|| silent(Layer::Guardrail, Verdict::Allow), layer);
    let grant = explanation.grant.map_or_else(|| silent(Layer::Default, default), layer);
    vec![guardrail, grant]
}

fn layer(rule: &Rule) -> LayerView {
    LayerView {
        layer: rule.layer,
        verdict: rule.verdict,
        rule: Some(rule.id.clone()),
        reason: Some(rule.reason.clone()),
        severity: rule.severity,
        source: Some(rule.source.clone()),
    }
}

fn silent(layer: Layer, verdict: Verdict) -> LayerView {
    LayerView { layer, verdict, rule: None, reason: None, severity: None, source: None }
}

/// The spec's default for an operation.
pub(super) fn default_of(defaults: &Defaults, operation: Operation) -> Verdict {
    match operation {
        Operation::Path(op) => match op {
            PathOp::Read | PathOp::Write | PathOp::Create | PathOp::Delete | PathOp::Attr | PathOp::Link => {
                defaults.files
            }
            PathOp::Exec | PathOp::MapExec => defaults.exec,
            PathOp::Connect | PathOp::Bind => defaults.unix,
            PathOp::Resolve => defaults.network,
            PathOp::Command => Verdict::Allow,
        },
        Operation::Address(_) => defaults.network,
        Operation::Class(op) => defaults.of_class(op),
        Operation::Capability(_) => defaults.process,
    }
}

/// How a request that both layers answered could be allowed.
pub(super) fn remedy(explanation: &Explanation<'_>, request: &Request) -> Remedy {
    if let Some(guardrail) = explanation.guardrail.filter(|rule| rule.verdict.stops()) {
        return impossible(format!(
            "no spec can lift this guardrail ({}); policy would have to change: {}",
            guardrail.id, guardrail.source
        ));
    }
    if let Some(grant) = explanation.grant.filter(|rule| rule.verdict.stops()) {
        return Remedy {
            possible: true,
            text: format!("the spec denies it itself: remove {} at {}", grant.id, grant.source),
            spec: None,
        };
    }
    match spec_line(request) {
        _ if !explanation.result.verdict.stops() => {
            Remedy { possible: true, text: "it is allowed".to_owned(), spec: None }
        }
        Some(line) => Remedy {
            possible: true,
            text: "add this to the spec, then enroll again".to_owned(),
            spec: Some(line),
        },
        None => impossible("a spec has no grant for this".to_owned()),
    }
}

/// How a request could be allowed that no rule was asked about.
pub(super) fn remedy_of_reason(reason: Reason) -> Remedy {
    match reason {
        Reason::Unresolved => impossible(
            "the kernel could not tell the path of the object (a mount or file that is detached or gone), so it is denied; \
             use the object by its path"
                .to_owned(),
        ),
        Reason::TooLong => impossible("the path is longer than 4,096 bytes, so it is denied; use a shorter path".to_owned()),
        Reason::NoMemory => impossible(
            "a kernel table was full, so it is denied; `agentctl status` shows what is full, releasing agents makes room"
                .to_owned(),
        ),
        Reason::NoRules => impossible("the agent's rules are not in the kernel; start the agent again".to_owned()),
        Reason::Identity => impossible(
            "the executable is not the file whose hash was approved; approve its present sha256 in exec.allow, then enroll again"
                .to_owned(),
        ),
        Reason::Protected => {
            impossible("the target process is agentd, which no governed process may touch".to_owned())
        }
        Reason::CannotHold => impossible(
            "the rule says hold, and this call can not wait (io_uring, a mapping, a part of it is done); do it with a plain call"
                .to_owned(),
        ),
        Reason::Changed => impossible(
            "another thread changed the arguments while they were decided; run the command again".to_owned(),
        ),
        Reason::Rule | Reason::Default | Reason::Elsewhere | Reason::ResolvedName | Reason::Answered => impossible(
            "the rules that decided are not kept any more; ask about the present ones: agentctl policy explain".to_owned(),
        ),
    }
}

fn impossible(text: String) -> Remedy {
    Remedy { possible: false, text, spec: None }
}

/// The grant that a spec would need, with its table.
fn spec_line(request: &Request) -> Option<String> {
    let list = |table: &str, key: &str, value: String| Some(format!("[{table}]\n{key} = [{value}]"));
    match request {
        Request::Path { op, text } => {
            let text = String::from_utf8_lossy(text);
            let (table, key) = match op {
                PathOp::Read => ("files", "read"),
                PathOp::Write | PathOp::Attr => ("files", "write"),
                PathOp::Create => ("files", "create"),
                PathOp::Delete => ("files", "delete"),
                PathOp::Link => ("files", "link"),
                PathOp::Exec => ("exec", "allow"),
                PathOp::MapExec => ("exec", "libraries"),
                PathOp::Connect => ("unix", "connect"),
                PathOp::Bind => ("unix", "bind"),
                PathOp::Resolve => {
                    let name = text.strip_prefix("dns:").unwrap_or(&text).to_owned();
                    return list(
                        "network",
                        "connect",
                        format!("{{ to = {}, ports = [443] }}", quoted(&name)),
                    );
                }
                PathOp::Command => return None,
            };
            list(table, key, quoted(&Pattern::escape(&text)))
        }
        Request::Address { op, address, port, protocol, names } => {
            let peer = names.first().cloned().unwrap_or_else(|| address.to_string());
            let protocol = match protocol {
                Protocol::Any => String::new(),
                protocol => format!(", protocol = \"{protocol}\""),
            };
            let (key, to) = match op {
                AddressOp::Connect => ("connect", format!("to = {}", quoted(&peer))),
                AddressOp::Listen => ("listen", format!("on = {}", quoted(&address.to_string()))),
            };
            list("network", key, format!("{{ {to}, ports = [{port}]{protocol} }}"))
        }
        Request::Class(op) => class_line(*op),
        Request::Capability(number) => list("process", "capabilities", quoted(&capability::name(*number))),
    }
}

fn class_line(op: ClassOp) -> Option<String> {
    let (table, key, word) = match op {
        ClassOp::SocketTcp => ("network", "sockets", "tcp"),
        ClassOp::SocketUdp => ("network", "sockets", "udp"),
        ClassOp::SocketUnix => ("network", "sockets", "unix"),
        ClassOp::SocketNetlinkRoute => ("network", "sockets", "netlink-route"),
        ClassOp::SocketNetlink => ("network", "sockets", "netlink"),
        ClassOp::SocketPing => ("network", "sockets", "ping"),
        ClassOp::SocketRaw => ("network", "sockets", "raw"),
        ClassOp::SocketPacket => ("network", "sockets", "packet"),
        ClassOp::SocketOther => ("network", "sockets", "other"),
        ClassOp::ExecAnonymous => return Some("[exec]\nanonymous = \"allow\"".to_owned()),
        ClassOp::ExecMemfd => return Some("[exec]\nmemfd = \"allow\"".to_owned()),
        ClassOp::ExecPrivileged => return Some("[exec]\nprivileged = \"allow\"".to_owned()),
        ClassOp::SetId => ("process", "allow", "set-id"),
        ClassOp::UserNamespace => ("process", "allow", "user-namespace"),
        ClassOp::Ptrace => ("process", "allow", "ptrace"),
        ClassOp::Signal => ("process", "allow", "signal"),
        ClassOp::Mount => ("process", "allow", "mount"),
        ClassOp::Kernel => ("process", "allow", "kernel"),
        ClassOp::IoUring => ("process", "allow", "io-uring"),
        ClassOp::ReceiveFd => ("process", "allow", "receive-fd"),
    };
    Some(format!("[{table}]\n{key} = [{}]", quoted(word)))
}

/// As a TOML string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The story in sentences: who, what, which rule, and whether it was put into effect.
pub(super) fn sentences(record: &Record, lineage: &[Ancestor], rule: Option<&Rule>) -> Vec<String> {
    let mut story = vec![who(record, lineage), what(record)];
    let decision = &record.decision;
    match rule {
        Some(rule) => story.push(format!(
            "Rule {} ({}) decided: {}.",
            rule.id,
            rule.source,
            rule.reason.trim_end_matches('.')
        )),
        None if !decision.message.is_empty() => story.push(format!("Why: {}.", decision.message)),
        None => {}
    }
    if decision.verdict.stops() && !decision.enforced {
        story.push(
            "It was not blocked: the agent is in observe mode, or the back end can not block this."
                .to_owned(),
        );
    }
    story.extend(record.findings.iter().map(|finding| {
        format!(
            "Policy also found {} ({:?}): {}.",
            finding.id,
            finding.severity,
            finding.reason.trim_end_matches('.')
        )
    }));
    story
}

fn who(record: &Record, lineage: &[Ancestor]) -> String {
    let named = |ancestor: &Ancestor| {
        let program = ancestor.exe.as_deref().unwrap_or("?");
        format!("{program}[{}]", ancestor.pid)
    };
    let chain: Vec<String> = lineage.iter().map(named).collect();
    match chain.split_first() {
        Some((process, [])) => format!("{process} of agent {}, uid {}.", record.agent, record.process.uid),
        Some((process, ancestors)) => format!(
            "{process} of agent {}, uid {}, started by {}.",
            record.agent,
            record.process.uid,
            ancestors.join(", started by ")
        ),
        None => format!("Process {} of agent {}.", record.process.pid, record.agent),
    }
}

fn what(record: &Record) -> String {
    let verb = match (record.decision.verdict, record.decision.enforced) {
        (Verdict::Deny, true) => "was denied",
        (Verdict::Deny, false) => "would be denied",
        (Verdict::Hold, true) => "was held",
        (Verdict::Hold, false) => "would be held",
        (Verdict::Evaluate, true) => "was put to policy",
        (Verdict::Evaluate, false) => "would be put to policy",
        (Verdict::Audit, _) => "was allowed and marked",
        (Verdict::Allow, _) => "was allowed",
    };
    let operation = record.operation.map(|operation| operation.name()).filter(|name| *name != record.call);
    let operation = operation.map_or_else(String::new, |name| format!(" ({name})"));
    let on = match object(&record.object) {
        nothing if nothing.is_empty() => nothing,
        object => format!(" on {object}"),
    };
    format!("{}{operation}{on} {verb}.", record.call)
}

fn object(object: &Object) -> String {
    match object {
        Object::File { path, other: Some(other), .. } => format!("{path} ({other})"),
        Object::File { path, .. } | Object::FileIo { path, .. } => path.clone(),
        Object::Address { address, port, protocol, name, .. }
        | Object::PeerIo { address, port, protocol, name, .. } => {
            let peer = std::net::SocketAddr::new(*address, *port);
            name.as_ref()
                .map_or_else(|| format!("{peer}/{protocol}"), |name| format!("{name} ({peer}/{protocol})"))
        }
        Object::Resolved { name, address, .. } => format!("{name} ({address})"),
        Object::Class { detail } | Object::Credentials { detail } if !detail.is_empty() => detail.clone(),
        Object::Class { .. } | Object::Credentials { .. } => "no object".to_owned(),
        Object::Exec { path, argv, .. } => format!("{path} `{}`", argv.join(" ")),
        Object::Fork { child_pid, .. } => format!("process {child_pid}"),
        Object::Exit { code, signal, .. } => format!("exit code {code}, signal {signal}"),
    }
}

#[cfg(test)]
mod tests;
