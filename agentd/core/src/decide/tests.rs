//! Tables and rules must say the same about everything.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::operation::Operation;
use crate::rule::{Defaults, Ports, Rule, Ruleset, Scope, Source};
use crate::tables::{Attribution, Edge, State};
use crate::{lower, lower_compact};

fn verdicts() -> impl Strategy<Value = Verdict> {
    select(Verdict::ALL.to_vec())
}

fn defaults() -> impl Strategy<Value = Defaults> {
    (verdicts(), verdicts(), verdicts(), verdicts(), verdicts())
        .prop_map(|(files, exec, network, unix, process)| Defaults { files, exec, network, unix, process })
}

fn ports() -> impl Strategy<Value = Ports> {
    let range = (select(vec![0_u16, 1, 5, 9, 65535]), select(vec![0_u16, 1, 5, 9, 65535]))
        .prop_map(|(a, b)| (a.min(b), a.max(b)));
    let protocol = select(vec![Protocol::Any, Protocol::Tcp, Protocol::Udp]);
    (protocol, proptest::collection::vec(range, 0..3))
        .prop_map(|(protocol, ranges)| Ports { protocol, ranges })
}

const NETWORKS: [&str; 8] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.3",
    "::/0",
    "2001:db8::/32",
    "2001:db8::1",
    "::ffff:10.1.0.0/112",
];
const PEERS: [&str; 7] =
    ["10.1.2.3", "10.1.9.9", "10.9.9.9", "11.1.1.1", "::ffff:10.1.2.3", "2001:db8::1", "::1"];
const NAMES: [&str; 4] = ["a.example", "*.example", "b.a.example", "*.a.example"];

fn scopes() -> impl Strategy<Value = Scope> {
    let ops = proptest::collection::vec(select(PathOp::ALL.to_vec()), 1..4);
    let pattern =
        "/(a|b)?(/(a|b|\\*|\\*\\*|\\{a,b/c\\})){0,2}(/\\*\\*)?|\\*\\*/(a|\\*b)|@a\\*?|argv:(a|\\*b)";
    let path = (ops, pattern).prop_map(|(ops, pattern)| {
        let pattern =
            if crate::pattern::Pattern::parse(&pattern).is_ok() { pattern } else { "/a".to_owned() };
        Scope::Path { ops, pattern, sha256: None }
    });
    let pinned = select(vec!["/a", "/b", "/a/b"]).prop_map(|pattern| Scope::Path {
        ops: vec![PathOp::Exec, PathOp::MapExec],
        pattern: pattern.to_owned(),
        sha256: Some("0".repeat(64)),
    });
    let op = select(AddressOp::ALL.to_vec());
    let address = (op, select(NETWORKS.to_vec()), ports()).prop_map(|(op, network, ports)| Scope::Address {
        op,
        network: network.parse().expect("network"),
        ports,
    });
    let name = (select(NAMES.to_vec()), ports())
        .prop_map(|(name, ports)| Scope::Name { name: name.to_owned(), ports });
    let class = select(ClassOp::ALL.to_vec()).prop_map(|op| Scope::Class { op });
    let capability = (0_u8..4).prop_map(|number| Scope::Capability { number });
    prop_oneof![8 => path, 1 => pinned, 5 => address, 3 => name, 2 => class, 1 => capability]
}

