//! What packs have against a promotion: all of it, in order, with its lines, and nothing of it when a rule is broken.

use std::collections::BTreeMap;
use std::path::Path;

use agentguard_policy::refusal::Consequence;
use agentguard_policy::{
    Actor, AgentFacts, HostFacts, Input, PolicyErrors, PolicyFiles, PolicySet, PreparedInput,
    PromotionAction, PromotionFacts,
};
use serde_json::{Value, json};

/// 2026-01-01 12:00 UTC.
const NOON: u64 = 1_767_268_800_000_000_000;

fn load(source: &str) -> Result<PolicySet, PolicyErrors> {
    let files = [("a/a.rego".to_owned(), format!("package agentguard.a\nimport rego.v1\n{source}\n"))];
    PolicySet::load(PolicyFiles::from_contents(Path::new("p"), files)?)
}

fn shipped() -> PolicySet {
    PolicySet::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies")).unwrap()
}

fn agent(spec: Value) -> PreparedInput {
    PreparedInput::new(&Input {
        agent: AgentFacts {
            name: "coder".to_owned(),
            role: "compliance".to_owned(),
            tier: 3,
            mode: "enforce".to_owned(),
            spec,
            uid: 1000,
            home: "/home/ada".to_owned(),
            variables: BTreeMap::new(),
            state: "SANDBOX".to_owned(),
        },
        host: HostFacts {
            hostname: "test".to_owned(),
            kernel: "6.1.0".to_owned(),
            backend: "lsm".to_owned(),
            runtime_sockets: Vec::new(),
            nameservers: Vec::new(),
            interfaces: Vec::new(),
        },
    })
}

/// As a whole spec is seen by policy, as far as promotion goes.
fn whole() -> Value {
    json!({
        "agent": {"name": "coder", "description": "Checks.", "role": "compliance", "tier": 3, "mode": "enforce",
            "version": "1.0.0", "owner": "ada@example.com", "expires": null, "capabilities": ["code.review"]},
        "anatomy": {"reasoning": {"model": "m", "temperature": 0.3}, "inputs": ["i"], "actions": ["a"],
            "memory": "none"},
        "economics": {"monthly_budget_usd": 150.0},
        "containment": {"external_calls": false, "persistent_writes": false, "loopback": true},
    })
}

fn promotion(action: PromotionAction) -> PromotionFacts {
    PromotionFacts {
        action,
        actor: Actor { name: "ada".to_owned(), roles: vec!["agent_admin".to_owned()] },
        environment: "dev".to_owned(),
        tier: 3,
        budget_limit_usd: Some(150.0),
        spent_usd: 12.5,
        time_ns: NOON,
    }
}

const RULES: &str = r#"
refuse contains {"id": "second_in_name", "reason": "first in the file"} if input.promotion.tier > 2

refuse contains {"id": "costs", "reason": sprintf("%v spent", [input.promotion.spent_usd]), "then": "restrict"} if {
	input.promotion.spent_usd > 10
}

refuse contains {"id": "state", "reason": "no sandbox"} if input.agent.state != "SANDBOX"
"#;

#[test]
fn all_refusals_come_together_in_the_order_of_the_file_with_their_lines() {
    let refusals =
        load(RULES).unwrap().refusals(&agent(json!({})), &promotion(PromotionAction::Promote)).unwrap();
    let told: Vec<_> =
        refusals.iter().map(|found| (found.id.as_str(), found.then, found.source.line)).collect();
    assert_eq!(
        told,
        [("a.second_in_name", Consequence::Invalidate, 4), ("a.costs", Consequence::Restrict, 6)]
    );
    assert_eq!(refusals.last().map(|found| found.reason.as_str()), Some("12.5 spent"));
    assert_eq!(refusals.iter().map(|found| found.then).max(), Some(Consequence::Invalidate));
}

#[test]
fn a_refusal_is_stored_and_read_again() {
    let refusals =
        load(RULES).unwrap().refusals(&agent(json!({})), &promotion(PromotionAction::Check)).unwrap();
    let stored = serde_json::to_value(&refusals).unwrap();
    assert_eq!(stored.pointer("/1/then"), Some(&json!("restrict")));
    assert_eq!(serde_json::from_value::<Vec<agentguard_policy::Refusal>>(stored).unwrap(), refusals);
}

