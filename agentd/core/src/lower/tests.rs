//! What tables are made of rules, case by case, and which rulesets are refused.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Instant;

use super::*;
use crate::operation::AddressOp;
use crate::rule::{Defaults, Ports, Protocol, Source};
use crate::tables::{Attribution, Prefix};
use crate::verdict::Verdict;

const DENY: Defaults = Defaults {
    files: Verdict::Deny,
    exec: Verdict::Deny,
    network: Verdict::Deny,
    unix: Verdict::Deny,
    process: Verdict::Deny,
};

fn rule(layer: Layer, verdict: Verdict, scope: Scope) -> Rule {
    let source = Source { file: PathBuf::from("rules"), line: 1 };
    Rule { id: "r".to_owned(), layer, verdict, scope, severity: None, reason: String::new(), source }
}

fn path(ops: &[PathOp], pattern: &str) -> Scope {
    Scope::Path { ops: ops.to_vec(), pattern: pattern.to_owned(), sha256: None }
}

fn address(network: &str, protocol: Protocol, ranges: &[(u16, u16)]) -> Scope {
    let network = network.parse().expect("network");
    Scope::Address { op: AddressOp::Connect, network, ports: Ports { protocol, ranges: ranges.to_vec() } }
}

fn name(name: &str, ranges: &[(u16, u16)]) -> Scope {
    Scope::Name { name: name.to_owned(), ports: Ports { protocol: Protocol::Any, ranges: ranges.to_vec() } }
}

fn grants(scopes: impl IntoIterator<Item = Scope>) -> Ruleset {
    let rules = scopes.into_iter().map(|scope| rule(Layer::Grant, Verdict::Allow, scope)).collect();
    Ruleset { rules, defaults: DENY }
}

fn lowered(ruleset: &Ruleset) -> Tables {
    lower(ruleset).unwrap_or_else(|error| panic!("{error}"))
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("address")
}

fn prefix<'t>(tables: &'t Tables, network: &str) -> &'t Prefix {
    let wanted: crate::rule::Network = network.parse().expect("network");
    let found = |prefix: &&Prefix| {
        prefix.op == AddressOp::Connect && prefix.address == wanted.address && prefix.bits == wanted.bits
    };
    tables.prefixes.iter().find(found).expect("a prefix per network")
}

#[test]
fn row_zero_is_the_defaults_of_each_class() {
    let defaults = Defaults {
        files: Verdict::Audit,
        exec: Verdict::Allow,
        network: Verdict::Deny,
        unix: Verdict::Hold,
        process: Verdict::Deny,
    };
    let tables = lowered(&Ruleset { rules: Vec::new(), defaults });
    let row = tables.automaton.rows[0];
    for (op, verdict) in PathOp::ALL.into_iter().zip([
        Verdict::Audit,
        Verdict::Audit,
        Verdict::Audit,
        Verdict::Audit,
        Verdict::Audit,
        Verdict::Audit,
        Verdict::Allow,
        Verdict::Allow,
        Verdict::Hold,
        Verdict::Hold,
        Verdict::Deny,
        Verdict::Allow,
    ]) {
        assert_eq!(row.seen[op.index()], Answer::default_of(verdict), "{op}");
        assert_eq!(row.elsewhere[op.index()], Answer::default_of(Verdict::Allow), "{op}");
    }
    assert_eq!(tables.class(ClassOp::SocketRaw).verdict, Verdict::Deny);
    assert_eq!(tables.class(ClassOp::ExecMemfd).verdict, Verdict::Allow);
    assert_eq!(tables.capability(63).verdict, Verdict::Deny);
}

#[test]
fn both_families_have_an_entry_for_every_operation() {
    let tables = lowered(&grants([]));
    let all: Vec<String> =
        tables.prefixes.iter().map(|p| format!("{:?} {}/{}", p.op, p.address, p.bits)).collect();
    assert_eq!(all, ["Connect 0.0.0.0/0", "Connect ::/0", "Listen 0.0.0.0/0", "Listen ::/0"]);
}

#[test]
fn a_rule_on_all_of_ipv4_says_nothing_about_ipv6() {
    let tables = lowered(&grants([address("0.0.0.0/0", Protocol::Any, &[])]));
    let answer = |address| tables.address(AddressOp::Connect, ip(address), 443, Protocol::Tcp).verdict;
    assert_eq!(answer("8.8.8.8"), Verdict::Allow);
    assert_eq!(answer("::ffff:8.8.8.8"), Verdict::Allow);
    assert_eq!(answer("2001:db8::1"), Verdict::Deny);
}

