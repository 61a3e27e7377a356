use std::process::{Child, Command};

use agentguard_api::report::{AgentState, EventLine, PolicyLine, ReplayLine};
use agentguard_api::v1::enroll_request::Target;
use agentguard_api::v1::{
    EnrollRequest, EventFilter, EventsRequest, PolicyExplainRequest, PolicyFile, PolicyReplayRequest,
    PolicyTreeRequest, QueryRequest,
};
use agentguard_api::{Client, ClientError};
use agentguard_bpf::types as wire;
use agentguard_core::record::Record;
use agentguard_core::verdict::Verdict;

use super::*;
use crate::kernel::fake::Fake;
use crate::sense::sample::{self, Raw};
use crate::testing::{Home, OTHER_POLICY, SPEC, eventually};

struct World {
    home: Home,
    kernel: Arc<Fake>,
    running: Running,
    process: Child,
}

/// A started daemon; none where the tests do not run as root, who alone may use its API.
async fn world() -> Option<World> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root may use the API of a daemon under test");
        return None;
    }
    let home = Home::new();
    let kernel = Arc::new(Fake::default());
    let running = Running::start(home.config(), kernel.clone()).await.unwrap();
    let process = Command::new("sleep").arg("600").spawn().unwrap();
    Some(World { home, kernel, running, process })
}

impl World {
    async fn client(&self) -> Client {
        Client::connect(&self.home.config().socket).await.unwrap()
    }

    async fn enroll(&self) -> agentguard_api::report::AgentView {
        let request = EnrollRequest {
            spec_toml: SPEC.to_owned(),
            spec_file: "tester.toml".to_owned(),
            target: Some(Target::Pid(self.process.id())),
            ..EnrollRequest::default()
        };
        self.client().await.enroll(request).await.unwrap().agent
    }

    fn happens(&self, records: impl IntoIterator<Item = Raw>) {
        self.kernel.state().ring.extend(records.into_iter().map(|raw| raw.0));
    }

    async fn past(&self, filter: EventFilter) -> Vec<Record> {
        let request = EventsRequest { filter: Some(filter), follow: false, limit: 1000 };
        let mut lines = self.client().await.events(request).await.unwrap();
        let mut records = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            match line {
                EventLine::Record(record) => records.push(*record),
                EventLine::Skipped { skipped } => panic!("{skipped} skipped"),
            }
        }
        records
    }

    async fn recorded(&self, count: usize) -> Vec<Record> {
        eventually("records", async || {
            Some(self.past(EventFilter::default()).await).filter(|all| all.len() >= count)
        })
        .await
    }

    async fn end(mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.running.stop().await.unwrap();
    }
}

/// What a reload changed, behind its progress.
async fn changed(mut lines: agentguard_api::Documents<PolicyLine>) -> agentguard_api::report::PolicyChange {
    loop {
        match lines.next().await.unwrap().expect("a change at the end") {
            PolicyLine::Progress { done, total } => assert!(done <= total),
            PolicyLine::Change(change) => return change,
        }
    }
}

