use std::collections::BTreeMap;
use std::process::{Child, Command};

use super::*;
use crate::kernel::fake::Fake;
use crate::testing::{Home, OTHER_POLICY, SPEC};
use agentguard_core::spec::Mode;

pub(super) struct World {
    pub(super) home: Home,
    pub(super) kernel: Arc<Fake>,
    pub(super) registry: Arc<Registry>,
    pub(super) process: Child,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(super) fn registry(home: &Home, kernel: &Arc<Fake>) -> Arc<Registry> {
    registry_with(home, kernel, home.config().governance)
}

pub(super) fn registry_with(
    home: &Home,
    kernel: &Arc<Fake>,
    settings: crate::config::GovernanceSettings,
) -> Arc<Registry> {
    let store = Store::open(&home.state()).unwrap();
    let policy = Arc::new(home.policy_in_use());
    let (directory, tally) = (Arc::new(Directory::default()), Arc::new(Tally::default()));
    let governance = crate::testing::governance(home, &policy, &store, settings);
    let settings = Settings { degraded: Degraded::Refuse, guardrails: Vec::new() };
    Arc::new(Registry::new(kernel.clone(), store, directory, policy, tally, governance, settings).unwrap())
}

pub(super) fn world() -> World {
    world_of(Home::new())
}

pub(super) fn world_of(home: Home) -> World {
    let kernel = Arc::new(Fake::default());
    let registry = registry(&home, &kernel);
    let process = Command::new("sleep").arg("600").spawn().unwrap();
    World { home, kernel, registry, process }
}

pub(super) fn enrolment(world: &World) -> Enrolment {
    Enrolment {
        spec: SPEC.to_owned(),
        spec_file: "tester.toml".to_owned(),
        name: String::new(),
        variables: BTreeMap::new(),
        mode: None,
        agent: String::new(),
        by: "test".to_owned(),
        wanted: Wanted::Pid(world.process.id()),
        owner: crate::agents::user::owner(world.process.id()),
    }
}

#[tokio::test]
async fn an_enrolled_process_is_governed_stored_and_known() {
    let world = world();
    let enrolled = world.registry.enroll(enrolment(&world)).await.unwrap();
    assert_eq!((enrolled.agent.name.0.as_str(), enrolled.tasks), ("tester", 1));
    assert_eq!(enrolled.agent.mode, "enforce");
    assert!(enrolled.agent.rules > 2);
    let key = enrolled.agent.key;
    assert_eq!(world.kernel.state().installed.get(&key), Some(&(Mode::Enforce, 1)));
    assert_eq!(world.kernel.state().labels.get(&world.process.id()), Some(&key));
    let rules = world.registry.directory.in_force(key, 1).unwrap();
    assert_eq!(rules.rule(1).unwrap().id, "small.secrets");
    let running = world.registry.running().unwrap();
    let stored =
        stored::rules(&world.registry.store.reader().unwrap(), &running[0].version).unwrap().unwrap();
    assert_eq!(stored, *rules);
}

#[tokio::test]
async fn names_are_made_unique_unless_one_was_asked_for() {
    let world = world();
    for wanted in ["tester", "tester-2", "tester-3"] {
        let enrolled = world.registry.enroll(enrolment(&world)).await.unwrap();
        assert_eq!(enrolled.agent.name.0, wanted);
    }
    let named = |name: &str| Enrolment { name: name.to_owned(), ..enrolment(&world) };
    let taken = world.registry.enroll(named("tester-2")).await.unwrap_err();
    assert!(matches!(taken, RegistryError::Taken(_)), "{taken}");
    for name in ["../x", "a b", "-x", &"x".repeat(64), "ä"] {
        let wrong = world.registry.enroll(named(name)).await.unwrap_err();
        assert!(matches!(wrong, RegistryError::Name(_)), "{wrong}");
    }
}

#[tokio::test]
async fn a_failed_enrolment_leaves_nothing_behind() {
    for call in ["install", "govern_pid"] {
        let world = world();
        world.kernel.state().fail.insert(call, 1);
        let error = world.registry.enroll(enrolment(&world)).await.unwrap_err();
        assert!(error.to_string().contains(call), "{error}");
        assert!(world.kernel.state().installed.is_empty(), "{call}");
        assert!(world.kernel.state().labels.is_empty(), "{call}");
        assert!(world.registry.running().unwrap().is_empty(), "{call}");
        // Nothing is taken either: the same name works at once.
        let enrolled = world.registry.enroll(enrolment(&world)).await.unwrap();
        assert_eq!(enrolled.agent.name.0, "tester");
    }
}

#[tokio::test]
async fn a_process_that_is_gone_and_a_wrong_spec_are_one_clear_line() {
    let mut world = world();
    let spec = SPEC.replace("read = [\"/usr/**\"]", "reed = [\"/usr/**\"]");
    let error = world.registry.enroll(Enrolment { spec, ..enrolment(&world) }).await.unwrap_err().to_string();
    assert!(error.starts_with("tester.toml:") && error.contains("reed"), "{error}");
    world.process.kill().unwrap();
    world.process.wait().unwrap();
    let error = world.registry.enroll(enrolment(&world)).await.unwrap_err().to_string();
    assert!(error.contains("there is no process"), "{error}");
}

#[tokio::test]
async fn enforcing_is_refused_where_nothing_can_be_blocked() {
    let world = world();
    world.kernel.state().is_tracing = true;
    let error = world.registry.enroll(enrolment(&world)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Degraded(_)), "{error}");
    assert!(world.kernel.state().installed.is_empty());
    let observe = Enrolment { mode: Some(Mode::Observe), ..enrolment(&world) };
    assert_eq!(world.registry.enroll(observe).await.unwrap().agent.mode, "observe");
}