#[test]
fn port_ranges_are_disjoint_and_cover_every_port() {
    let tables = lowered(&grants([
        address("10.0.0.0/8", Protocol::Tcp, &[(80, 443)]),
        address("10.0.0.0/8", Protocol::Any, &[(443, 443), (8000, 9000)]),
        address("10.1.0.0/16", Protocol::Udp, &[(53, 53)]),
    ]));
    let ranges = &prefix(&tables, "10.0.0.0/8").ranges;
    let shape: Vec<(u16, u16, Protocol, u32)> =
        ranges.iter().map(|range| (range.low, range.high, range.protocol, range.grant.rule.0)).collect();
    assert_eq!(
        shape,
        [
            (80, 442, Protocol::Tcp, 1),
            (0, 442, Protocol::Any, 0),
            (443, 443, Protocol::Any, 2),
            (444, 7999, Protocol::Any, 0),
            (8000, 9000, Protocol::Any, 2),
            (9001, 65535, Protocol::Any, 0),
        ]
    );
    let inner = |port, protocol| tables.address(AddressOp::Connect, ip("10.1.2.3"), port, protocol).rule.0;
    assert_eq!((inner(53, Protocol::Udp), inner(53, Protocol::Tcp), inner(80, Protocol::Tcp)), (3, 0, 1));
}

#[test]
fn a_longer_prefix_wins_within_a_layer_and_the_stricter_between_layers() {
    let mut ruleset =
        grants([address("10.0.0.0/8", Protocol::Any, &[]), address("10.1.0.0/16", Protocol::Any, &[])]);
    ruleset.rules[1].verdict = Verdict::Deny;
    ruleset.rules.push(rule(Layer::Guardrail, Verdict::Deny, address("10.2.0.0/16", Protocol::Any, &[])));
    ruleset.rules.push(rule(Layer::Guardrail, Verdict::Allow, address("10.1.2.0/24", Protocol::Any, &[])));
    let tables = lowered(&ruleset);
    for (peer, verdict, by) in [
        ("10.0.0.1", Verdict::Allow, 1),
        ("10.1.0.1", Verdict::Deny, 2),
        ("10.2.0.1", Verdict::Deny, 3),
        ("10.1.2.1", Verdict::Deny, 2),
        ("11.0.0.1", Verdict::Deny, 0),
    ] {
        let answer = tables.address(AddressOp::Connect, ip(peer), 1, Protocol::Tcp);
        assert_eq!((answer.verdict, answer.rule.0), (verdict, by), "{peer}");
    }
}

#[test]
fn too_many_port_ranges_are_refused_by_name() {
    let scopes = (0..70).map(|n| address("10.0.0.0/8", Protocol::Tcp, &[(n * 10, n * 10)]));
    assert!(
        matches!(lower(&grants(scopes)), Err(LowerError::TooManyRanges { of, .. }) if of == "10.0.0.0/8")
    );
    let scopes = (0..3000).map(|n| address("10.0.0.0/8", Protocol::Tcp, &[(n * 10, n * 10)]));
    let error = lower(&grants(scopes)).map(|_| ()).expect_err("too many").to_string();
    assert!(error.contains("r (rules:1)") && error.contains("and 2996 more"), "{error}");
}

#[test]
fn grants_of_one_name_put_their_ports_together() {
    let mut ruleset = grants([
        name("api.example.com", &[(443, 443)]),
        name("api.example.com", &[(80, 80)]),
        name("*.example.com", &[]),
        name("bad.example.com", &[]),
    ]);
    ruleset.rules[3].verdict = Verdict::Deny;
    let tables = lowered(&ruleset);
    let lows = |rule: usize| tables.names[rule].iter().map(|range| range.low).collect::<Vec<_>>();
    assert_eq!((lows(0), lows(1), lows(2), lows(3)), (vec![80, 443], vec![80, 443], vec![0], vec![]));
    let followed = |name: &str| (tables.name(name).verdict, tables.name(name).rule.0);
    assert_eq!(followed("API.Example.COM."), (Verdict::Allow, 1));
    assert_eq!(followed("a.b.example.com"), (Verdict::Allow, 3));
    assert_eq!(followed("bad.example.com"), (Verdict::Deny, 4));
    assert_eq!(followed("example.com"), (Verdict::Deny, 0));
}

