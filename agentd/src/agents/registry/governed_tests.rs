//! The life of a registered agent, with a kernel in memory and everything else real.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use agentguard_governance::state::State;

use super::tests::{World, enrolment, registry, world_of};
use super::*;
use crate::config::{GovernanceSettings, Unregistered};
use crate::governance::{AGENT_ADMIN, Amount, NewSpec, Person};
use crate::testing::{Home, PROMOTING_POLICY, SPEC};
use agentguard_audit::read::{Filter, Records};
use agentguard_core::spec::Mode;
use agentguard_governance::budget::Spend;

const NAME: &str = "tester";

fn promoting() -> World {
    let home = Home::new();
    home.write_policy(PROMOTING_POLICY);
    world_of(home)
}

fn admin() -> Person {
    Person { name: "uid 0 (root)".to_owned(), uid: 0, roles: vec![AGENT_ADMIN.to_owned()] }
}

fn member() -> Person {
    Person { name: "uid 1000 (alice)".to_owned(), uid: 1000, roles: Vec::new() }
}

fn spec() -> String {
    SPEC.replace("tier = 1", "tier = 2\nowner = \"alice\"")
        .replace("mode = \"enforce\"", "mode = \"observe\"")
        + "\n[economics]\nmonthly_budget_usd = 10\n"
}

fn new_spec() -> NewSpec {
    NewSpec { name: NAME.to_owned(), spec: spec(), ..NewSpec::default() }
}

impl World {
    fn create(&self) {
        self.registry.governance.create(&new_spec(), &member()).unwrap();
    }

    fn promote(&self) {
        let promotion = self.registry.governance.promote(NAME, &admin()).unwrap();
        assert_eq!(promotion.code, "PROMOTION_SUCCESS", "{:?}", promotion.refusals);
    }

    async fn start(&self) -> Result<AgentView, RegistryError> {
        let enrolment = Enrolment { agent: NAME.to_owned(), spec: String::new(), ..enrolment(self) };
        self.registry.enroll(enrolment).await.map(|enrolled| enrolled.agent)
    }

    async fn denied(&self) -> &'static str {
        match self.start().await {
            Err(RegistryError::Governance(GovernanceError::Denied { code, .. })) => code,
            other => panic!("{other:?}"),
        }
    }

    fn state(&self) -> State {
        self.registry.governance.get(NAME).unwrap().standing.state
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.state().join("agents").join(NAME).join(name)
    }

    /// Codes of the audit log in order, without those about the log itself.
    fn audited(&self) -> Vec<String> {
        self.registry.governance.audit().tick();
        let records = Records::of(&self.home.state().join("audit"), Filter::default()).unwrap();
        let codes = records.map(|record| record.unwrap().code);
        codes.filter(|code| !code.starts_with("LOG_") && code != "KEY_GENERATED").collect()
    }

    fn is_alive(&self) -> bool {
        self.kernel.tasks_of(AgentKey { slot: 1, serial: 0 }).is_ok()
            && !self.kernel.state().labels.is_empty()
            && self.registry.running().unwrap().iter().any(|run| run.registered.is_some())
    }
}

#[tokio::test]
async fn in_the_sandbox_an_agent_is_contained_whatever_its_mode_and_its_scratch_goes_with_it() {
    let world = promoting();
    world.create();
    let run = world.start().await.unwrap();
    assert_eq!((run.governance.as_str(), run.mode.as_str()), ("SANDBOX", "enforce"));
    assert_eq!(world.kernel.state().installed.get(&run.key), Some(&(Mode::Enforce, 1)));
    let rules = world.registry.directory.in_force(run.key, 1).unwrap();
    assert!(rules.rules.iter().any(|rule| rule.id == "containment.persistent_writes"));
    assert_eq!(rules.input.agent.state, "SANDBOX");
    let scratch = world.home.path().join("scratch").join(format!("{NAME}-{}", run.key.serial));
    fs::write(scratch.join("file"), "x").unwrap();
    world.registry.release(&run.name).await.unwrap();
    assert!(!scratch.exists());
    assert_eq!(world.audited(), ["AGENT_CREATED", "ADMISSION_ALLOW", "AGENT_STARTED", "AGENT_ENDED"]);
}

#[tokio::test]
async fn everything_that_stands_against_a_promotion_is_told_at_once() {
    let world = promoting();
    let spec = spec().replace("tier = 2", "tier = 4").replace("owner = \"alice\"", "");
    world.registry.governance.create(&NewSpec { spec, ..new_spec() }, &member()).unwrap();
    let promotion = world.registry.governance.promote(NAME, &member()).unwrap();
    let ids: Vec<&str> = promotion.refusals.iter().map(|refusal| refusal.id.as_str()).collect();
    assert_eq!(
        (promotion.code.as_str(), ids),
        ("PROMOTION_DENIED", vec!["small.role", "small.tier", "small.owner"])
    );
    assert_eq!(world.state(), State::Sandbox);
    assert_eq!(world.audited(), ["AGENT_CREATED", "PROMOTION_ATTEMPT", "PROMOTION_DENIED"]);
}