#[tokio::test]
async fn raw_bytes_become_records_metrics_and_a_live_stream() {
    let Some(world) = world().await else { return };
    let key = world.enroll().await.key;
    let follow = EventsRequest { filter: None, follow: true, limit: 0 };
    let mut live = world.client().await.events(follow).await.unwrap();
    eventually("the follower", async || (world.running.daemon.followers.count() == 1).then_some(())).await;
    let address = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
    let mut garbage = sample::exit(0);
    garbage.0.truncate(40);
    world.happens([
        sample::exec("/usr/bin/git", "/srv", &["git", "push", "--force"]).of(key, 1),
        sample::open("/srv/secret/key", 0).of(key, 1).denied_by(wire::layer::LAYER_GUARDRAIL, 1),
        sample::open("/usr/share/x", 9).of(key, 1),
        garbage,
        sample::file_io(9, 100, 20).of(key, 1),
        sample::resolved("api.example.com", address).of(key, 1),
        sample::connect(address, 443).of(key, 1),
        sample::exit(3).of(key, 1),
    ]);
    let records = world.recorded(7).await;
    let calls: Vec<&str> = records.iter().map(|record| record.call.as_str()).collect();
    assert_eq!(calls, ["exec", "open", "open", "file_io", "resolve", "connect", "exit"]);

    let denied = &records[1];
    assert_eq!(denied.agent.0, "tester");
    assert_eq!(denied.process.exe.as_deref(), Some("/usr/bin/git"));
    assert_eq!(denied.decision.rule.as_deref(), Some("small.secrets"));
    assert_eq!(denied.decision.source.as_ref().unwrap().line, 4);
    assert!(denied.incident.is_some());
    assert_eq!(records[0].findings[0].id, "small.force_push");
    assert!(
        matches!(&records[3].object, agentguard_core::record::Object::FileIo { path, .. } if path == "/usr/share/x")
    );
    let connect = &records[5].object;
    assert!(
        matches!(connect, agentguard_core::record::Object::Address { name: Some(name), .. } if name == "api.example.com")
    );

    for record in &records {
        let EventLine::Record(line) = live.next().await.unwrap().unwrap() else { panic!("a gap") };
        assert_eq!(*line, *record);
    }
    let counters = Arc::new(EventCounters::default());
    let page = crate::export::metrics::page(
        &counters,
        &GovernanceCounters::default(),
        snapshot::of(world.running.daemon.clone(), String::new())(),
    )
    .unwrap();
    for line in [
        "agentguard_events_lost_total{stage=\"decode\"} 1",
        "agentguard_agents{mode=\"enforce\"} 1",
        "agentguard_kernel_total{counter=\"emitted\"} 7",
        "agentguard_program_recursion_misses_total{program=\"file_open\"} 1",
        "agentguard_backend{backend=\"lsm\"} 1",
    ] {
        assert!(page.contains(line), "{line} is missing in\n{page}");
    }
    let agents = world.client().await.agents().await.unwrap();
    assert_eq!((agents[0].records, agents[0].denied), (7, 1));
    world.end().await;
}

#[tokio::test]
async fn a_denial_is_explained_by_its_incident() {
    let Some(world) = world().await else { return };
    let key = world.enroll().await.key;
    world.happens([sample::open("/srv/secret/key", 0).of(key, 1).denied_by(wire::layer::LAYER_GUARDRAIL, 1)]);
    let record = world.recorded(1).await.remove(0);
    let mut client = world.client().await;
    let explained = client.explain(&record.incident.as_ref().unwrap().0).await.unwrap();
    assert_eq!(explained.record, record);
    assert_eq!(explained.rule.unwrap().id, "small.secrets");
    assert_eq!(explained.layers.len(), 2);
    assert!(!explained.remedy.possible);
    assert!(explained.story.iter().any(|line| line.contains("was denied")), "{:?}", explained.story);
    let missing = client.explain("inc-nothing").await.unwrap_err();
    assert!(matches!(missing, ClientError::NotFound(_)), "{missing}");
    world.end().await;
}

#[tokio::test]
async fn rules_are_explained_before_anybody_asks_for_anything() {
    let Some(world) = world().await else { return };
    world.enroll().await;
    let mut client = world.client().await;
    let ask = |operation: &str, object: &str| PolicyExplainRequest {
        agent: "tester".to_owned(),
        operation: operation.to_owned(),
        object: object.to_owned(),
    };
    let denied = client.policy_explain(ask("read", "/srv/secret/x")).await.unwrap();
    assert_eq!((denied.verdict, denied.enforced), (Verdict::Deny, true));
    let allowed = client.policy_explain(ask("read", "/usr/share/x")).await.unwrap();
    assert_eq!((allowed.verdict, allowed.remedy), (Verdict::Allow, None));
    let capability = client.policy_explain(ask("capability", "cap_net_admin")).await.unwrap();
    assert_eq!(capability.operation, "capability");
    for (operation, object) in [("raed", "/x"), ("read", "x"), ("socket_raw", "x")] {
        let wrong = client.policy_explain(ask(operation, object)).await.unwrap_err();
        assert!(matches!(wrong, ClientError::Invalid(_)), "{wrong}");
    }
    world.end().await;
}

