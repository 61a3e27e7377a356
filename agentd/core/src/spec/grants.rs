//! The grants of a spec, one rule per entry, each with the line it is written in.

use std::collections::HashMap;
use std::net::IpAddr;

use super::error::Problems;
use super::network::{self, SOCKETS, Target};
use super::{Executable, Located, MAX_SPEC_RULES, Peer, Spec};
use crate::address;
use crate::capability;
use crate::operation::{AddressOp, ClassOp, PathOp};
use crate::pattern::{ABSTRACT_PREFIX, COMMAND_PREFIX, Pattern};
use crate::rule::{Network, Ports, Protocol, Rule, Scope, Source};
use crate::suggest;
use crate::verdict::{Layer, Verdict};

const FILE_OPS: [PathOp; 6] =
    [PathOp::Read, PathOp::Write, PathOp::Create, PathOp::Delete, PathOp::Attr, PathOp::Link];
const EXEC_OPS: [PathOp; 2] = [PathOp::Exec, PathOp::MapExec];
const DNS_PORT: u16 = 53;
pub(super) const CLASSES: [(&str, ClassOp); 8] = [
    ("set-id", ClassOp::SetId),
    ("user-namespace", ClassOp::UserNamespace),
    ("ptrace", ClassOp::Ptrace),
    ("signal", ClassOp::Signal),
    ("mount", ClassOp::Mount),
    ("kernel", ClassOp::Kernel),
    ("io-uring", ClassOp::IoUring),
    ("receive-fd", ClassOp::ReceiveFd),
];

/// What a spec grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grants {
    pub(super) rules: Vec<Rule>,
    pub(super) resolvers: Vec<IpAddr>,
}

/// What a pattern may begin with, by where it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Socket,
    Abstract,
    Command,
}

struct Maker<'a> {
    spec: &'a Spec,
    problems: &'a mut Problems,
    rules: Vec<Rule>,
}

/// Makes the grants of a spec without variables; a bad entry becomes a problem and no grant.
pub(super) fn grants(spec: &Spec, problems: &mut Problems) -> Grants {
    let mut maker = Maker { spec, problems, rules: Vec::new() };
    maker.files();
    maker.exec();
    maker.unix();
    maker.peers("connect", &spec.network.connect, AddressOp::Connect, Verdict::Allow);
    maker.peers("listen", &spec.network.listen, AddressOp::Listen, Verdict::Allow);
    maker.peers("hold", &spec.network.hold, AddressOp::Connect, Verdict::Hold);
    maker.peers("deny", &spec.network.deny, AddressOp::Connect, Verdict::Deny);
    maker.classes("network.sockets", &spec.network.sockets, &SOCKETS);
    maker.classes("process.allow", &spec.process.allow, &CLASSES);
    maker.capabilities();
    let resolvers = maker.resolvers();
    if maker.rules.len() > MAX_SPEC_RULES {
        let count = maker.rules.len();
        let message =
            format!("the spec makes {count} rules, the limit is {MAX_SPEC_RULES}; use wider patterns");
        maker.problems.add(1, message);
    }
    Grants { rules: maker.rules, resolvers }
}

/// Grants of port 53, which nothing in the spec needs to name.
pub(super) fn resolver_rules(spec: &Spec, resolvers: &[IpAddr]) -> Vec<Rule> {
    let located = resolvers.iter().map(|address| Located { value: *address, line: 1 });
    located.enumerate().flat_map(|(position, address)| resolver_grants(spec, position, &address)).collect()
}

fn resolver_grants(spec: &Spec, position: usize, resolver: &Located<IpAddr>) -> [Rule; 2] {
    let address = address::canonical(resolver.value);
    let network = Network::around(address, address::family_bits(address));
    [Protocol::Udp, Protocol::Tcp].map(|protocol| Rule {
        id: format!("network.resolvers[{position}].{protocol}"),
        layer: Layer::Grant,
        verdict: Verdict::Allow,
        scope: Scope::Address {
            op: AddressOp::Connect,
            network,
            ports: Ports { protocol, ranges: vec![(DNS_PORT, DNS_PORT)] },
        },
        severity: None,
        reason: "name server of this agent".to_owned(),
        source: Source { file: spec.file.clone(), line: resolver.line },
    })
}