#[test]
fn a_granted_name_opens_its_ports_on_an_address_that_no_grant_names() {
    let mut ruleset =
        grants([name("api.example.com", &[(443, 443)]), address("10.9.0.0/16", Protocol::Any, &[])]);
    ruleset.rules[1].verdict = Verdict::Deny;
    ruleset.rules.push(rule(Layer::Guardrail, Verdict::Deny, address("169.254.169.254", Protocol::Any, &[])));
    let tables = lowered(&ruleset);
    let names = [tables.name("api.example.com")];
    let answer = |peer, port| tables.named_address(&names, ip(peer), port, Protocol::Tcp).verdict;
    assert_eq!(answer("93.184.216.34", 443), Verdict::Allow);
    assert_eq!(answer("93.184.216.34", 80), Verdict::Deny);
    assert_eq!(answer("169.254.169.254", 443), Verdict::Deny);
    assert_eq!(answer("10.9.0.1", 443), Verdict::Deny);
}

#[test]
fn elsewhere_only_denials_are_heard() {
    let mut ruleset = grants([path(&[PathOp::Read], "/srv/**"), path(&[PathOp::Read], "**/*.pem")]);
    ruleset.rules[1].verdict = Verdict::Deny;
    ruleset.rules.push(rule(Layer::Guardrail, Verdict::Deny, path(&[PathOp::Read], "/srv/secret/**")));
    let tables = lowered(&ruleset);
    for (text, seen, elsewhere) in [
        ("/srv/a", (Verdict::Allow, 1), (Verdict::Allow, 0)),
        ("/srv/a.pem", (Verdict::Allow, 1), (Verdict::Deny, 2)),
        ("/x/a.pem", (Verdict::Deny, 2), (Verdict::Deny, 2)),
        ("/srv/secret/x", (Verdict::Deny, 3), (Verdict::Deny, 3)),
        ("/other", (Verdict::Deny, 0), (Verdict::Allow, 0)),
    ] {
        let as_pair = |answer: Answer| (answer.verdict, answer.rule.0);
        assert_eq!(as_pair(tables.path(PathOp::Read, text.as_bytes())), seen, "{text}");
        assert_eq!(as_pair(tables.path_elsewhere(PathOp::Read, text.as_bytes())), elsewhere, "{text}");
    }
}

#[test]
fn a_pinned_executable_stays_pinned_whatever_the_guardrails_allow() {
    let hash = "0".repeat(64);
    let exec = |pattern: &str, sha256: Option<String>| Scope::Path {
        ops: vec![PathOp::Exec, PathOp::MapExec],
        pattern: pattern.to_owned(),
        sha256,
    };
    let mut ruleset = grants([
        exec("/opt/tool", Some(hash.clone())),
        exec("/opt/denied", Some(hash.clone())),
        exec("/opt/**", None),
    ]);
    ruleset.rules.push(rule(Layer::Guardrail, Verdict::Allow, exec("/opt/tool", None)));
    ruleset.rules.push(rule(Layer::Guardrail, Verdict::Deny, exec("/opt/denied", None)));
    let tables = lowered(&ruleset);
    let answer = tables.path(PathOp::Exec, b"/opt/tool");
    assert!(answer.pinned && answer.verdict == Verdict::Allow);
    assert!(
        !tables.path(PathOp::Exec, b"/opt/denied").pinned && !tables.path(PathOp::Exec, b"/opt/x").pinned
    );
    let pinned: Vec<(&str, bool)> =
        tables.pinned.iter().map(|file| (file.path.as_str(), file.answer.pinned)).collect();
    assert_eq!(pinned, [("/opt/tool", false)]);
}

#[test]
fn an_audit_guardrail_on_a_name_does_not_hide_its_grant() {
    let mut ruleset = grants([name("api.example.com", &[(443, 443)])]);
    ruleset.rules.push(rule(Layer::Guardrail, Verdict::Audit, path(&[PathOp::Resolve], "dns:*")));
    assert_eq!(lowered(&ruleset).name("api.example.com").rule.0, 1);
    ruleset.rules[1].verdict = Verdict::Deny;
    assert_eq!(lowered(&ruleset).name("api.example.com").verdict, Verdict::Deny);
}

