//! The sandbox: what is left of an agent's grants while nobody has promoted it. Reads and programs stay as granted; writes
//! go to one scratch directory, and calls nowhere, or to this host where the spec asks for that.
//!
//! Everything that could reach out is taken from the grants, and what remains is denied by rules that say why. So neither
//! a default nor an exception in policy opens it again: of both layers the stricter counts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::operation::{AddressOp, ClassOp, PathOp};
use crate::pattern::{ABSTRACT_PREFIX, Pattern};
use crate::rule::{Network, Ports, Protocol, Rule, Scope, Source};
use crate::spec::ResolvedSpec;
use crate::verdict::{Layer, Verdict};

/// Writing to these keeps nothing.
const DEVICES: &str = "/dev/{null,zero,full,random,urandom,tty,pts/*}";
const DNS_PORT: u16 = 53;

/// The grants of a spec as they are in the sandbox. `scratch` is an absolute directory.
pub fn contained(spec: &ResolvedSpec, scratch: &Path) -> Vec<Rule> {
    let loopback = spec.spec().containment.loopback;
    let mut rules: Vec<Rule> = spec.rules().into_iter().filter_map(|rule| kept(rule, loopback)).collect();
    let source = Source { file: spec.spec().file.clone(), line: 1 };
    let rule = |id: &str, verdict, scope, reason: &str| Rule {
        id: format!("containment.{id}"),
        layer: Layer::Grant,
        verdict,
        scope,
        severity: None,
        reason: reason.to_owned(),
        source: source.clone(),
    };
    let path = |ops: &[PathOp], pattern: String| Scope::Path { ops: ops.to_vec(), pattern, sha256: None };

    let scratch = Pattern::escape(&scratch.to_string_lossy());
    let everything: Vec<PathOp> =
        PathOp::CHANGES.into_iter().chain([PathOp::Read, PathOp::Connect]).collect();
    for (id, pattern) in [("scratch", scratch.clone()), ("scratch.files", format!("{scratch}/**"))] {
        rules.push(rule(id, Verdict::Allow, path(&everything, pattern), "scratch directory of the sandbox"));
    }
    let keeps_nothing = path(&[PathOp::Read, PathOp::Write], DEVICES.to_owned());
    rules.push(rule("devices", Verdict::Allow, keeps_nothing, "keeps nothing"));
    let no_writes =
        "in the sandbox an agent writes to its scratch directory only; promote it to let it write";
    rules.push(rule("persistent_writes", Verdict::Deny, path(&PathOp::CHANGES, "**".to_owned()), no_writes));
    let no_privilege = "in the sandbox an agent raises no privilege";
    let privileged = Scope::Class { op: ClassOp::ExecPrivileged };
    rules.push(rule("privileged", Verdict::Deny, privileged, no_privilege));
    let no_calls = "in the sandbox an agent calls nobody; promote it to let it call";
    for (id, pattern) in [("sockets", "**".to_owned()), ("abstract_sockets", format!("{ABSTRACT_PREFIX}**"))]
    {
        let scope = path(&[PathOp::Connect, PathOp::Bind], pattern);
        rules.push(rule(&format!("external_calls.{id}"), Verdict::Deny, scope, no_calls));
    }
    let granted: Vec<Network> = rules.iter().filter_map(connected).collect();
    for (id, network, ports, op) in denied_addresses(&granted) {
        rules.push(rule(&id, Verdict::Deny, Scope::Address { op, network, ports }, no_calls));
    }
    rules
}

/// What a grant lets connect to.
fn connected(rule: &Rule) -> Option<Network> {
    match &rule.scope {
        Scope::Address { op: AddressOp::Connect, network, .. } if rule.verdict != Verdict::Deny => {
            Some(*network)
        }
        Scope::Address { .. }
        | Scope::Path { .. }
        | Scope::Name { .. }
        | Scope::Class { .. }
        | Scope::Capability { .. } => None,
    }
}

/// Every address; and of this host, as far as it is granted, the port of name servers: they ask others. A rule for each
/// protocol, because a named one goes before `any`.
fn denied_addresses(granted: &[Network]) -> Vec<(String, Network, Ports, AddressOp)> {
    let everywhere = [
        ("v4", Network { address: Ipv4Addr::UNSPECIFIED.into(), bits: 0 }),
        ("v6", Network { address: Ipv6Addr::UNSPECIFIED.into(), bits: 0 }),
    ];
    let mut denied = Vec::new();
    for (family, network) in everywhere {
        for (word, op) in [("connect", AddressOp::Connect), ("listen", AddressOp::Listen)] {
            denied.push((format!("external_calls.{word}.{family}"), network, Ports::ALL, op));
        }
    }
    for (position, network) in granted.iter().enumerate() {
        for protocol in [Protocol::Any, Protocol::Tcp, Protocol::Udp] {
            let ports = Ports { protocol, ranges: vec![(DNS_PORT, DNS_PORT)] };
            let id = format!("external_calls.names[{position}].{protocol}");
            denied.push((id, *network, ports, AddressOp::Connect));
        }
    }
    denied
}

