//! Registered agents as agentd tells of them.

use std::collections::{BTreeMap, BTreeSet};

use agentguard_api::report::{AgentDetail, InstanceView, KernelProof, ProofView, RegisteredAgent};
use agentguard_core::ids::{AgentKey, AgentName};
use agentguard_governance::keys::KeyId;
use agentguard_governance::proof::{Act, Authority, Envelope, PAYLOAD_TYPE, Proof, Signature};
use agentguard_governance::state::{Cause, Standing, State};

use crate::command::agents;
use crate::samples::NOON_NS;
use crate::standing::tests::allowed;

pub(super) const NOON_SEC: u64 = NOON_NS / 1_000_000_000;
const DAY_NS: u64 = 24 * 3600 * 1_000_000_000;

pub(super) fn standing(state: State) -> Standing {
    let restricted_by =
        if state == State::Restricted { BTreeSet::from([Cause::Policy]) } else { BTreeSet::new() };
    Standing { state, restricted_by }
}

pub(super) fn registered(name: &str, state: State) -> RegisteredAgent {
    RegisteredAgent {
        name: AgentName(name.to_owned()),
        standing: standing(state),
        reason: String::new(),
        revision: 3,
        version: Some("1.2.0".to_owned()),
        description: "writes code in one repository".to_owned(),
        owner: Some("platform team".to_owned()),
        role: "ideation".to_owned(),
        tier: 2,
        spec_sha256: "ab".repeat(32),
        origin: "template coding-agent".to_owned(),
        created_ns: NOON_NS,
        created_by: "uid 1000 (alice)".to_owned(),
        updated_ns: NOON_NS + DAY_NS,
        expires_ns: NOON_NS + 30 * DAY_NS,
        monthly_budget_usd: Some(50.0),
        spent_usd: 12.5,
        running: vec![AgentName(name.to_owned())],
        problem: None,
    }
}

pub(super) fn detail(name: &str) -> AgentDetail {
    let proof = Proof {
        agent: name.to_owned(),
        version: Some("1.2.0".to_owned()),
        revision: 3,
        spec_sha256: "ab".repeat(32),
        variables: BTreeMap::from([("workspace".to_owned(), "/srv/app".to_owned())]),
        policy_sha256: "cd".repeat(32),
        authority: Authority {
            name: "uid 1000 (alice)".to_owned(),
            roles: vec!["agent_admin".to_owned()],
            act: Act::Promotion,
        },
        signed_sec: NOON_SEC,
        expires_sec: NOON_SEC + 30 * 24 * 3600,
        previous: None,
    };
    let envelope = Envelope {
        payload: "e30=".to_owned(),
        payload_type: PAYLOAD_TYPE.to_owned(),
        signatures: vec![Signature {
            keyid: KeyId("ed25519-0123456789ab".to_owned()),
            sig: "c2ln".to_owned(),
        }],
    };
    AgentDetail {
        agent: registered(name, State::Valid),
        spec: "[agent]\nname = \"coder\"\n".to_owned(),
        variables: BTreeMap::from([("workspace".to_owned(), "/srv/app".to_owned())]),
        proof: Some(ProofView { envelope, proof, signature: "good".to_owned() }),
        admission: allowed(),
        policy_sha256: "cd".repeat(32),
        instances: vec![instance(name, 0), instance(&format!("{name}-2"), 1)],
    }
}

fn instance(name: &str, slot: u32) -> InstanceView {
    let mut agent = agents::tests::agent(name);
    agent.key = AgentKey { slot, serial: 7 };
    let kernel = KernelProof {
        holds: slot == 0,
        spec_sha256: "ab".repeat(32),
        policy_sha256: "cd".repeat(32),
        differences: if slot == 0 { Vec::new() } else { vec!["guardrails: 3 words differ".to_owned()] },
    };
    InstanceView { agent, kernel }
}
