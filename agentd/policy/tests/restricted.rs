//! A restricted agent under the shipped policy: nothing that its spec grants, and no exception in any pack, opens what
//! restriction closes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use agentguard_core::decide::{Evaluator, Request};
use agentguard_core::operation::{AddressOp, ClassOp, PathOp};
use agentguard_core::rule::{Network, Protocol, Ruleset, Scope};
use agentguard_core::spec::{Spec, Variables};
use agentguard_core::verdict::{Layer, Verdict};
use agentguard_core::{lower, rule};
use agentguard_policy::{AgentFacts, HostFacts, Input, PolicySet};

/// As much as a spec can grant, for the tier and role that policy trusts most.
const EVERYTHING: &str = r#"
[agent]
name = "everything"
role = "compliance"
tier = 1
mode = "enforce"
[variables]
workspace = ""
[files]
default = "allow"
delete = ["/etc/cron.d/*", "${workspace}/**", "/tmp/**"]
[exec]
default = "allow"
anonymous = "allow"
memfd = "allow"
privileged = "allow"
[network]
default = "allow"
connect = [
    { to = "0.0.0.0/0" }, { to = "::/0" }, { to = "203.0.113.7", ports = [22, 443] }, { to = "github.com", ports = [443] },
]
listen = [{ on = "0.0.0.0/0" }, { on = "203.0.113.7", ports = [8080] }]
hold = [{ to = "10.2.0.0/16", ports = [5432] }]
sockets = ["tcp", "udp", "unix", "netlink-route", "netlink", "ping", "raw", "packet", "other"]
[unix]
default = "allow"
connect = ["/run/foo.sock", "@name", "${workspace}/**"]
[process]
default = "allow"
capabilities = ["cap_setuid"]
allow = ["set-id", "user-namespace", "ptrace", "signal", "mount", "kernel", "io-uring"]
"#;

const WORKSPACE: &str = "/srv/work";

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies").canonicalize().unwrap()
}

fn everything(state: &str, nameservers: &[&str]) -> Ruleset {
    let mut variables = Variables::of_user("/home/ada", "ada", 1000);
    variables.set("workspace", WORKSPACE).unwrap();
    let spec =
        Spec::parse(EVERYTHING, Path::new("everything.toml")).unwrap_or_else(|error| panic!("{error}"));
    let spec = spec.resolve(&variables).unwrap_or_else(|error| panic!("{error}"));
    let input = Input {
        agent: AgentFacts::of(spec.spec(), 1000, "/home/ada", spec.variables(), state).unwrap(),
        host: HostFacts {
            hostname: "test".to_owned(),
            kernel: "6.1.0".to_owned(),
            backend: "lsm".to_owned(),
            runtime_sockets: Vec::new(),
            nameservers: nameservers.iter().map(|address| address.parse().unwrap()).collect(),
            interfaces: Vec::new(),
        },
    };
    let set = PolicySet::read(&policies()).unwrap_or_else(|errors| panic!("{errors}"));
    let mut rules = set.guardrails(&input).unwrap_or_else(|errors| panic!("{errors}"));
    rules.extend(spec.rules());
    rules.extend(spec.resolver_rules(&input.host.nameservers));
    Ruleset { rules, defaults: spec.defaults() }
}

/// On a host whose resolver is also the cloud's metadata address: policy makes its widest exceptions there.
fn restricted() -> &'static Evaluator {
    static RESTRICTED: LazyLock<Evaluator> = LazyLock::new(|| {
        let rules = everything("GOVERNED_RESTRICTED", &["192.0.2.53", "169.254.169.254"]);
        Evaluator::new(Arc::new(rules)).unwrap()
    });
    &RESTRICTED
}

fn verdict(op: AddressOp, address: &str, port: u16, protocol: Protocol) -> Verdict {
    let names = vec!["github.com".to_owned()];
    let request = Request::Address { op, address: address.parse().unwrap(), port, protocol, names };
    restricted().explain(&request).result.verdict
}

fn on_path(op: PathOp, text: &str) -> Verdict {
    restricted().explain(&Request::Path { op, text: text.as_bytes().to_vec() }).result.verdict
}

fn guardrails() -> impl Iterator<Item = &'static rule::Rule> {
    restricted().ruleset().rules.iter().filter(|rule| rule.layer == Layer::Guardrail)
}

fn is_loopback(network: &Network) -> bool {
    let wide = if network.address.is_ipv4() { 8 } else { 128 };
    network.address.is_loopback() && network.bits >= wide
}

#[test]
fn nothing_but_loopback_connects_or_listens_whatever_the_spec_grants() {
    let addresses = [
        "203.0.113.7",
        "10.2.0.1",
        "192.0.2.53",
        "169.254.169.254",
        "140.82.121.3",
        "126.255.255.255",
        "128.0.0.1",
        "2001:db8::1",
        "::2",
        "fe80::1",
        "224.0.0.1",
    ];
    for address in addresses {
        for port in [0, 22, 53, 80, 443, 5432, 8080, 65535] {
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Any] {
                for op in [AddressOp::Connect, AddressOp::Listen] {
                    assert_eq!(verdict(op, address, port, protocol), Verdict::Deny, "{op} {address} {port}");
                }
            }
        }
    }
    assert_eq!(verdict(AddressOp::Connect, "127.0.0.1", 8080, Protocol::Tcp), Verdict::Allow);
    assert_eq!(verdict(AddressOp::Listen, "::1", 8080, Protocol::Tcp), Verdict::Allow);
}

