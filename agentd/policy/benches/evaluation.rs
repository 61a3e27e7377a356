//! What asking the shipped policy costs: loading it, the guardrails of one agent, the findings of one request, and what it
//! has against one promotion.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;

use agentguard_policy::{
    Actor, AgentFacts, HostFacts, Input, PolicyFiles, PolicySet, PreparedInput, PromotionAction,
    PromotionFacts, RequestFacts, UNREGISTERED,
};
use criterion::{Criterion, criterion_group, criterion_main};

fn input() -> Input {
    Input {
        agent: AgentFacts {
            name: "coder".to_owned(),
            role: "ideation".to_owned(),
            tier: 2,
            mode: "enforce".to_owned(),
            spec: serde_json::json!({"network": {"connect": [{"to": "10.0.0.0/8", "ports": [443]}]}}),
            uid: 1000,
            home: "/home/ada".to_owned(),
            variables: BTreeMap::from([("workspace".to_owned(), "/srv/work".to_owned())]),
            state: UNREGISTERED.to_owned(),
        },
        host: HostFacts {
            hostname: "bench".to_owned(),
            kernel: "6.1.0".to_owned(),
            backend: "lsm".to_owned(),
            runtime_sockets: Vec::new(),
            nameservers: Vec::new(),
            interfaces: Vec::new(),
        },
    }
}

fn requests() -> [(&'static str, RequestFacts); 3] {
    let argv = ["bash", "-lc", "cargo build 2>&1 | tee log && git status"].map(str::to_owned).to_vec();
    let read = RequestFacts {
        operation: "read".to_owned(),
        path: Some("/usr/lib/x".to_owned()),
        ..RequestFacts::default()
    };
    let connect = RequestFacts {
        operation: "connect_address".to_owned(),
        address: "203.0.113.7".parse().ok(),
        port: Some(443),
        protocol: Some("tcp".to_owned()),
        name: Some("github.com".to_owned()),
        ..RequestFacts::default()
    };
    let exec = RequestFacts {
        operation: "command".to_owned(),
        object: argv.join(" "),
        path: Some("/usr/bin/bash".to_owned()),
        argv: Some(argv),
        ..RequestFacts::default()
    };
    [("read", read), ("connect", connect), ("exec", exec)]
}

/// A spec that nothing stands against.
fn whole() -> serde_json::Value {
    serde_json::json!({
        "agent": {"description": "Writes code.", "version": "1.0.0", "owner": "ada@example.com",
            "expires": "2100-01-01T00:00:00Z", "capabilities": ["code.write"]},
        "anatomy": {"reasoning": {"model": "m", "temperature": 0.3}, "inputs": ["i"], "actions": ["a"],
            "memory": "none"},
        "economics": {"monthly_budget_usd": 150.0},
        "containment": {"external_calls": false, "persistent_writes": false, "loopback": true},
    })
}

fn revalidation() -> PromotionFacts {
    PromotionFacts {
        action: PromotionAction::Revalidate,
        actor: Actor::default(),
        environment: "prod".to_owned(),
        tier: 2,
        budget_limit_usd: None,
        spent_usd: 12.5,
        time_ns: 1_767_268_800_000_000_000,
    }
}

fn evaluation(criterion: &mut Criterion) {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let files = PolicyFiles::read(&policies).expect("the shipped policy is there");
    let set = PolicySet::load(files.clone()).expect("the shipped policy loads");
    let input = input();
    let prepared = PreparedInput::new(&input);
    criterion.bench_function("load", |bench| bench.iter(|| PolicySet::load(black_box(files.clone()))));
    criterion.bench_function("guardrails", |bench| bench.iter(|| set.guardrails(black_box(&input))));
    for (name, request) in requests() {
        let name = format!("findings/{name}");
        criterion.bench_function(&name, |bench| {
            bench.iter(|| set.findings(black_box(&prepared), black_box(&request)))
        });
    }
    // A change of policy asks this of every registered agent.
    for (name, spec) in [("whole", whole()), ("bare", serde_json::json!({}))] {
        let agent = AgentFacts { spec, state: "GOVERNED_VALID".to_owned(), ..input.agent.clone() };
        let agent = Input { agent, host: input.host.clone() };
        criterion.bench_function(&format!("refusals/{name}"), |bench| {
            bench.iter(|| set.refusals(&PreparedInput::new(black_box(&agent)), black_box(&revalidation())))
        });
    }
}

criterion_group!(benches, evaluation);
criterion_main!(benches);
