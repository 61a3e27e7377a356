//! Inputs with which a set is tried before it is loaded, so that a rule that cannot be evaluated is found then and not
//! when an agent starts or is to be promoted.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use agentguard_core::held::{Ancestor, Asker, HeldProcess};
use serde_json::{Value, json};

use crate::input::{
    Actor, AgentFacts, HeldFacts, HostFacts, Input, Interface, PromotionAction, PromotionFacts, Recent,
    RequestFacts, UNREGISTERED,
};

const ROLES: [&str; 3] = ["compliance", "analysis", "ideation"];
const TIERS: std::ops::RangeInclusive<u8> = 1..=4;
const STATES: [&str; 5] =
    [UNREGISTERED, "SANDBOX", "GOVERNED_VALID", "GOVERNED_RESTRICTED", "GOVERNED_INVALIDATED"];

/// One input per role and tier, each with the next of the states, every second tier without a workspace and with a spec
/// that says nothing.
pub(crate) fn inputs() -> impl Iterator<Item = Input> {
    let kinds = TIERS.flat_map(|tier| ROLES.map(|role| (role, tier)));
    kinds.zip(STATES.into_iter().cycle()).map(|((role, tier), state)| input(role, tier, state))
}

fn input(role: &str, tier: u8, state: &str) -> Input {
    let is_whole = tier.is_multiple_of(2);
    let workspace = if is_whole { "/srv/work" } else { "" };
    let address = Ipv4Addr::new(192, 0, 2, 10).into();
    Input {
        agent: AgentFacts {
            name: "sample".to_owned(),
            role: role.to_owned(),
            tier,
            mode: "enforce".to_owned(),
            spec: if is_whole { spec(role, tier) } else { json!({}) },
            uid: 1000,
            home: "/home/sample".to_owned(),
            variables: BTreeMap::from([("workspace".to_owned(), workspace.to_owned())]),
            state: state.to_owned(),
        },
        host: HostFacts {
            hostname: "sample".to_owned(),
            kernel: "6.1.0".to_owned(),
            backend: "lsm".to_owned(),
            runtime_sockets: vec!["/run/docker.sock".to_owned()],
            nameservers: vec![Ipv4Addr::new(192, 0, 2, 53).into()],
            interfaces: vec![Interface { name: "eth0".to_owned(), addresses: vec![address] }],
        },
    }
}

/// What rules about promotions read of a spec.
fn spec(role: &str, tier: u8) -> Value {
    json!({
        "agent": {"name": "sample", "description": "Tries rules.", "role": role, "tier": tier, "mode": "enforce",
            "version": "1.0.0", "owner": "ada@example.com", "expires": "2100-01-01T00:00:00Z",
            "capabilities": ["code.write"]},
        "anatomy": {"reasoning": {"model": "sample", "temperature": 0.2}, "inputs": ["tickets"],
            "actions": ["answers"], "memory": "session"},
        "economics": {"monthly_budget_usd": 100.0},
        "containment": {"external_calls": false, "persistent_writes": false, "loopback": true},
    })
}

/// One promotion of each kind: by an administrator with everything asked, by agentd, and by nobody in particular.
pub(crate) fn promotions(tier: u8) -> [PromotionFacts; 3] {
    let admin = Actor { name: "ada".to_owned(), roles: vec!["agent_admin".to_owned()] };
    let revalidation = PromotionFacts {
        action: PromotionAction::Revalidate,
        actor: Actor::default(),
        environment: String::new(),
        tier,
        budget_limit_usd: None,
        spent_usd: 100.0,
        time_ns: 1_767_268_800_000_000_000,
    };
    [
        PromotionFacts {
            action: PromotionAction::Promote,
            actor: admin,
            environment: "prod".to_owned(),
            budget_limit_usd: Some(50.0),
            spent_usd: 0.0,
            ..revalidation.clone()
        },
        PromotionFacts {
            action: PromotionAction::Check,
            environment: "dev".to_owned(),
            ..revalidation.clone()
        },
        revalidation,
    ]
}

/// Requests that between them have every field: rules over a command take other ways for a shell.
pub(crate) fn requests() -> [RequestFacts; 2] {
    let script = ["bash", "-c", "true && sudo -n true | cat"];
    [
        request(&["true", "--help", "/srv/work"], "read"),
        RequestFacts { path: Some("/usr/bin/bash".to_owned()), ..request(&script, "command") },
    ]
}

/// With every list of one member.
pub(crate) fn held() -> HeldFacts {
    let argv = vec!["bash".to_owned()];
    HeldFacts {
        rule: "filesystem.sample".to_owned(),
        asker: Asker {
            sha256: "0".repeat(64),
            process: HeldProcess {
                pid: 2,
                uid: 1000,
                exe: "/usr/bin/bash".to_owned(),
                sha256: "0".repeat(64),
                argv: argv.clone(),
                cwd: "/srv/work".to_owned(),
                environment: vec!["PATH".to_owned()],
            },
            lineage: vec![Ancestor { pid: 1, exe: "/usr/bin/bash".to_owned(), argv }],
        },
        recent: vec![Recent { call: "open".to_owned(), operation: "read".to_owned(), ..Recent::default() }],
    }
}

fn request(argv: &[&str], operation: &str) -> RequestFacts {
    RequestFacts {
        call: "open".to_owned(),
        operation: operation.to_owned(),
        object: argv.join(" "),
        path: Some("/srv/work/file".to_owned()),
        other: Some("/srv/work/other".to_owned()),
        argv: Some(argv.iter().map(|word| (*word).to_owned()).collect()),
        cwd: Some("/srv/work".to_owned()),
        address: Some(Ipv4Addr::new(192, 0, 2, 1).into()),
        port: Some(443),
        protocol: Some("tcp".to_owned()),
        name: Some("example.com".to_owned()),
        ..RequestFacts::default()
    }
}