/// The same for every address and port that there is: the most specific guardrail wins, so only one that does not deny
/// could open what the broadest one closes.
#[test]
fn no_guardrail_of_any_pack_makes_an_exception_outside_of_loopback() {
    for rule in guardrails().filter(|rule| rule.verdict != Verdict::Deny) {
        if let Scope::Address { network, .. } = &rule.scope {
            assert!(is_loopback(network), "{} opens {network:?}", rule.id);
        }
    }
}

#[test]
fn no_guardrail_of_any_pack_lets_anything_be_deleted_but_what_git_makes() {
    for rule in guardrails().filter(|rule| rule.verdict != Verdict::Deny) {
        if matches!(&rule.scope, Scope::Path { ops, .. } if ops.contains(&PathOp::Delete)) {
            assert!(
                ["repository.git_locks", "restriction.git_temporary_files"].contains(&rule.id.as_str()),
                "{} lets files be deleted",
                rule.id
            );
        }
    }
}

#[test]
fn resolvers_and_proxies_of_this_host_are_closed() {
    for port in [25, 53, 3128, 5353, 9050] {
        assert_eq!(verdict(AddressOp::Connect, "127.0.0.53", port, Protocol::Udp), Verdict::Deny, "{port}");
        assert_eq!(verdict(AddressOp::Connect, "::1", port, Protocol::Tcp), Verdict::Deny, "{port}");
    }
    for socket in ["/run/foo.sock", "/var/run/nscd/socket", "@name", "/run/user/1000/bus"] {
        assert_eq!(on_path(PathOp::Connect, socket), Verdict::Deny, "{socket}");
    }
    assert_eq!(on_path(PathOp::Connect, "/srv/work/db.sock"), Verdict::Allow);
}

#[test]
fn files_are_read_and_written_but_not_deleted_and_a_commit_can_be_made() {
    for path in ["/srv/work/a", "/tmp/x", "/etc/cron.d/x", "/srv/work/.git/index", "/srv/work/Cargo.lock"] {
        assert_eq!(on_path(PathOp::Delete, path), Verdict::Deny, "{path}");
    }
    for path in [
        "/srv/work/.git/index.lock",
        "/srv/work/sub/.git/refs/heads/main.lock",
        "/srv/work/.git/objects/ab/tmp_obj_x",
        "/srv/work/.git/objects/pack/tmp_pack_x",
    ] {
        assert_eq!(on_path(PathOp::Delete, path), Verdict::Allow, "{path}");
    }
    for op in [PathOp::Read, PathOp::Write, PathOp::Create] {
        assert_eq!(on_path(op, "/srv/work/a"), Verdict::Allow, "{op}");
    }
    assert_eq!(on_path(PathOp::Write, "/etc/cron.d/x"), Verdict::Deny, "the trust of tier 1 is gone");
}

#[test]
fn publishing_is_denied_before_it_is_evaluated() {
    for command in [
        "git push",
        "/usr/bin/git push origin main",
        "npm publish --access public",
        "ssh host true",
        "crontab",
    ] {
        assert_eq!(on_path(PathOp::Command, &format!("argv:{command}")), Verdict::Deny, "{command}");
    }
    assert_eq!(on_path(PathOp::Command, "argv:git commit -m x"), Verdict::Evaluate);
    assert_eq!(on_path(PathOp::Command, "argv:make test"), Verdict::Allow);
}

#[test]
fn no_privilege_is_gained_and_ordinary_programs_run() {
    let class = |op| restricted().explain(&Request::Class(op)).result.verdict;
    let open = [
        ClassOp::SocketTcp,
        ClassOp::SocketUdp,
        ClassOp::SocketUnix,
        ClassOp::SocketNetlinkRoute,
        ClassOp::ExecAnonymous,
        ClassOp::ReceiveFd,
    ];
    for op in ClassOp::ALL {
        let expected = if open.contains(&op) { Verdict::Allow } else { Verdict::Deny };
        assert_eq!(class(op), expected, "{op}");
    }
    let setuid = agentguard_core::capability::number("cap_setuid").unwrap();
    assert_eq!(restricted().explain(&Request::Capability(setuid)).result.verdict, Verdict::Deny);
}

#[test]
fn the_restricted_rules_fit_into_tables_and_other_states_have_none_of_them() {
    let rules = everything("GOVERNED_RESTRICTED", &["192.0.2.53"]);
    let tables = lower(&rules).unwrap_or_else(|error| panic!("{error}"));
    println!("{} states, {} words", tables.automaton.states.len(), tables.words());
    for state in ["UNREGISTERED", "SANDBOX", "GOVERNED_VALID", "GOVERNED_INVALIDATED"] {
        let rules = everything(state, &["192.0.2.53"]).rules;
        assert!(rules.iter().all(|rule| !rule.id.starts_with("restriction.")), "{state}");
    }
}