#[test]
fn a_policy_without_refuse_rules_has_nothing_against_anybody() {
    let set =
        load(r#"deny contains {"id": "x", "severity": "HIGH", "reason": "r"} if input.request.port == 25"#)
            .unwrap();
    assert_eq!(set.refusals(&agent(json!({})), &promotion(PromotionAction::Promote)).unwrap(), []);
}

#[test]
fn a_refuse_rule_that_is_broken_does_not_load() {
    let cases = [
        (r#"refuse contains {"id": "x"}"#, "missing field `reason`"),
        (r#"refuse contains {"id": "x", "reason": "r", "severity": "HIGH"}"#, "unknown field `severity`"),
        (r#"refuse contains {"id": "x", "reason": "r", "then": "stop"}"#, "unknown variant `stop`"),
        (r#"refuse contains {"id": "X y", "reason": "r"}"#, "an id is made of"),
        (r#"refuse contains {"id": "x", "reason": " "}"#, "one line of text"),
        (r#"refuse contains {"id": "x", "reason": "r"} if input.promotion.teir > 1"#, "no `teir`"),
        (r#"refuse contains {"id": "x", "reason": "r"} if input.agent.stat == """#, "no `stat`"),
        (r#"refuse := {"id": "x", "reason": "r"}"#, "must be a set"),
        (
            r#"refuse contains {"id": "x", "reason": "r"} if input.promotion.spent_usd / 0 > 1"#,
            "divide by zero",
        ),
        // Only one of the samples gets as far as this.
        (
            r#"refuse contains {"id": "x", "reason": "r", "then": 1} if input.promotion.action == "revalidate""#,
            "then",
        ),
        (
            r#"refuse contains {"id": "x"} if input.agent.state == "GOVERNED_INVALIDATED""#,
            "missing field `reason`",
        ),
    ];
    for (rule, message) in cases {
        let error = load(rule).expect_err(rule).to_string();
        assert!(error.starts_with("p/a/a.rego:3: ") && error.lines().count() == 1, "{rule}: {error}");
        assert!(error.contains(message), "{rule}: {error}");
    }
}

#[test]
fn a_rule_that_cannot_be_evaluated_for_one_agent_is_an_error_and_no_answer() {
    let set = load(
        r#"refuse contains {"id": "x", "reason": "r"} if time.parse_rfc3339_ns(input.agent.spec.agent.expires) < 5"#,
    )
    .unwrap();
    let error = set
        .refusals(&agent(json!({"agent": {"expires": "soon"}})), &promotion(PromotionAction::Revalidate))
        .unwrap_err();
    assert!(error.to_string().starts_with("p/a/a.rego:3: "), "{error}");
}

#[test]
fn the_shipped_policy_promotes_a_whole_agent() {
    let set = shipped();
    for action in [PromotionAction::Promote, PromotionAction::Revalidate, PromotionAction::Check] {
        assert_eq!(set.refusals(&agent(whole()), &promotion(action)).unwrap(), [], "{action:?}");
    }
}

#[test]
fn the_shipped_policy_tells_everything_that_it_has_against_an_agent_that_says_nothing() {
    let nobody = PromotionFacts { actor: Actor::default(), ..promotion(PromotionAction::Promote) };
    let refusals = shipped().refusals(&agent(json!({})), &nobody).unwrap();
    let mut ids: Vec<_> = refusals.iter().map(|found| found.id.as_str()).collect();
    ids.dedup();
    assert_eq!(
        ids,
        [
            "promotion.actor_role",
            "promotion.anatomy_incomplete",
            "promotion.capability_missing",
            "promotion.owner_missing",
            "promotion.version_missing",
            "promotion.description_missing",
            "promotion.containment",
            "promotion.budget_missing",
        ]
    );
    assert!(refusals.iter().all(|found| found.source.line > 1 && !found.reason.contains("null")));
}

#[test]
fn numbers_in_reasons_are_as_people_write_them() {
    let mut spec = whole();
    spec["anatomy"]["reasoning"]["temperature"] = json!(0.9);
    spec["economics"]["monthly_budget_usd"] = json!(200.0);
    let spent = PromotionFacts { spent_usd: 200.0, ..promotion(PromotionAction::Revalidate) };
    let refusals = shipped().refusals(&agent(spec), &spent).unwrap();
    let reasons: Vec<_> = refusals.iter().map(|found| (found.reason.as_str(), found.then)).collect();
    assert_eq!(
        reasons,
        [
            (
                "temperature 0.9 is over 0.3, the most for compliance agents; lower anatomy.reasoning.temperature",
                Consequence::Invalidate
            ),
            (
                "a monthly budget of 200 USD is over 150 USD, the limit that was asked for; lower \
                 economics.monthly_budget_usd",
                Consequence::Invalidate
            ),
            (
                "200 USD of the monthly 200 USD are spent; raise economics.monthly_budget_usd or wait for the \
                 next month",
                Consequence::Restrict
            ),
        ]
    );
}