fn rulesets() -> impl Strategy<Value = Ruleset> {
    let layer = select(vec![Layer::Guardrail, Layer::Grant]);
    let rule = (layer, verdicts(), scopes()).prop_map(|(layer, verdict, scope)| Rule {
        id: "r".to_owned(),
        layer,
        verdict,
        scope,
        severity: None,
        reason: String::new(),
        source: Source { file: PathBuf::from("rules"), line: 1 },
    });
    (proptest::collection::vec(rule, 0..14), defaults())
        .prop_map(|(rules, defaults)| Ruleset { rules, defaults })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn tables_and_rules_agree_about_texts(
        ruleset in rulesets(),
        texts in proptest::collection::vec("(/[abc]){1,4}|/|@[ab]{1,2}|argv:[ab]{1,2}", 1..10),
    ) {
        let tables = lower(&ruleset).unwrap_or_else(|error| panic!("{error}"));
        let rules = Evaluator::new(Arc::new(ruleset)).expect("patterns");
        for text in texts {
            for op in PathOp::ALL {
                let request = Request::Path { op, text: text.clone().into_bytes() };
                prop_assert_eq!(tables.path(op, text.as_bytes()), rules.explain(&request).result, "{} {}", op, text);
                prop_assert_eq!(
                    tables.path_elsewhere(op, text.as_bytes()),
                    rules.explain_elsewhere(op, text.as_bytes()).result,
                    "{} {} elsewhere", op, text
                );
            }
        }
    }

    #[test]
    fn compact_tables_differ_at_most_in_which_of_two_alike_rules_they_name(
        ruleset in rulesets(),
        texts in proptest::collection::vec("(/[abc]){1,4}|@[ab]{1,2}|argv:[ab]{1,2}", 1..10),
    ) {
        let exact = lower(&ruleset).unwrap_or_else(|error| panic!("{error}"));
        for attribution in [Attribution::SharedAllows, Attribution::Shared] {
            let compact = lower_compact(&ruleset, attribution).unwrap_or_else(|error| panic!("{error}"));
            prop_assert_eq!(compact.attribution, attribution);
            for (op, text) in PathOp::ALL.into_iter().flat_map(|op| texts.iter().map(move |text| (op, text.as_bytes()))) {
                let pairs = [
                    (exact.path(op, text), compact.path(op, text)),
                    (exact.path_elsewhere(op, text), compact.path_elsewhere(op, text)),
                ];
                for (left, right) in pairs {
                    prop_assert_eq!(
                        (left.verdict, left.layer, left.pinned), (right.verdict, right.layer, right.pinned));
                    let exactly = attribution == Attribution::SharedAllows && left.verdict != Verdict::Allow;
                    prop_assert!(left.rule == right.rule || !exactly);
                }
            }
        }
    }

    #[test]
    fn tables_and_rules_agree_about_addresses(ruleset in rulesets()) {
        let tables = lower(&ruleset).unwrap_or_else(|error| panic!("{error}"));
        let rules = Evaluator::new(Arc::new(ruleset)).expect("patterns");
        let names = ["x.b.a.example", "b.a.example", "A.example."].map(str::to_owned);
        for peer in PEERS {
            let address: IpAddr = peer.parse().expect("address");
            for (port, protocol) in [0, 1, 3, 5, 9, 65535].into_iter()
                .flat_map(|port| [Protocol::Tcp, Protocol::Udp, Protocol::Any].map(|protocol| (port, protocol)))
            {
                for op in AddressOp::ALL {
                    let request = Request::Address { op, address, port, protocol, names: Vec::new() };
                    let (by_tables, by_rules) = (tables.address(op, address, port, protocol), rules.explain(&request));
                    prop_assert_eq!(by_tables, by_rules.result, "{} {} {} {}", op, peer, port, protocol);
                }
                let request =
                    Request::Address { op: AddressOp::Connect, address, port, protocol, names: names.to_vec() };
                let followed: Vec<Answer> = names.iter().map(|name| tables.name(name)).collect();
                let by_tables = tables.named_address(&followed, address, port, protocol);
                prop_assert_eq!(by_tables, rules.explain(&request).result, "names {} {} {}", peer, port, protocol);
            }
        }
    }

    #[test]
    fn tables_and_rules_agree_about_classes_and_capabilities(ruleset in rulesets()) {
        let tables = lower(&ruleset).unwrap_or_else(|error| panic!("{error}"));
        let rules = Evaluator::new(Arc::new(ruleset)).expect("patterns");
        for op in ClassOp::ALL {
            prop_assert_eq!(tables.class(op), rules.explain(&Request::Class(op)).result);
        }
        for number in 0..64 {
            prop_assert_eq!(tables.capability(number), rules.explain(&Request::Capability(number)).result);
        }
    }

    #[test]
    fn ranges_of_every_prefix_are_disjoint_and_cover_all_ports(ruleset in rulesets()) {
        let tables = lower(&ruleset).unwrap_or_else(|error| panic!("{error}"));
        for prefix in &tables.prefixes {
            prop_assert!(prefix.ranges.len() <= crate::MAX_RANGES);
            let any: Vec<_> = prefix.ranges.iter().filter(|range| range.protocol == Protocol::Any).collect();
            prop_assert_eq!(any.first().map(|range| range.low), Some(0));
            prop_assert_eq!(any.last().map(|range| range.high), Some(65535));
            prop_assert!(any.windows(2).all(|pair| pair[0].high.checked_add(1) == Some(pair[1].low)));
            let first_any = prefix.ranges.iter().position(|range| range.protocol == Protocol::Any);
            prop_assert!(prefix.ranges.iter().skip(first_any.unwrap_or(0)).all(|r| r.protocol == Protocol::Any));
        }
    }

    #[test]
    fn unsound_tables_deny_and_never_panic(
        start in any::<u32>(),
        states in proptest::collection::vec((any::<u32>(), any::<u32>(), any::<u32>()), 0..4),
        comb in proptest::collection::vec((0_u32..5, any::<u32>()), 0..4),
        text in proptest::collection::vec(any::<u8>(), 0..8),
    ) {
        let states = states.into_iter().map(|(base, otherwise, row)| State { base, otherwise, row }).collect();
        let comb = comb.into_iter().map(|(owner, next)| Edge { owner, next }).collect();
        let automaton = Automaton { start, classes: [255; 256], states, comb, rows: Vec::new() };
        prop_assert!(automaton.row(&text).is_none());
    }
}