#[tokio::test]
async fn a_released_agent_is_free_and_its_slot_too() {
    let world = world();
    let first = world.registry.enroll(enrolment(&world)).await.unwrap().agent;
    assert_eq!(world.registry.release(&first.name).await.unwrap(), 1);
    assert!(world.kernel.state().installed.is_empty());
    assert_eq!(world.registry.list().unwrap()[0].state, AgentState::Released);
    let second = world.registry.enroll(enrolment(&world)).await.unwrap().agent;
    assert_eq!(second.key.slot, first.key.slot);
    assert!(second.key.serial > first.key.serial, "a serial is never used twice");
    let unknown = world.registry.release(&AgentName("nobody".to_owned())).await.unwrap_err();
    assert!(matches!(unknown, RegistryError::Unknown(_)));
}

#[tokio::test]
async fn a_reload_replaces_the_rules_of_every_agent() {
    let world = world();
    let agents = [
        world.registry.enroll(enrolment(&world)).await.unwrap().agent,
        world.registry.enroll(enrolment(&world)).await.unwrap().agent,
    ];
    world.home.write_policy(OTHER_POLICY);
    let change = world.registry.reload_policy(&world.home.policy(), "test", unheard()).await.unwrap();
    assert_eq!((change.agents, change.changed), (2, true));
    for agent in agents {
        assert_eq!(world.kernel.state().installed.get(&agent.key), Some(&(Mode::Enforce, 2)));
        let rules = world.registry.directory.in_force(agent.key, 2).unwrap();
        assert_eq!(rules.rule(1).unwrap().reason, "other secrets");
        assert!(
            world.registry.directory.in_force(agent.key, 1).is_some(),
            "late events still find their rules"
        );
    }
    let back = world.registry.roll_back_policy(None, "test", unheard()).await.unwrap();
    assert_eq!(back.version, change.previous);
    assert_eq!(world.registry.policy().history().unwrap().len(), 3);
}

#[tokio::test]
async fn a_wrong_policy_leaves_the_running_one_and_says_where() {
    let world = world();
    let agent = world.registry.enroll(enrolment(&world)).await.unwrap().agent;
    let before = world.registry.policy().version().version;
    world.home.write_policy("package agentguard.small\n\nguardrails contains {\n");
    let error =
        world.registry.reload_policy(&world.home.policy(), "test", unheard()).await.unwrap_err().to_string();
    assert!(error.contains("small.rego:"), "{error}");
    assert_eq!(world.registry.policy().version().version, before);
    assert_eq!(world.kernel.state().installed.get(&agent.key), Some(&(Mode::Enforce, 1)));
}

#[tokio::test]
async fn a_reload_that_fails_half_way_gives_everybody_the_old_rules() {
    let world = world();
    let agents = [
        world.registry.enroll(enrolment(&world)).await.unwrap().agent,
        world.registry.enroll(enrolment(&world)).await.unwrap().agent,
    ];
    let before = world.registry.policy().version().version;
    world.home.write_policy(OTHER_POLICY);
    world.kernel.state().fail.insert("install", 2);
    world.registry.reload_policy(&world.home.policy(), "test", unheard()).await.unwrap_err();
    assert_eq!(world.registry.policy().version().version, before);
    for agent in agents {
        let (_, generation) = world.kernel.state().installed[&agent.key];
        let rules = world.registry.directory.in_force(agent.key, generation).unwrap();
        assert_eq!(rules.rule(1).unwrap().reason, "secrets are never for agents");
    }
}