impl Maker<'_> {
    fn push(&mut self, id: String, line: u32, verdict: Verdict, scope: Scope) {
        let word = match verdict {
            Verdict::Allow => "granted",
            Verdict::Audit => "granted and recorded",
            Verdict::Evaluate => "put to policy",
            Verdict::Hold => "held",
            Verdict::Deny => "denied",
        };
        self.rules.push(Rule {
            id,
            layer: Layer::Grant,
            verdict,
            scope,
            severity: None,
            reason: format!("{word} by the spec of {}", self.spec.agent.name),
            source: Source { file: self.spec.file.clone(), line },
        });
    }

    /// Tells entries that are written twice in one list.
    fn duplicates(&mut self, name: &str, keys: impl Iterator<Item = (String, u32)>) {
        let mut seen: HashMap<String, u32> = HashMap::new();
        for (key, line) in keys {
            if let Some(first) = seen.insert(key.clone(), line) {
                self.problems.add(line, format!("`{key}` is already in {name}, on line {first}; remove one"));
            }
        }
    }

    fn files(&mut self) {
        let files = &self.spec.files;
        self.patterns("files.read", &files.read, Kind::File, &[PathOp::Read], Verdict::Allow);
        self.patterns(
            "files.write",
            &files.write,
            Kind::File,
            &[PathOp::Write, PathOp::Attr],
            Verdict::Allow,
        );
        self.patterns("files.create", &files.create, Kind::File, &[PathOp::Create], Verdict::Allow);
        self.patterns("files.delete", &files.delete, Kind::File, &[PathOp::Delete], Verdict::Allow);
        self.patterns("files.link", &files.link, Kind::File, &[PathOp::Link], Verdict::Allow);
        self.patterns("files.audit", &files.audit, Kind::File, &FILE_OPS, Verdict::Audit);
        self.patterns("files.hold", &files.hold, Kind::File, &FILE_OPS, Verdict::Hold);
        self.patterns("files.deny", &files.deny, Kind::File, &FILE_OPS, Verdict::Deny);
    }

    fn exec(&mut self) {
        let exec = &self.spec.exec;
        self.executables(&exec.allow);
        self.patterns("exec.libraries", &exec.libraries, Kind::File, &[PathOp::MapExec], Verdict::Allow);
        self.patterns("exec.hold", &exec.hold, Kind::File, &[PathOp::Exec], Verdict::Hold);
        self.patterns("exec.deny", &exec.deny, Kind::File, &EXEC_OPS, Verdict::Deny);
        for (key, commands, verdict) in [
            ("exec.commands_hold", &exec.commands_hold, Verdict::Hold),
            ("exec.commands_deny", &exec.commands_deny, Verdict::Deny),
        ] {
            self.patterns(key, commands, Kind::Command, &[PathOp::Command], verdict);
        }
        for (key, verdict, op) in [
            ("exec.anonymous", &exec.anonymous, ClassOp::ExecAnonymous),
            ("exec.memfd", &exec.memfd, ClassOp::ExecMemfd),
            ("exec.privileged", &exec.privileged, ClassOp::ExecPrivileged),
        ] {
            if let Some(verdict) = verdict {
                self.push(key.to_owned(), verdict.line, verdict.value, Scope::Class { op });
            }
        }
    }

    fn unix(&mut self) {
        let unix = &self.spec.unix;
        self.patterns("unix.connect", &unix.connect, Kind::Socket, &[PathOp::Connect], Verdict::Allow);
        self.patterns("unix.bind", &unix.bind, Kind::Abstract, &[PathOp::Bind], Verdict::Allow);
        let both = [PathOp::Connect, PathOp::Bind];
        self.patterns("unix.hold", &unix.hold, Kind::Socket, &both, Verdict::Hold);
        self.patterns("unix.deny", &unix.deny, Kind::Socket, &both, Verdict::Deny);
    }

    fn patterns(
        &mut self,
        name: &str,
        list: &[Located<String>],
        kind: Kind,
        ops: &[PathOp],
        verdict: Verdict,
    ) {
        self.duplicates(name, list.iter().map(|text| (text.value.clone(), text.line)));
        for (position, text) in list.iter().enumerate() {
            if let Some(pattern) = self.pattern(&text.value, text.line, kind) {
                let scope = Scope::Path { ops: ops.to_vec(), pattern, sha256: None };
                self.push(format!("{name}[{position}]"), text.line, verdict, scope);
            }
        }
    }

    /// The pattern as rules hold it, if it is one.
    fn pattern(&mut self, text: &str, line: u32, kind: Kind) -> Option<String> {
        let path = text.starts_with('/') || text.starts_with("**");
        let (fits, hint) = match kind {
            Kind::File => (path, "begin it with `/` or `**`"),
            Kind::Socket => (path || text.starts_with(ABSTRACT_PREFIX), "begin it with `/`, `**` or `@`"),
            Kind::Abstract => (
                text.starts_with(ABSTRACT_PREFIX),
                "only abstract names (`@name`) are bound; a socket with a path needs files.create",
            ),
            Kind::Command => (!text.is_empty(), "write a command line such as \"rm -rf /*\""),
        };
        if !fits {
            self.problems.add(line, format!("`{text}` cannot stand here; {hint}"));
            return None;
        }
        let text = match kind {
            Kind::Command => format!("{COMMAND_PREFIX}{text}"),
            Kind::File | Kind::Socket | Kind::Abstract => text.to_owned(),
        };
        match Pattern::parse(&text) {
            Ok(_) => Some(text),
            Err(error) => {
                self.problems.add(line, error.to_string());
                None
            }
        }
    }

    fn executables(&mut self, list: &[Located<Executable>]) {
        let key = |entry: &Located<Executable>| match &entry.value.sha256 {
            Some(hash) => (format!("{} {hash}", entry.value.path), entry.line),
            None => (entry.value.path.clone(), entry.line),
        };
        self.duplicates("exec.allow", list.iter().map(key));
        for (position, entry) in list.iter().enumerate() {
            let Some(pattern) = self.pattern(&entry.value.path, entry.line, Kind::File) else { continue };
            let sha256 = entry.value.sha256.clone();
            if sha256.is_some() && !Pattern::parse(&pattern).is_ok_and(|pattern| pattern.literal().is_some())
            {
                let message =
                    format!("`{pattern}` has wildcards, but a sha256 is of one file; write its path");
                self.problems.add(entry.line, message);
                continue;
            }
            let scope = Scope::Path { ops: EXEC_OPS.to_vec(), pattern, sha256 };
            self.push(format!("exec.allow[{position}]"), entry.line, Verdict::Allow, scope);
        }
    }

    fn peers(&mut self, key: &str, list: &[Located<Peer>], op: AddressOp, verdict: Verdict) {
        let name = format!("network.{key}");
        let text = |peer: &Located<Peer>| (peer_text(&peer.value), peer.line);
        self.duplicates(&name, list.iter().map(text));
        for (position, peer) in list.iter().enumerate() {
            match peer_scope(&peer.value, op, verdict) {
                Ok(Some(scope)) => self.push(format!("{name}[{position}]"), peer.line, verdict, scope),
                Ok(None) => {}
                Err(message) => self.problems.add(peer.line, message),
            }
        }
    }

    fn classes(&mut self, name: &str, list: &[Located<String>], known: &[(&str, ClassOp)]) {
        self.duplicates(name, list.iter().map(|word| (word.value.clone(), word.line)));
        for word in list {
            match known.iter().find(|(known, _)| *known == word.value) {
                Some((_, op)) => {
                    let id = format!("{name}[{}]", word.value);
                    self.push(id, word.line, Verdict::Allow, Scope::Class { op: *op });
                }
                None => {
                    let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
                    self.unknown(name, word, &words);
                }
            }
        }
    }

    fn capabilities(&mut self) {
        let list = &self.spec.process.capabilities;
        self.duplicates("process.capabilities", list.iter().map(|word| (word.value.clone(), word.line)));
        for (position, word) in list.iter().enumerate() {
            match capability::number(&word.value) {
                Some(number) => {
                    let id = format!("process.capabilities[{position}]");
                    self.push(id, word.line, Verdict::Allow, Scope::Capability { number });
                }
                None => self.unknown("process.capabilities", word, &capability::NAMES),
            }
        }
    }

    fn unknown(&mut self, name: &str, word: &Located<String>, known: &[&str]) {
        let hint = suggest::hint(&word.value, known.iter().copied());
        let hint = if hint.is_empty() { format!("; it can have {}", known.join(", ")) } else { hint };
        self.problems.add(word.line, format!("unknown word `{}` in {name}{hint}", word.value));
    }

    fn resolvers(&mut self) -> Vec<IpAddr> {
        let list = &self.spec.network.resolvers;
        self.duplicates("network.resolvers", list.iter().map(|text| (text.value.clone(), text.line)));
        let mut resolvers = Vec::new();
        for (position, text) in list.iter().enumerate().filter(|(_, text)| !is_open(&text.value)) {
            match text.value.parse::<IpAddr>() {
                Ok(address) => {
                    self.rules.extend(resolver_grants(self.spec, position, &text.with(address)));
                    resolvers.push(address::canonical(address));
                }
                Err(_) => {
                    let message =
                        format!("resolver `{}` is not an address; write one such as 10.0.0.2", text.value);
                    self.problems.add(text.line, message);
                }
            }
        }
        resolvers
    }
}