fn one_grant(scope: Scope) -> Evaluator {
    let rule = Rule {
        id: "files.read[0]".to_owned(),
        layer: Layer::Grant,
        verdict: Verdict::Allow,
        scope,
        severity: None,
        reason: String::new(),
        source: Source { file: PathBuf::from("agent.toml"), line: 3 },
    };
    let deny = Verdict::Deny;
    let defaults = Defaults { files: deny, exec: deny, network: deny, unix: deny, process: deny };
    Evaluator::new(Arc::new(Ruleset { rules: vec![rule], defaults })).expect("pattern")
}

#[test]
fn an_explanation_names_the_rule_of_each_layer() {
    let rules =
        one_grant(Scope::Path { ops: vec![PathOp::Read], pattern: "/srv/**".to_owned(), sha256: None });
    let request = |object| Request::parse(Operation::Path(PathOp::Read), object).expect("request");
    let granted = request("/srv/x");
    let explanation = rules.explain(&granted);
    assert_eq!(explanation.grant.map(|rule| rule.id.as_str()), Some("files.read[0]"));
    assert!(explanation.guardrail.is_none() && explanation.result.layer == Layer::Grant);
    let other = request("/srv");
    assert_eq!(rules.explain(&other).result, Answer::default_of(Verdict::Deny));
}

#[test]
fn requests_are_read_as_users_write_them() {
    let parse = |op: &str, object: &str| {
        let op: Operation = op.parse().expect("operation");
        Request::parse(op, object)
    };
    let text = |request: Result<Request, RequestError>| match request {
        Ok(Request::Path { text, .. }) => String::from_utf8(text).expect("text"),
        other => panic!("{other:?}"),
    };
    assert_eq!(text(parse("read", "/etc/passwd")), "/etc/passwd");
    assert_eq!(text(parse("resolve", "API.Example.com.")), "dns:api.example.com");
    assert_eq!(text(parse("command", "rm -rf /")), "argv:rm -rf /");
    assert_eq!(text(parse("connect", "@bus")), "@bus");
    let peer = |address: &str, port, protocol| {
        let address = address.parse().expect("address");
        Ok(Request::Address { op: AddressOp::Connect, address, port, protocol, names: Vec::new() })
    };
    assert_eq!(parse("connect_address", "10.0.0.1:443"), peer("10.0.0.1", 443, Protocol::Tcp));
    assert_eq!(parse("connect_address", "[::ffff:10.0.0.1]:53/udp"), peer("10.0.0.1", 53, Protocol::Udp));
    assert_eq!(parse("connect_address", "[2001:db8::1]:1/any"), peer("2001:db8::1", 1, Protocol::Any));
    let Ok(Request::Address { names, port: 443, .. }) = parse("connect_address", "api.example.com:443")
    else {
        panic!("a name with a port is a peer");
    };
    assert_eq!(names, ["api.example.com"]);
    assert_eq!(parse("socket_raw", ""), Ok(Request::Class(ClassOp::SocketRaw)));
    assert_eq!(parse("cap_net_raw", ""), Ok(Request::Capability(13)));
    for (op, object) in [
        ("read", "etc"),
        ("read", "/etc/"),
        ("read", "/a/../b"),
        ("read", ""),
        ("bind", "/run/x"),
        ("connect_address", "10.0.0.1"),
        ("connect_address", "::1:443"),
        ("connect_address", "10.0.0.1:443/sctp"),
        ("connect_address", "10.0.0.256:443"),
        ("connect_address", "a..b:443"),
        ("connect_address", "0x7f.1:443"),
        ("connect_address", "127.0x1:443"),
        ("listen", "api.example.com:443"),
        ("socket_raw", "x"),
        ("cap_net_raw", "cap_none"),
    ] {
        assert!(parse(op, object).is_err(), "{op} {object}");
    }
}
