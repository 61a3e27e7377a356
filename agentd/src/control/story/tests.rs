use std::path::Path;

use agentguard_core::ids::RuleIndex;
use agentguard_core::rule::{Scope, Source};
use agentguard_core::spec::{Spec, Variables};
use agentguard_core::verdict::Severity;

use super::*;
use crate::testing::{SPEC, record};

fn rules(verdict: Verdict) -> Ruleset {
    let spec = Spec::parse(SPEC, Path::new("tester.toml")).unwrap();
    let resolved = spec.resolve(&Variables::of_user("/home/a", "a", 1000)).unwrap();
    let guardrail = Rule {
        id: "small.secrets".to_owned(),
        layer: Layer::Guardrail,
        verdict,
        scope: Scope::Path { ops: vec![PathOp::Read], pattern: "/srv/secret/**".to_owned(), sha256: None },
        severity: Some(Severity::Critical),
        reason: "secrets are never for agents".to_owned(),
        source: Source { file: "small.rego".into(), line: 3 },
    };
    let mut rules = vec![guardrail];
    rules.extend(resolved.rules());
    Ruleset { rules, defaults: resolved.defaults() }
}

fn remedy_of(operation: &str, object: &str) -> Remedy {
    let evaluator = evaluator(rules(Verdict::Deny)).unwrap();
    let request = Request::parse(operation.parse().unwrap(), object).unwrap();
    remedy(&evaluator.explain(&request), &request)
}

#[test]
fn no_spec_can_lift_a_guardrail() {
    let remedy = remedy_of("read", "/srv/secret/key");
    assert!(!remedy.possible);
    assert!(
        remedy.text.contains("no spec can lift this guardrail") && remedy.text.contains("small.rego:3"),
        "{}",
        remedy.text
    );
}

#[test]
fn a_missing_grant_is_given_as_a_line() {
    for (operation, object, line) in [
        ("write", "/srv/a", "[files]\nwrite = [\"/srv/a\"]"),
        ("read", "/srv/a[1]*", "[files]\nread = [\"/srv/a\\\\[1\\\\]\\\\*\"]"),
        ("exec", "/opt/tool", "[exec]\nallow = [\"/opt/tool\"]"),
        (
            "connect_address",
            "10.0.0.1:443",
            "[network]\nconnect = [{ to = \"10.0.0.1\", ports = [443], protocol = \"tcp\" }]",
        ),
        ("socket_raw", "", "[network]\nsockets = [\"raw\"]"),
        ("cap_sys_admin", "", "[process]\ncapabilities = [\"cap_sys_admin\"]"),
        ("exec_memfd", "", "[exec]\nmemfd = \"allow\""),
    ] {
        let remedy = remedy_of(operation, object);
        assert!(remedy.possible, "{operation} {object}");
        assert_eq!(remedy.spec.as_deref(), Some(line), "{operation} {object}");
    }
}

/// What is proposed must work: the spec with the line in it allows the request.
#[test]
fn the_proposed_line_allows_the_request() {
    for (operation, object) in
        [("write", "/srv/a"), ("read", "/srv/a[1]*"), ("connect_address", "10.0.0.1:443")]
    {
        let line = remedy_of(operation, object).spec.unwrap();
        let (table, entry) = line.split_once('\n').unwrap();
        let key = entry.split(' ').next().unwrap();
        let text =
            SPEC.lines().filter(|line| !line.starts_with(&format!("{key} ="))).collect::<Vec<_>>().join("\n");
        let text = text.replace(table, &line);
        let spec = Spec::parse(&text, Path::new("x.toml")).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let resolved = spec.resolve(&Variables::of_user("/home/a", "a", 1000)).unwrap();
        let ruleset = Ruleset { rules: resolved.rules(), defaults: resolved.defaults() };
        let request = Request::parse(operation.parse().unwrap(), object).unwrap();
        let verdict = evaluator(ruleset).unwrap().explain(&request).result.verdict;
        assert_eq!(verdict, Verdict::Allow, "{text}");
    }
}

#[test]
fn a_recorded_request_is_decided_again_as_it_was() {
    let record = record("/srv/secret/key", 1, Verdict::Deny);
    let evaluator = evaluator(rules(Verdict::Deny)).unwrap();
    let explanation = decide_again(&evaluator, &record).unwrap();
    assert_eq!(explanation.result.verdict, Verdict::Deny);
    assert_eq!(explanation.result.rule, RuleIndex(1));
    let layers = layers(&explanation, Verdict::Deny);
    assert_eq!(layers[0].rule.as_deref(), Some("small.secrets"));
    assert_eq!((layers[1].layer, layers[1].verdict), (Layer::Default, Verdict::Deny));
}

#[test]
fn what_failed_before_any_rule_is_not_decided_again() {
    let mut record = record("/x", 1, Verdict::Deny);
    record.decision.reason = Reason::Unresolved;
    assert!(decide_again(&evaluator(rules(Verdict::Deny)).unwrap(), &record).is_none());
    assert!(!remedy_of_reason(Reason::Unresolved).possible);
}

#[test]
fn the_story_says_who_what_and_which_rule() {
    let record = record("/srv/secret/key", 1, Verdict::Deny);
    let ancestor = |pid, exe: &str| Ancestor {
        pid,
        start_ns: 1,
        uid: 1000,
        exe: Some(exe.to_owned()),
        argv: Vec::new(),
    };
    let lineage = [ancestor(4242, "/usr/bin/sh"), ancestor(1, "/sbin/init")];
    let rule = rules(Verdict::Deny).rules[0].clone();
    assert_eq!(
        sentences(&record, &lineage, Some(&rule)),
        [
            "/usr/bin/sh[4242] of agent tester, uid 1000, started by /sbin/init[1].",
            "open (read) on /srv/secret/key was denied.",
            "Rule small.secrets (small.rego:3) decided: secrets are never for agents.",
        ]
    );
}
