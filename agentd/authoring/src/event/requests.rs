//! What was asked for, out of records: each request once, with how often and how it went; and what can not become a
//! grant, with why.

use std::collections::BTreeMap;
use std::net::IpAddr;

use agentguard_core::address;
use agentguard_core::capability;
use agentguard_core::operation::{AddressOp, ClassOp, Operation, PathOp};
use agentguard_core::pattern::{ABSTRACT_PREFIX, MAX_PATTERN_BYTES, Pattern};
use agentguard_core::record::{Object, Record};
use agentguard_core::rule::Protocol;
use agentguard_core::verdict::{Layer, Reason, Verdict};

use crate::draft::Note;

/// Rules of the sandbox, in the layer of grants: see [`agentguard_core::containment`].
const CONTAINMENT: &str = "containment.";
const SCRATCH: &str = "containment.scratch";

/// How often something was asked for, and how often it was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Seen {
    pub(super) count: usize,
    pub(super) stopped: usize,
}

/// A peer, by name where one is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) op: AddressOp,
    pub(super) to: String,
    /// `tcp`, `udp` or `any`: ordered as text.
    pub(super) protocol: &'static str,
    pub(super) is_name: bool,
    pub(super) is_loopback: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Path(PathOp, String),
    Peer(Target, u16),
    Class(usize),
    Capability(u8),
}

/// Everything that was asked for.
#[derive(Debug, Default)]
pub(super) struct Requests {
    seen: BTreeMap<Asked, Seen>,
    /// By what they are about.
    pub(super) left_out: BTreeMap<String, Note>,
}

impl Seen {
    /// Whether it was stopped the one time it was tried: the program went on without it.
    pub(super) const fn never_granted(self) -> bool {
        self.count == 1 && self.stopped == 1
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self { count: self.count + other.count, stopped: self.stopped + other.stopped }
    }
}

impl Requests {
    pub(super) fn of(records: &[Record]) -> Self {
        let names = resolved_names(records);
        let mut requests = Self::default();
        let mut left_out = BTreeMap::new();
        for record in records {
            let Some(operation) = record.operation else { continue };
            match asked(operation, &record.object, &names) {
                Ok(None) => {}
                Ok(Some(asked)) => match reason_to_leave_out(record) {
                    Some(why) => {
                        left_out.entry(asked).or_insert(why);
                    }
                    None => requests.add(asked, record),
                },
                Err(why) => requests.note(format!("{operation} {}", object_text(&record.object)), why),
            }
        }
        // What went through at another time is a grant.
        for (asked, why) in left_out {
            if !requests.seen.contains_key(&asked) {
                requests.note(asked.words(), why);
            }
        }
        requests
    }

    fn add(&mut self, asked: Asked, record: &Record) {
        let stopped = usize::from(record.decision.verdict == Verdict::Deny && record.decision.enforced);
        let seen = self.seen.entry(asked).or_default();
        *seen = seen.with(Seen { count: 1, stopped });
    }

    fn note(&mut self, about: String, why: String) {
        self.left_out.entry(about.clone()).or_insert_with(|| Note::left_out(about, why));
    }

    /// Paths of these operations, each once.
    pub(super) fn paths<'r>(&'r self, ops: &[PathOp]) -> impl Iterator<Item = (&'r str, Seen)> {
        let mut found: BTreeMap<&str, Seen> = BTreeMap::new();
        for (asked, seen) in &self.seen {
            if let Asked::Path(op, path) = asked
                && ops.contains(op)
            {
                let known = found.entry(path).or_default();
                *known = known.with(*seen);
            }
        }
        found.into_iter()
    }

    pub(super) fn peers(&self) -> BTreeMap<&Target, BTreeMap<u16, Seen>> {
        let mut found: BTreeMap<&Target, BTreeMap<u16, Seen>> = BTreeMap::new();
        for (asked, seen) in &self.seen {
            if let Asked::Peer(target, port) = asked {
                found.entry(target).or_default().insert(*port, *seen);
            }
        }
        found
    }

    pub(super) fn classes(&self) -> impl Iterator<Item = (ClassOp, Seen)> {
        self.seen.iter().filter_map(|(asked, seen)| match asked {
            Asked::Class(index) => ClassOp::ALL.get(*index).map(|op| (*op, *seen)),
            Asked::Path(..) | Asked::Peer(..) | Asked::Capability(_) => None,
        })
    }

    pub(super) fn capabilities(&self) -> impl Iterator<Item = (u8, Seen)> {
        self.seen.iter().filter_map(|(asked, seen)| match asked {
            Asked::Capability(number) => Some((*number, *seen)),
            Asked::Path(..) | Asked::Peer(..) | Asked::Class(_) => None,
        })
    }
}

impl Asked {
    fn words(&self) -> String {
        match self {
            Self::Path(op, path) => format!("{op} {path}"),
            Self::Peer(target, port) => format!("{} {}:{port}", target.op, target.to),
            Self::Class(index) => ClassOp::ALL.get(*index).map_or_else(String::new, ToString::to_string),
            Self::Capability(number) => capability::name(*number),
        }
    }
}

/// Names that the agent's own DNS answers gave to addresses.
fn resolved_names(records: &[Record]) -> BTreeMap<IpAddr, &str> {
    let mut names: BTreeMap<IpAddr, &str> = BTreeMap::new();
    for record in records {
        if let Object::Resolved { name, address, .. } = &record.object {
            let known = names.entry(address::canonical(*address)).or_insert(name);
            // The same whatever the order of the records.
            *known = (*known).min(name);
        }
    }
    names
}