#[test]
fn rules_that_no_table_can_hold_are_refused() {
    let host_bits = Scope::Address {
        op: AddressOp::Connect,
        network: crate::rule::Network { address: ip("10.0.0.1"), bits: 8 },
        ports: Ports::ALL,
    };
    let wild_hash =
        Scope::Path { ops: vec![PathOp::Exec], pattern: "/a/*".to_owned(), sha256: Some("0".to_owned()) };
    for (scope, part) in [
        (path(&[], "/a"), "speaks about no operation"),
        (path(&[PathOp::Read], "a"), "not a path from `/`"),
        (wild_hash, "without wildcards"),
        (host_bits, "write 10.0.0.0/8"),
        (address("10.0.0.0/8", Protocol::Any, &[(2, 1)]), "ends before it starts"),
        (name("Example.com", &[]), "not in lower case"),
        (Scope::Capability { number: 64 }, "above 63"),
    ] {
        let error = lower(&grants([scope])).map(|_| ()).expect_err(part).to_string();
        assert!(error.contains(part) && error.starts_with("rules:1: rule r"), "{error}");
    }
}

#[test]
fn patterns_that_multiply_are_refused_with_their_rules() {
    let bomb =
        grants([path(&[PathOp::Read], "/etc/**"), path(&[PathOp::Read], &format!("**a{}", "?".repeat(40)))]);
    let rules = validate::indexed(&bomb.rules).unwrap_or_else(|error| panic!("{error}"));
    let attempts = [(Attribution::Exact, 100), (Attribution::Shared, 10_000)];
    let error = paths::first_within(attempts, &rules, &bomb.defaults)
        .map(|_| ())
        .expect_err("multiplies")
        .to_string();
    assert!(error.contains("r (rules:1)") && error.contains("10000 states; use fewer wildcards"), "{error}");
}

#[test]
fn many_rules_with_common_suffix_guardrails_stay_small() {
    let suffixes = ["pem", "key", "p12", "pfx", "jks", "crt", "kdbx", "ovpn", "asc", "gpg", "env", "tfstate"];
    let all = [PathOp::Read, PathOp::Write, PathOp::Create, PathOp::Delete, PathOp::Attr, PathOp::Link];
    let mut ruleset =
        grants((0..2_000).map(|n| path(&[PathOp::Read], &format!("/srv/data/project-{n:05}/**"))));
    for suffix in suffixes {
        let scope = path(&all, &format!("**/*.{suffix}"));
        ruleset.rules.push(rule(Layer::Guardrail, Verdict::Deny, scope));
    }
    let started = Instant::now();
    let tables = lowered(&ruleset);
    assert_eq!(tables.attribution, Attribution::SharedAllows);
    assert!(tables.words() < 100_000, "{} words", tables.words());
    assert!(started.elapsed().as_secs() < 20);
    let key = tables.path(PathOp::Read, b"/srv/data/project-01999/deep/a.pem");
    assert_eq!((key.verdict, key.layer, key.rule.0), (Verdict::Deny, Layer::Guardrail, 2_001));
    let plain = tables.path(PathOp::Read, b"/srv/data/project-01999/deep/a.txt");
    assert_eq!((plain.verdict, plain.layer), (Verdict::Allow, Layer::Grant));
    assert_eq!(tables.path(PathOp::Read, b"/srv/data/project-02000/a").verdict, Verdict::Deny);
}

/// Rules are read back from the kernel and compared with what they should be, word by word, by another process.
#[test]
fn the_same_rules_become_the_same_tables() {
    let patterns = [
        "/usr/**",
        "/srv/*/data/**",
        "**/*.pem",
        "/home/*/.ssh/**",
        "/etc/{passwd,group}",
        "/a/b/c?",
        "/proc/[0-9]*/maps",
    ];
    let ops = [PathOp::Read, PathOp::Write, PathOp::Create];
    let scopes = patterns.iter().zip(ops.iter().cycle()).map(|(pattern, op)| path(&[*op], pattern));
    let peers = ["10.0.0.0/8", "0.0.0.0/0", "10.1.2.3/32"]
        .map(|to| address(to, Protocol::Tcp, &[(80, 90), (443, 443)]));
    let ruleset = grants(scopes.chain(peers).chain([name("a.example", &[(443, 443)])]));
    let first = lowered(&ruleset);
    for _ in 0..20 {
        assert_eq!(lowered(&ruleset), first);
    }
}
