//! What is made can be promoted: the shipped policy has nothing against any of it but what only a person can say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use agentguard_authoring::conversation::{self, Answers, Conversation};
use agentguard_authoring::event::{self, Event};
use agentguard_authoring::import::{self, Import};
use agentguard_authoring::scratch::{self, Scratch};
use agentguard_authoring::template::{self, Template};
use agentguard_authoring::workflow::{self, Workflow};
use agentguard_authoring::{Draft, Identity, clone};
use agentguard_core::spec::Spec;
use agentguard_policy::{
    Actor, AgentFacts, HostFacts, Input, PolicySet, PreparedInput, PromotionAction, PromotionFacts,
};

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies")
}

/// One draft of every way.
fn drafts(identity: &Identity) -> Vec<(&'static str, Draft)> {
    let identity = || identity.clone();
    let text = &std::fs::read_to_string(policies().join("specs/coding-agent.toml")).unwrap();
    let file = "coding-agent.toml";
    let events = Event { identity: identity(), records: &[], home: "/home/ada", workspace: None };
    let steps = "steps: [{name: a, run: cargo test}]";
    let servers = r#"{"mcpServers": {"a": {"command": "npx"}}}"#;
    let settings = r#"{"permissions": {"allow": ["Bash(make:*)"]}}"#;
    let import = |text| Import { file: "x", text, identity: identity(), server: None };
    [
        ("template", template::draft(&Template { file, text, identity: identity() })),
        ("clone", clone::draft(&clone::Clone { file, text, identity: identity() })),
        ("scratch", scratch::draft(&Scratch { identity: identity() })),
        ("workflow", workflow::draft(&Workflow { file: "x", text: steps, identity: identity() })),
        (
            "conversation",
            conversation::draft(&Conversation { identity: identity(), answers: &Answers::default() }),
        ),
        ("event", event::draft(&events)),
        ("spec", import::draft(&import(text))),
        ("servers", import::draft(&import(servers))),
        ("settings", import::draft(&import(settings))),
    ]
    .map(|(way, draft)| (way, draft.unwrap_or_else(|error| panic!("{way}: {error}"))))
    .into()
}

fn refusals(policy: &PolicySet, draft: &Draft) -> Vec<String> {
    let spec = Spec::parse(&draft.text, Path::new("x.toml")).unwrap();
    let input = Input {
        agent: AgentFacts::of(&spec, 1000, "/home/ada", &BTreeMap::new(), "SANDBOX").unwrap(),
        host: HostFacts {
            hostname: "test".to_owned(),
            kernel: "6.1.0".to_owned(),
            backend: "lsm".to_owned(),
            runtime_sockets: Vec::new(),
            nameservers: Vec::new(),
            interfaces: Vec::new(),
        },
    };
    let promotion = PromotionFacts {
        action: PromotionAction::Promote,
        actor: Actor { name: "ada".to_owned(), roles: vec!["agent_admin".to_owned()] },
        environment: "dev".to_owned(),
        tier: spec.agent.tier,
        budget_limit_usd: None,
        spent_usd: 0.0,
        time_ns: 1_767_268_800_000_000_000,
    };
    let found = policy.refusals(&PreparedInput::new(&input), &promotion).unwrap();
    found.into_iter().map(|refusal| refusal.id).collect()
}

#[test]
fn whatever_is_made_can_be_promoted_once_it_has_a_description_and_an_owner() {
    let policy = PolicySet::read(&policies()).unwrap();
    let said = Identity {
        description: Some("Works.".to_owned()),
        owner: Some("ada@example.com".to_owned()),
        ..Identity::named("new-agent")
    };
    for (way, draft) in drafts(&said) {
        assert_eq!(refusals(&policy, &draft), [""; 0], "{way}");
    }
}

#[test]
fn what_promotion_will_miss_is_noted() {
    let policy = PolicySet::read(&policies()).unwrap();
    for (way, draft) in drafts(&Identity::named("new-agent")) {
        for (id, key) in [
            ("promotion.owner_missing", "agent.owner"),
            ("promotion.description_missing", "agent.description"),
        ] {
            let missed = refusals(&policy, &draft).iter().any(|refusal| refusal == id);
            assert_eq!(missed, draft.notes.iter().any(|note| note.about == key), "{way}: {id}");
        }
    }
}