/// The request of a record; nothing where no grant is needed, and why where none could be written.
fn asked(
    operation: Operation,
    object: &Object,
    names: &BTreeMap<IpAddr, &str>,
) -> Result<Option<Asked>, String> {
    match (operation, object) {
        // A name is followed because a peer of that name is granted; a command line needs no grant.
        (Operation::Path(PathOp::Resolve | PathOp::Command), _) => Ok(None),
        (Operation::Path(op), Object::File { path, .. } | Object::Exec { path, .. }) => {
            check_path(op, path)?;
            Ok(Some(Asked::Path(op, path.clone())))
        }
        (Operation::Address(op), Object::Address { address, port, protocol, name, .. }) => {
            let known = names.get(&address::canonical(*address)).copied();
            let target = target(op, *address, protocol, name.as_deref().or(known));
            Ok(Some(Asked::Peer(target, *port)))
        }
        (Operation::Class(op), _) => Ok(Some(Asked::Class(op.index()))),
        (Operation::Capability(number), _) if usize::from(number) < capability::NAMES.len() => {
            Ok(Some(Asked::Capability(number)))
        }
        (Operation::Capability(_), _) => Err("this version knows no such capability".to_owned()),
        (Operation::Path(_) | Operation::Address(_), _) => Err("the record does not say on what".to_owned()),
    }
}

fn check_path(op: PathOp, path: &str) -> Result<(), String> {
    if path.contains(char::REPLACEMENT_CHARACTER) {
        return Err("its name is not UTF-8, so a record does not hold it as it is; use a wildcard".to_owned());
    }
    let is_abstract = matches!(op, PathOp::Connect | PathOp::Bind) && path.starts_with(ABSTRACT_PREFIX);
    let below = path.strip_prefix('/');
    let whole = below.is_some_and(|below| {
        below.is_empty() || !below.split('/').any(|part| matches!(part, "" | "." | ".."))
    });
    if !is_abstract && (!whole || op == PathOp::Bind) {
        return Err("this is no whole path, so no pattern can name it".to_owned());
    }
    if path.contains(char::is_control) {
        return Err("its name has control characters; use a wildcard".to_owned());
    }
    if Pattern::escape(path).len() > MAX_PATTERN_BYTES {
        return Err(format!("its name is longer than a pattern can be ({MAX_PATTERN_BYTES} bytes)"));
    }
    Ok(())
}

fn target(op: AddressOp, address: IpAddr, protocol: &str, name: Option<&str>) -> Target {
    let mut address = address::canonical(address);
    // Connecting to the unspecified address is decided as loopback.
    if op == AddressOp::Connect && address.is_unspecified() {
        address =
            if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
    }
    let name = name.map(|name| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase());
    let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let name = name.filter(|name| op == AddressOp::Connect && address::is_name(name) && !is_number(name));
    let protocol = match protocol {
        "tcp" => "tcp",
        "udp" => "udp",
        _ => "any",
    };
    Target {
        op,
        protocol,
        is_name: name.is_some(),
        is_loopback: address.is_loopback(),
        to: name.unwrap_or_else(|| address.to_string()),
    }
}

impl Target {
    pub(super) fn protocol(&self) -> Protocol {
        match self.protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => Protocol::Any,
        }
    }
}

fn reason_to_leave_out(record: &Record) -> Option<String> {
    let decision = &record.decision;
    let rule = decision.rule.as_deref().unwrap_or("a rule");
    if rule.starts_with("network.resolvers[") {
        return Some("a name server of the host, which needs no grant".to_owned());
    }
    if rule.starts_with(SCRATCH) {
        return Some("in the scratch directory of the sandbox, which needs no grant".to_owned());
    }
    // What the sandbox holds back is just what a spec has to say for the time after it.
    if decision.verdict != Verdict::Deny || rule.starts_with(CONTAINMENT) {
        return None;
    }
    match decision.reason {
        Reason::Rule | Reason::Default | Reason::ResolvedName | Reason::Answered => match decision.layer {
            Layer::Guardrail => Some(format!("policy denies it ({rule}), and no grant lifts that")),
            Layer::Grant => Some(format!("the spec of that run denies it by name ({rule}); so it stays")),
            Layer::Default => None,
        },
        Reason::Elsewhere => Some(format!("its path on the host is denied ({rule})")),
        Reason::Unresolved
        | Reason::TooLong
        | Reason::NoMemory
        | Reason::NoRules
        | Reason::Identity
        | Reason::Protected
        | Reason::CannotHold
        | Reason::Changed => Some("it was denied for another reason than a missing grant".to_owned()),
    }
}

fn object_text(object: &Object) -> String {
    match object {
        Object::File { path, .. } | Object::Exec { path, .. } | Object::FileIo { path, .. } => path.clone(),
        Object::Address { address, port, .. } | Object::PeerIo { address, port, .. } => {
            format!("{address}:{port}")
        }
        Object::Resolved { name, .. } => name.clone(),
        Object::Class { detail } | Object::Credentials { detail } => detail.clone(),
        Object::Fork { child_pid, .. } => child_pid.to_string(),
        Object::Exit { code, .. } => code.to_string(),
    }
}