/// What stays of one grant.
fn kept(rule: Rule, loopback: bool) -> Option<Rule> {
    if rule.verdict == Verdict::Deny {
        return Some(rule);
    }
    let scope = match rule.scope {
        Scope::Path { ops, pattern, sha256 } => {
            let ops: Vec<PathOp> = ops.into_iter().filter(|op| stays(*op)).collect();
            if ops.is_empty() {
                return None;
            }
            Scope::Path { ops, pattern, sha256 }
        }
        Scope::Address { op, network, ports } => {
            if !(loopback && is_loopback(network)) {
                return None;
            }
            Scope::Address { op, network, ports }
        }
        Scope::Class { op } if class_stays(op) => Scope::Class { op },
        Scope::Name { .. } | Scope::Class { .. } | Scope::Capability { .. } => return None,
    };
    Some(Rule { scope, ..rule })
}

const fn stays(op: PathOp) -> bool {
    match op {
        PathOp::Read | PathOp::Exec | PathOp::MapExec | PathOp::Command => true,
        PathOp::Write
        | PathOp::Create
        | PathOp::Delete
        | PathOp::Attr
        | PathOp::Link
        | PathOp::Connect
        | PathOp::Bind
        | PathOp::Resolve => false,
    }
}

/// Sockets that can be held to addresses and paths, and memory of its own. Everything else is a way around, or another's.
const fn class_stays(op: ClassOp) -> bool {
    match op {
        ClassOp::SocketTcp
        | ClassOp::SocketUdp
        | ClassOp::SocketUnix
        | ClassOp::SocketNetlinkRoute
        | ClassOp::ExecAnonymous
        | ClassOp::ExecMemfd => true,
        ClassOp::SocketNetlink
        | ClassOp::SocketPing
        | ClassOp::SocketRaw
        | ClassOp::SocketPacket
        | ClassOp::SocketOther
        | ClassOp::ExecPrivileged
        | ClassOp::SetId
        | ClassOp::UserNamespace
        | ClassOp::Ptrace
        | ClassOp::Signal
        | ClassOp::Mount
        | ClassOp::Kernel
        | ClassOp::IoUring
        | ClassOp::ReceiveFd => false,
    }
}