/// Whether a variable is still in it: then it can be read only when the agent starts.
fn is_open(text: &str) -> bool {
    text.contains("${")
}

fn peer_text(peer: &Peer) -> String {
    let mut text = format!("{} {}", peer.to, peer.protocol);
    for (low, high) in &peer.ports {
        text.push_str(&format!(" {low}-{high}"));
    }
    text
}

/// What a network entry speaks about; `None` while it has a variable in it.
fn peer_scope(peer: &Peer, op: AddressOp, verdict: Verdict) -> Result<Option<Scope>, String> {
    if is_open(&peer.to) {
        return Ok(None);
    }
    let ports = Ports { protocol: peer.protocol, ranges: peer.ports.clone() };
    match (network::target(&peer.to)?, op) {
        (Target::Network(network), _) => Ok(Some(Scope::Address { op, network, ports })),
        (Target::Name(name), AddressOp::Connect) => {
            if verdict == Verdict::Deny && ports != Ports::ALL {
                let to = &peer.to;
                return Err(format!(
                    "the denied name `{to}` is never followed, on no port; remove ports and protocol"
                ));
            }
            Ok(Some(Scope::Name { name, ports }))
        }
        (Target::Name(name), AddressOp::Listen) => Err(format!(
            "`{name}` is a name, but an agent listens on addresses; write 127.0.0.1 or 0.0.0.0/0"
        )),
    }
}