#[tokio::test]
async fn a_restarted_agentd_goes_on_governing() {
    let world = world();
    let agent = world.registry.enroll(enrolment(&world)).await.unwrap().agent;
    let again = registry(&world.home, &world.kernel);
    assert_eq!(again.restore().await.unwrap(), 1);
    assert_eq!(
        world.kernel.state().installed.get(&agent.key),
        Some(&(Mode::Enforce, 1)),
        "the same rules under the same policy: what was answered stands"
    );
    assert_eq!(again.directory.name(agent.key), agent.name);
    world.home.write_policy(OTHER_POLICY);
    again.governance.audit().close();
    let changed = registry(&world.home, &world.kernel);
    assert_eq!(changed.restore().await.unwrap(), 1);
    assert_eq!(world.kernel.state().installed.get(&agent.key), Some(&(Mode::Enforce, 2)));
    assert!(
        changed.directory.in_force(agent.key, 1).is_some(),
        "events from before the restart find their rules"
    );
    changed.release(&agent.name).await.unwrap();
}

#[tokio::test]
async fn who_is_in_the_kernel_and_not_in_the_store_stays_governed_and_nobody_gets_the_place() {
    let mut world = world();
    let lost = world.registry.enroll(enrolment(&world)).await.unwrap().agent;
    // Another home: the store was lost, and serials begin anew.
    let home = Home::new();
    let again = registry(&home, &world.kernel);
    assert_eq!(again.restore().await.unwrap(), 0);
    let next = again.enroll(enrolment(&world)).await.unwrap().agent;
    assert_ne!(next.key.slot, lost.key.slot);
    assert!(next.key.serial > lost.key.serial, "{:?} after {:?}", next.key, lost.key);
    world.kernel.state().labels.insert(world.process.id(), lost.key);
    again.sweep().await;
    assert!(world.kernel.state().installed.contains_key(&lost.key));
    world.process.kill().unwrap();
    world.process.wait().unwrap();
    again.sweep().await;
    assert!(!world.kernel.state().installed.contains_key(&lost.key), "its place is free once it has ended");
}

#[tokio::test]
async fn what_an_agentd_with_other_maps_governed_is_taken_over_once_its_agents_are_back() {
    let world = world();
    let agent = world.registry.enroll(enrolment(&world)).await.unwrap().agent;
    {
        let mut state = world.kernel.state();
        state.installed.clear();
        state.left = std::mem::take(&mut state.labels);
    }
    let again = registry(&world.home, &world.kernel);
    assert_eq!(again.restore().await.unwrap(), 1, "its processes are known before they have a label here");
    assert_eq!(again.take_over().await, [world.process.id()]);
    assert_eq!(world.kernel.state().labels.get(&world.process.id()), Some(&agent.key));
}

#[tokio::test]
async fn an_agent_that_ended_while_agentd_was_away_is_finished() {
    let mut world = world();
    let agent = world.registry.enroll(enrolment(&world)).await.unwrap().agent;
    world.process.kill().unwrap();
    world.process.wait().unwrap();
    world.kernel.state().labels.clear();
    let again = registry(&world.home, &world.kernel);
    assert_eq!(again.restore().await.unwrap(), 0);
    assert!(world.kernel.state().installed.is_empty());
    let listed = again.list().unwrap();
    assert_eq!((listed[0].name.clone(), listed[0].state), (agent.name, AgentState::Finished));
}

#[tokio::test]
async fn an_agent_that_the_kernel_has_forgotten_is_finished_after_a_reboot() {
    let mut world = world();
    let agent = world.registry.enroll(enrolment(&world)).await.unwrap().agent;
    world.process.kill().unwrap();
    world.process.wait().unwrap();
    world.kernel.state().labels.clear();
    world.kernel.state().installed.clear();
    let again = registry(&world.home, &world.kernel);
    assert_eq!(again.restore().await.unwrap(), 0);
    let listed = again.list().unwrap();
    assert_eq!((listed[0].name.clone(), listed[0].state), (agent.name, AgentState::Finished));
}

#[tokio::test]
async fn an_agent_keeps_running_while_it_has_processes() {
    let world = world();
    world.registry.enroll(enrolment(&world)).await.unwrap();
    world.registry.sweep().await;
    assert_eq!(world.registry.running().unwrap().len(), 1);
}

#[tokio::test]
async fn a_pid_that_went_to_another_process_is_not_governed() {
    let world = world();
    let mut enrolment = enrolment(&world);
    enrolment.owner = enrolment.owner.map(|mut owner| {
        owner.start_ticks -= 1;
        owner
    });
    world.registry.enroll(enrolment).await.unwrap_err();
    assert!(world.kernel.state().labels.is_empty());
}