fn is_loopback(network: Network) -> bool {
    network.address.is_loopback()
        && match network.address {
            IpAddr::V4(_) => network.bits >= 8,
            IpAddr::V6(_) => network.bits == 128,
        }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::decide::{Evaluator, Request};
    use crate::lower;
    use crate::operation::Operation;
    use crate::rule::Ruleset;
    use crate::spec::{Spec, Variables};

    const SCRATCH: &str = "/var/lib/agentguard-scratch/a-1";

    fn contained_evaluator(sections: &str) -> Evaluator {
        let text =
            format!("[agent]\nname = \"a\"\nrole = \"ideation\"\ntier = 1\nmode = \"observe\"\n{sections}");
        let spec = Spec::parse(&text, Path::new("a.toml")).unwrap_or_else(|error| panic!("{error}"));
        let spec = spec.resolve(&Variables::of_user("/home/a", "a", 1000)).unwrap();
        let rules = contained(&spec, Path::new(SCRATCH));
        let ruleset = Ruleset { rules, defaults: spec.contained_defaults() };
        lower(&ruleset).expect("it can be lowered");
        Evaluator::new(Arc::new(ruleset)).unwrap()
    }

    fn verdict(evaluator: &Evaluator, operation: &str, object: &str) -> Verdict {
        let operation: Operation = operation.parse().unwrap();
        evaluator.explain(&Request::parse(operation, object).unwrap()).result.verdict
    }

    /// Everything that a spec can open, opened.
    const OPEN: &str = r#"
        [files]
        default = "allow"
        read = ["/**"]
        write = ["/**", "/var/lib/agentguard-scratch/a-2/**"]
        create = ["/srv/a/b/c/**"]
        delete = ["**"]
        audit = ["/home/a/**"]
        hold = ["/srv/held/**"]
        [exec]
        default = "allow"
        privileged = "allow"
        anonymous = "allow"
        [network]
        default = "allow"
        connect = [{ to = "0.0.0.0/0" }, { to = "::/0" }, { to = "192.0.2.1", ports = [443] }, { to = "api.example.com" }, { to = "127.0.0.0/8" }, { to = "127.0.0.53" }, { to = "127.0.0.54", ports = [53], protocol = "udp" }, { to = "::1" }]
        listen = [{ on = "0.0.0.0/0" }, { on = "127.0.0.1", ports = [8080] }]
        hold = [{ to = "198.51.100.1" }]
        sockets = ["tcp", "udp", "unix", "netlink-route", "netlink", "ping", "raw", "packet", "other"]
        [unix]
        default = "allow"
        connect = ["/run/**", "@x"]
        bind = ["@y"]
        [process]
        default = "allow"
        capabilities = ["cap_sys_admin"]
        allow = ["ptrace", "mount", "kernel", "signal"]
    "#;

    #[test]
    fn nothing_that_a_spec_can_grant_leads_out_of_the_sandbox() {
        let evaluator = contained_evaluator(OPEN);
        for (operation, object) in [
            ("write", "/srv/x"),
            ("create", "/srv/a/b/c/d"),
            ("delete", "/tmp/x"),
            ("attr", "/home/a/x"),
            ("link", "/home/a/x"),
            ("write", "/srv/held/x"),
            ("write", "/var/lib/agentguard-scratch/a-2/x"),
            ("write", "/var/lib/agentguard-scratch"),
            ("connect_address", "192.0.2.1:443/tcp"),
            ("connect_address", "198.51.100.1:80/tcp"),
            ("connect_address", "127.0.0.1:80/tcp"),
            ("listen", "127.0.0.1:8080/tcp"),
            ("resolve", "api.example.com"),
            ("connect", "/run/docker.sock"),
            ("connect", "@x"),
            ("bind", "@y"),
            ("socket_raw", ""),
            ("socket_other", ""),
            ("exec_privileged", ""),
            ("ptrace", ""),
            ("mount", ""),
            ("kernel", ""),
            ("signal", ""),
            ("cap_sys_admin", ""),
        ] {
            assert_eq!(verdict(&evaluator, operation, object), Verdict::Deny, "{operation} {object}");
        }
        for (operation, object) in [
            ("read", "/srv/x"),
            ("exec", "/usr/bin/sh"),
            ("exec_anonymous", ""),
            ("socket_tcp", ""),
            ("write", "/dev/null"),
            ("write", "/dev/pts/3"),
            ("create", &format!("{SCRATCH}/a/b")),
            ("delete", &format!("{SCRATCH}/a")),
            ("connect", &format!("{SCRATCH}/socket")),
        ] {
            assert_eq!(verdict(&evaluator, operation, object), Verdict::Allow, "{operation} {object}");
        }
    }

    #[test]
    fn loopback_is_open_only_if_the_spec_says_so_and_leads_to_no_name_server() {
        let evaluator = contained_evaluator(&format!("[containment]\nloopback = true\n{OPEN}"));
        for (object, wanted) in [
            ("127.0.0.1:8000/tcp", Verdict::Allow),
            ("[::1]:8000/tcp", Verdict::Allow),
            ("127.0.0.53:53/udp", Verdict::Deny),
            ("127.0.0.54:53/udp", Verdict::Deny),
            ("127.0.0.54:53/tcp", Verdict::Deny),
            ("[::1]:53/udp", Verdict::Deny),
            ("192.0.2.1:443/tcp", Verdict::Deny),
        ] {
            assert_eq!(verdict(&evaluator, "connect_address", object), wanted, "{object}");
        }
        assert_eq!(verdict(&evaluator, "listen", "127.0.0.1:8080/tcp"), Verdict::Allow);
        assert_eq!(verdict(&evaluator, "listen", "0.0.0.0:8080/tcp"), Verdict::Deny);
    }

    #[test]
    fn what_a_spec_denies_stays_denied() {
        let evaluator = contained_evaluator("[files]\ndefault = \"allow\"\ndeny = [\"**/*.pem\"]\n");
        assert_eq!(verdict(&evaluator, "read", "/srv/key.pem"), Verdict::Deny);
    }

    fn any_pattern() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "**", "var", "lib", "?"]), 1..5)
            .prop_map(|parts| format!("/{}", parts.join("/")))
    }

    proptest! {
        /// Whatever patterns are granted, a change outside the scratch directory is denied.
        #[test]
        fn no_grant_of_a_path_lets_a_sandbox_write(
            patterns in prop::collection::vec(any_pattern(), 0..6),
            path in prop::collection::vec(prop::sample::select(vec!["a", "b", "var", "lib"]), 1..5),
        ) {
            let list: Vec<String> = patterns.iter().collect::<std::collections::BTreeSet<_>>()
                .into_iter().map(|pattern| format!("{pattern:?}")).collect();
            let list = list.join(", ");
            let evaluator = contained_evaluator(&format!(
                "[files]\ndefault = \"audit\"\nwrite = [{list}]\ncreate = [{list}]\naudit = [{list}]\nhold = [{list}]\n"
            ));
            let path = format!("/{}", path.join("/"));
            for operation in ["write", "create", "delete", "attr", "link"] {
                prop_assert_eq!(verdict(&evaluator, operation, &path), Verdict::Deny);
            }
        }
    }
}