#[tokio::test]
async fn what_runs_is_what_was_signed_and_a_difference_is_told() {
    let world = promoting();
    world.create();
    world.promote();
    let run = world.start().await.unwrap();
    assert_eq!(run.governance, "GOVERNED_VALID");
    let proof = |world: &World| world.registry.instances(NAME).unwrap().pop().unwrap().kernel;
    let kernel = proof(&world);
    assert!(kernel.holds, "{:?}", kernel.differences);
    let detail = world.registry.governance.detail(NAME).unwrap();
    let signed = detail.proof.unwrap();
    assert_eq!((signed.signature.as_str(), signed.proof.spec_sha256), ("good", kernel.spec_sha256));
    assert_eq!(signed.proof.policy_sha256, kernel.policy_sha256);
    // Somebody changes the rules in the kernel.
    let other = agentguard_core::lower(&agentguard_core::rule::Ruleset {
        rules: Vec::new(),
        defaults: world.registry.directory.in_force(run.key, 1).unwrap().defaults,
    });
    world.kernel.state().tables.insert(run.key, other.unwrap());
    assert!(!proof(&world).holds);
    // Somebody says that they are of another spec.
    world.kernel.state().made_of.get_mut(&run.key).unwrap().spec_sha256 = [0; 32];
    assert!(proof(&world).differences.iter().any(|line| line.contains("not the signed one")));
}

#[tokio::test]
async fn a_restricted_agent_goes_on_under_tightened_rules_until_that_is_lifted() {
    let world = promoting();
    world.create();
    world.promote();
    let run = world.start().await.unwrap();
    let restrict = |governance: &Governance| governance.restrict(NAME, "odd traffic", &admin());
    world.registry.govern_agent(Some(NAME.to_owned()), restrict).await.unwrap();
    let tightened = |world: &World, generation| {
        let rules = world.registry.directory.in_force(run.key, generation).unwrap();
        rules.rules.iter().any(|rule| rule.id == "small.restricted")
    };
    assert!(tightened(&world, 2));
    assert_eq!(world.registry.running().unwrap()[0].registered.as_ref().unwrap().state, State::Restricted);
    // It may also start so.
    assert_eq!(world.start().await.unwrap().governance, "GOVERNED_RESTRICTED");
    let refused = world.registry.governance.lift(NAME, "", &member()).unwrap_err();
    assert!(matches!(refused, GovernanceError::Role { .. }), "{refused}");
    let lift = |governance: &Governance| governance.lift(NAME, "it was a test", &admin());
    world.registry.govern_agent(Some(NAME.to_owned()), lift).await.unwrap();
    assert!(!tightened(&world, 3));
    assert_eq!(world.state(), State::Valid);
}

#[tokio::test]
async fn another_policy_gives_valid_agents_its_rules_and_proofs_and_stops_those_that_fail() {
    let world = promoting();
    world.create();
    world.promote();
    let run = world.start().await.unwrap();
    world.home.write_policy(&PROMOTING_POLICY.replace("/srv/secret/**", "/srv/other/**"));
    let change = world.registry.reload_policy(&world.home.policy(), "test", unheard()).await.unwrap();
    assert_eq!((change.agents, change.revalidated.len()), (1, 1));
    assert_eq!(change.revalidated[0].after, State::Valid);
    assert!(
        world.registry.instances(NAME).unwrap()[0].kernel.holds,
        "rules, hashes and proof changed together"
    );
    let before = world.registry.governance.detail(NAME).unwrap().proof.unwrap();
    assert_eq!(before.proof.policy_sha256, world.registry.policy.get().version().hash());
    assert!(before.proof.previous.is_some(), "it goes on from the promotion");

    world.home.write_policy(&PROMOTING_POLICY.replace("limit := 3", "limit := 1"));
    let change = world.registry.reload_policy(&world.home.policy(), "test", unheard()).await.unwrap();
    assert_eq!(change.revalidated[0].after, State::Invalidated);
    assert!(!world.is_alive());
    assert_eq!(world.registry.list().unwrap()[0].state, AgentState::Stopped);
    assert_eq!(world.denied().await, "ADMISSION_DENY_STATE");
    assert!(!world.file("proof.json").exists());
    assert!(world.registry.list().unwrap()[0].name == run.name);
    let audited = world.audited();
    assert!(
        audited.contains(&"AGENT_INVALIDATED".to_owned())
            && audited.contains(&"POLICY_REVALIDATION".to_owned())
    );
}

