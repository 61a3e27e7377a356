use agentguard_core::ids::RuleIndex;
use agentguard_core::verdict::{Answer, Verdict};

use super::*;

fn ruling(reason: Reason, layer: Layer, rule: u32) -> Ruling {
    let answer = Answer { verdict: Verdict::Deny, layer, rule: RuleIndex(rule), pinned: false };
    Ruling { verdict: Verdict::Deny, answer, reason, enforced: true }
}

#[test]
fn a_default_is_told_as_one() {
    let decision = decision(&ruling(Reason::Default, Layer::Default, 0), None);
    assert_eq!(decision.rule, None);
    assert!(decision.message.contains("default"), "{}", decision.message);
}

#[test]
fn a_rule_that_is_not_known_any_more_is_still_a_denial() {
    let decision = decision(&ruling(Reason::Rule, Layer::Guardrail, 12), None);
    assert_eq!(decision.verdict, Verdict::Deny);
    assert!(decision.message.contains("rule 12"), "{}", decision.message);
}

#[test]
fn every_reason_has_words() {
    for reason in [
        Reason::Default,
        Reason::Unresolved,
        Reason::TooLong,
        Reason::NoMemory,
        Reason::NoRules,
        Reason::Identity,
        Reason::Elsewhere,
        Reason::ResolvedName,
        Reason::Protected,
        Reason::Answered,
        Reason::CannotHold,
        Reason::Changed,
    ] {
        assert!(!decision(&ruling(reason, Layer::Default, 0), None).message.is_empty(), "{reason:?}");
    }
}