#[tokio::test]
async fn another_policy_is_compared_replayed_and_put_into_force() {
    let Some(world) = world().await else { return };
    let key = world.enroll().await.key;
    world.happens([
        sample::open("/srv/secret/key", 0).of(key, 1).denied_by(wire::layer::LAYER_GUARDRAIL, 1),
        sample::open("/usr/share/x", 0).of(key, 1),
    ]);
    world.recorded(2).await;
    let tree = PolicyTreeRequest {
        files: vec![PolicyFile { path: "small/small.rego".to_owned(), content: OTHER_POLICY.to_owned() }],
    };
    let mut client = world.client().await;
    let diff = client.policy_diff(tree.clone()).await.unwrap();
    assert_ne!(diff.from, diff.to);
    assert!(!diff.agents[0].added.is_empty() && !diff.agents[0].removed.is_empty());

    let request = PolicyReplayRequest { policy: Some(tree), filter: None, limit: 0 };
    let mut lines = client.policy_replay(request).await.unwrap();
    let mut all = Vec::new();
    while let Some(line) = lines.next().await.unwrap() {
        all.push(line);
    }
    // Without the guardrail the spec's default still denies, so nothing changes.
    assert!(matches!(all.last(), Some(ReplayLine::Summary { replayed: 2, changed: 0, .. })), "{all:?}");

    world.home.write_policy(OTHER_POLICY);
    let change = changed(client.policy_reload().await.unwrap()).await;
    assert_eq!((change.version.as_str(), change.agents), (diff.to.as_str(), 1));
    assert_eq!(client.policy_history().await.unwrap().len(), 2);
    assert_eq!(changed(client.policy_rollback("").await.unwrap()).await.version, diff.from);
    world.end().await;
}

#[tokio::test]
async fn sql_reads_what_was_recorded() {
    let Some(world) = world().await else { return };
    let key = world.enroll().await.key;
    world.happens([sample::open("/usr/share/x", 0).of(key, 1)]);
    world.recorded(1).await;
    let mut client = world.client().await;
    let ask = |sql: &str| QueryRequest { sql: sql.to_owned(), max_rows: 0, timeout_ms: 0 };
    let mut rows = client.query(ask("SELECT agent, path FROM events")).await.unwrap();
    let row = rows.next().await.unwrap().unwrap();
    assert_eq!((&row["agent"], &row["path"]), (&"tester".into(), &"/usr/share/x".into()));
    let mut refused = client.query(ask("DELETE FROM events")).await.unwrap();
    let error = refused.next().await.unwrap_err();
    assert!(matches!(error, ClientError::Invalid(_)), "{error}");
    world.end().await;
}

#[tokio::test]
async fn a_governed_caller_is_refused() {
    let Some(world) = world().await else { return };
    let key = world.enroll().await.key;
    world.kernel.state().labels.insert(std::process::id(), key);
    let error = world.client().await.status().await.unwrap_err();
    assert!(matches!(error, ClientError::Denied(_)), "{error}");
    world.kernel.state().labels.remove(&std::process::id());
    world.end().await;
}

#[tokio::test]
async fn status_tells_a_canary_that_went_through() {
    let Some(world) = world().await else { return };
    let status = world.client().await.status().await.unwrap();
    assert!(status.canary.ok);
    assert_eq!((status.backend.as_str(), status.problems.len()), ("lsm", 0));
    world.kernel.state().canary_goes_through = true;
    let canary = world.running.daemon.health.canary(Duration::ZERO);
    assert!(!canary.ok && canary.problem.unwrap().contains("not confined"));
    world.end().await;
}

#[tokio::test]
async fn what_was_sensed_before_a_stop_is_stored_and_the_agent_is_there_after_it() {
    let Some(world) = world().await else { return };
    let key = world.enroll().await.key;
    world.happens((0..500).map(|_| sample::open("/usr/share/x", 0).of(key, 1)));
    eventually("the ring to be read", async || world.kernel.state().ring.is_empty().then_some(())).await;
    let World { home, kernel, running, mut process } = world;
    running.stop().await.unwrap();
    let again = Running::start(home.config(), kernel.clone()).await.unwrap();
    assert_eq!(again.daemon.store.status().unwrap().records, 500);
    let agents = again.daemon.registry.list().unwrap();
    assert_eq!(agents[0].state, AgentState::Running);
    again.stop().await.unwrap();
    let _ = process.kill();
    let _ = process.wait();
}

#[test]
fn unloading_where_nothing_is_pinned_is_done_already() {
    let home = Home::new();
    let config = Config { pin_dir: home.path().join("pins"), ..home.config() };
    unload(&config).unwrap();
}