#[tokio::test]
async fn a_policy_by_which_nobody_could_be_refused_does_not_come_into_force() {
    let world = promoting();
    world.create();
    world.promote();
    let before = world.registry.policy().version().version;
    world.home.write_policy(crate::testing::POLICY);
    let error = world.registry.reload_policy(&world.home.policy(), "test", unheard()).await.unwrap_err();
    assert!(error.to_string().contains("could refuse nobody"), "{error}");
    assert_eq!(world.registry.policy().version().version, before);
    assert!(world.audited().contains(&"POLICY_RELOAD_FAILED".to_owned()));
}

#[tokio::test]
async fn a_spent_budget_restricts_by_policy() {
    let world = promoting();
    world.create();
    world.promote();
    world.start().await.unwrap();
    let spend = |usd: &str, key: &str| {
        let amount = Amount {
            agent: NAME.to_owned(),
            spend: Spend::parse(usd).unwrap(),
            note: String::new(),
            key: key.to_owned(),
        };
        world.registry.governance.spend(&amount, &admin()).unwrap()
    };
    assert_eq!(spend("7.99", "a").alert, None);
    assert_eq!(spend("1.5", "b").alert, Some(90));
    let again = spend("1.5", "b");
    assert_eq!((again.added, again.total.percent), (false, Some(94)));
    assert_eq!(spend("0.51", "c").alert, Some(100));
    world.registry.revalidate(Some(NAME.to_owned()), "the budget is spent").await.unwrap();
    assert_eq!(world.state(), State::Restricted);
    assert_eq!(world.registry.running().unwrap()[0].registered.as_ref().unwrap().state, State::Restricted);
    let report = world.registry.governance.budget_report("", "").unwrap();
    assert_eq!((report.agents[0].entries, report.agents[0].alert, report.spent_usd), (3, Some(100), 10.0));
}

#[tokio::test]
async fn a_revoked_key_stops_whoever_runs_on_its_proof_and_a_rotation_stops_nobody() {
    let world = promoting();
    world.create();
    world.promote();
    world.start().await.unwrap();
    let old = world.registry.governance.keys().unwrap().keys[0].key.id.clone();
    let rotate = |governance: &Governance| governance.rotate_key("", "next", &admin());
    assert_eq!(world.registry.govern_agent(None, rotate).await.unwrap().resigned, 1);
    assert!(world.registry.instances(NAME).unwrap()[0].kernel.holds);
    let revoke = move |governance: &Governance| governance.revoke_key(&old.0, "replaced", &admin());
    world.registry.govern_agent(None, revoke).await.unwrap();
    assert!(world.is_alive(), "its proof is of the new key");
    let new = world.registry.governance.keys().unwrap().keys[1].key.id.clone();
    let revoke = move |governance: &Governance| governance.revoke_key(&new.0, "stolen", &admin());
    world.registry.govern_agent(None, revoke).await.unwrap();
    assert!(!world.is_alive());
    assert_eq!(world.denied().await, "ADMISSION_DENY_SIGNER_REVOKED");
    world.promote();
}

#[tokio::test]
async fn another_spec_is_one_that_nobody_signed() {
    let world = promoting();
    world.create();
    world.promote();
    world.start().await.unwrap();
    let other = NewSpec { spec: spec().replace("/usr/**", "/**"), ..new_spec() };
    let refused = world.registry.governance.update(&other, &member()).unwrap_err();
    assert!(
        matches!(refused, GovernanceError::Role { .. }),
        "only its maker's while it is in the sandbox: {refused}"
    );
    let update = move |governance: &Governance| governance.update(&other, &admin());
    world.registry.govern_agent(Some(NAME.to_owned()), update).await.unwrap();
    assert!(!world.is_alive());
    assert_eq!((world.state(), world.registry.governance.get(NAME).unwrap().revision), (State::Sandbox, 2));
    assert_eq!(world.start().await.unwrap().governance, "SANDBOX");
    assert_eq!(world.registry.governance.revision(NAME, 1).unwrap(), spec());
}

#[tokio::test]
async fn tampering_while_agentd_is_away_stops_the_agent_when_it_is_back() {
    let world = promoting();
    world.create();
    world.promote();
    world.start().await.unwrap();
    let again = registry(&world.home, &world.kernel);
    assert_eq!(again.restore().await.unwrap(), 1);
    fs::write(world.file("spec.toml"), spec().replace("/usr/**", "/**")).unwrap();
    let again = registry(&world.home, &world.kernel);
    assert_eq!(again.restore().await.unwrap(), 0);
    assert_eq!(again.list().unwrap()[0].state, AgentState::Stopped);
    assert_eq!(world.denied().await, "ADMISSION_DENY_SPEC_HASH_MISMATCH");
}

#[tokio::test]
async fn a_policy_that_came_while_agentd_was_away_is_asked_about_everybody_and_tampered_proofs_are_not_signed_anew()
 {
    let world = promoting();
    world.create();
    world.promote();
    world.start().await.unwrap();
    world.home.write_policy(&PROMOTING_POLICY.replace("/srv/secret/**", "/srv/other/**"));
    world.registry.governance.audit().close();
    let again = registry(&world.home, &world.kernel);
    again.revalidate(None, "agentd starts").await.unwrap();
    assert_eq!(again.restore().await.unwrap(), 1);
    assert!(again.instances(NAME).unwrap()[0].kernel.holds);
    drop(again);
    // The proof is another's promise: a longer one.
    let text = fs::read_to_string(world.file("proof.json")).unwrap();
    let mut envelope: serde_json::Value = serde_json::from_str(&text).unwrap();
    let signature = envelope["signatures"][0]["sig"].as_str().unwrap().replacen(|c: char| c != 'A', "A", 1);
    envelope["signatures"][0]["sig"] = signature.into();
    fs::write(world.file("proof.json"), envelope.to_string()).unwrap();
    world.home.write_policy(PROMOTING_POLICY);
    world.registry.governance.audit().close();
    let again = registry(&world.home, &world.kernel);
    again.revalidate(None, "agentd starts").await.unwrap();
    assert_eq!(again.restore().await.unwrap(), 0);
    assert_eq!(fs::read_to_string(world.file("proof.json")).unwrap(), envelope.to_string());
}

#[tokio::test]
async fn nothing_starts_and_nobody_is_promoted_while_the_audit_log_can_not_be_written() {
    let world = promoting();
    world.create();
    world.promote();
    let audit = world.home.state().join("audit");
    fs::remove_dir_all(&audit).unwrap();
    fs::write(&audit, "in the way").unwrap();
    let blocked = registry(&world.home, &world.kernel);
    let enrolment = Enrolment { agent: NAME.to_owned(), spec: String::new(), ..enrolment(&world) };
    let error = blocked.enroll(enrolment).await.unwrap_err().to_string();
    assert!(error.contains("the audit log can not be written"), "{error}");
    assert!(world.kernel.state().installed.is_empty() && world.kernel.state().labels.is_empty());
    assert!(blocked.governance.promote(NAME, &admin()).is_err());
    assert!(blocked.governance.audit().standing().problem.is_some());
    fs::remove_file(&audit).unwrap();
    assert!(blocked.governance.promote(NAME, &admin()).is_ok(), "it is tried again");
}

#[tokio::test]
async fn a_host_may_want_every_agent_to_be_registered_and_names_of_registered_ones_are_theirs() {
    let mut world = promoting();
    world.create();
    let taken = world.registry.enroll(enrolment(&world)).await.unwrap_err();
    assert!(taken.to_string().contains("agentctl agent start tester"), "{taken}");
    let named = Enrolment { name: "other".to_owned(), ..enrolment(&world) };
    let other = world.registry.enroll(named.clone()).await.unwrap().agent;
    assert_eq!(other.governance, "UNREGISTERED");
    let settings = GovernanceSettings {
        unregistered: Unregistered::Refuse,
        scratch_dir: world.home.path().join("scratch"),
        ..GovernanceSettings::default()
    };
    world.registry = super::tests::registry_with(&world.home, &world.kernel, settings);
    let refused = world.registry.enroll(named).await.unwrap_err();
    let GovernanceError::Denied { code, .. } = (match refused {
        RegistryError::Governance(error) => error,
        other => panic!("{other}"),
    }) else {
        panic!("denied")
    };
    assert_eq!(code, "ADMISSION_DENY_UNREGISTERED");
}

#[tokio::test]
async fn values_that_were_registered_are_signed_and_a_start_can_not_change_them() {
    let world = promoting();
    let spec = format!(
        "{}\n[variables]\nworkspace = \"\"\n",
        spec().replace("/usr/**\"]", "/usr/**\", \"${workspace}/**\"]")
    );
    let variables = BTreeMap::from([("workspace".to_owned(), "/srv/w".to_owned())]);
    world.registry.governance.create(&NewSpec { spec, variables, ..new_spec() }, &member()).unwrap();
    world.promote();
    let set = |value: &str| Enrolment {
        agent: NAME.to_owned(),
        spec: String::new(),
        variables: BTreeMap::from([("workspace".to_owned(), value.to_owned())]),
        ..enrolment(&world)
    };
    let refused = world.registry.enroll(set("/etc")).await.unwrap_err();
    assert!(matches!(refused, RegistryError::Variable(_)), "{refused}");
    world.registry.enroll(set("/srv/w")).await.unwrap();
    let entry = fs::read_to_string(world.file("agent.json")).unwrap();
    fs::write(world.file("agent.json"), entry.replace("/srv/w", "/etc")).unwrap();
    assert_eq!(world.denied().await, "ADMISSION_DENY_SPEC_HASH_MISMATCH");
}
