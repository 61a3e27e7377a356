use std::collections::VecDeque;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use agentguard_core::approval::{Reuse, State, Vote};
use agentguard_core::held::Asker;
use agentguard_core::ids::IncidentId;
use agentguard_core::record::Object;
use agentguard_core::verdict::Verdict;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use hmac::{Hmac, Mac as _};
use reqwest::Url;
use sha2::Sha256;
use tokio::net::TcpListener;

use super::*;
use crate::config::notify::Format;
use crate::testing::{eventually, record};

const SECRET: &str = "0123456789abcdef";
const SHORT_PAUSE: Duration = Duration::from_millis(1);

fn view(id: &str) -> ApprovalView {
    ApprovalView {
        id: IncidentId(id.to_owned()),
        state: State::Pending,
        severity: Severity::High,
        reason: "may it?".to_owned(),
        decided_by: None,
        asked_ns: 1_000_000_000,
        deadline_ns: 301_000_000_000,
        needed: 1,
        votes: Vec::new(),
        sha256: "00".to_owned(),
        record: record("/srv/x", 1, Verdict::Hold),
        asker: Asker::default(),
    }
}

fn target(to: To) -> Target {
    Target {
        severities: [Severity::High].into(),
        on: [Event::Asked, Event::Settled].into(),
        format: Format::Json,
        to,
        timeout: Duration::from_secs(10),
    }
}

/// A receiver that answers what it is told to, then 200.
#[derive(Clone, Default)]
struct Receiver {
    answers: Arc<Mutex<VecDeque<u16>>>,
    heard: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

impl Receiver {
    async fn start(answers: impl IntoIterator<Item = u16>) -> (Self, Url) {
        let receiver = Self::default();
        receiver.answers.lock().unwrap().extend(answers);
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let url = Url::parse(&format!("http://{}/hook", listener.local_addr().unwrap())).unwrap();
        let hears = receiver.clone();
        let router = Router::new().fallback(async move |headers: HeaderMap, body: Bytes| {
            hears.heard.lock().unwrap().push((headers, body));
            let answer = hears.answers.lock().unwrap().pop_front().unwrap_or(200);
            (StatusCode::from_u16(answer).unwrap(), [("location", "/elsewhere"), ("retry-after", "0")])
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, url)
    }

    fn heard(&self) -> Vec<(HeaderMap, Bytes)> {
        self.heard.lock().unwrap().clone()
    }
}

fn start(target: Target) -> Notifier {
    Notifier::with_pauses(&[target], "host-1", SHORT_PAUSE).unwrap()
}

/// Delivered, failed, dropped; once there are so many of them.
async fn outcomes(notifier: &Notifier, count: u64) -> [u64; 3] {
    eventually("notifications", async || {
        let of = notifier.outcomes().remove(0);
        let all = [of.delivered, of.failed, of.dropped];
        (all.iter().sum::<u64>() >= count).then_some(all)
    })
    .await
}

/// A file of root's that nobody else reads; none where the tests do not run as root.
fn secret_file(folder: &Path) -> Option<PathBuf> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root has files of root's");
        return None;
    }
    let path = folder.join("secret");
    std::fs::write(&path, format!("{SECRET}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    Some(path)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
}

#[tokio::test]
async fn a_webhook_gets_the_approval_and_its_signature_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let Some(secret_file) = secret_file(folder.path()) else { return };
    let (receiver, url) = Receiver::start([]).await;
    let notifier = start(target(To::Webhook { url, secret_file: Some(secret_file) }));
    notifier.tell(Event::Asked, &view("inc-1"));
    assert_eq!(outcomes(&notifier, 1).await, [1, 0, 0]);
    let (headers, body) = receiver.heard().remove(0);
    let said: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&said["event"], &said["host"]), (&"asked".into(), &"host-1".into()));
    let approval: ApprovalView = serde_json::from_value(said["approval"].clone()).unwrap();
    assert_eq!(approval, view("inc-1"));

    let timestamp = header(&headers, "x-agentguard-timestamp");
    let age = crate::clock::wall_ns() / 1_000_000_000 - timestamp.parse::<u64>().unwrap();
    assert!(age < 60, "{age}");
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    let mac = mac.chain_update(format!("{timestamp}.")).chain_update(&body).finalize().into_bytes();
    assert_eq!(header(&headers, "x-agentguard-signature"), format!("v1={}", hex::encode(mac)));
}

#[tokio::test]
async fn a_failing_receiver_is_tried_again_and_can_tell_that_it_is() {
    let (receiver, url) = Receiver::start([500, 429]).await;
    let notifier = start(target(To::Webhook { url, secret_file: None }));
    notifier.tell(Event::Asked, &view("inc-1"));
    notifier.tell(Event::Settled, &view("inc-1"));
    assert_eq!(outcomes(&notifier, 2).await, [2, 0, 0]);
    let heard = receiver.heard();
    let keys: Vec<&str> = heard.iter().map(|(headers, _)| header(headers, "idempotency-key")).collect();
    let [first, again, third, other] = keys.as_slice() else { panic!("{keys:?}") };
    assert_eq!((first, first), (again, third));
    assert_ne!(first, other);
    assert!(heard[0].0.get("x-agentguard-signature").is_none());
}

#[tokio::test]
async fn a_receiver_that_goes_on_failing_is_given_up() {
    let (receiver, url) = Receiver::start([503; 10]).await;
    let notifier = start(target(To::Webhook { url, secret_file: None }));
    notifier.tell(Event::Asked, &view("inc-1"));
    assert_eq!(outcomes(&notifier, 1).await, [0, 1, 0]);
    assert_eq!(receiver.heard().len(), 5);
}

#[tokio::test]
async fn a_refusal_or_a_redirect_is_not_tried_again() {
    let (receiver, url) = Receiver::start([400, 307]).await;
    let notifier = start(target(To::Webhook { url, secret_file: None }));
    notifier.tell(Event::Asked, &view("inc-1"));
    notifier.tell(Event::Asked, &view("inc-2"));
    notifier.tell(Event::Asked, &view("inc-3"));
    assert_eq!(outcomes(&notifier, 3).await, [1, 2, 0]);
    assert_eq!(receiver.heard().len(), 3);
}

#[tokio::test]
async fn a_failure_does_not_name_the_url() {
    // Nobody listens there any more.
    let address =
        TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap().local_addr().unwrap();
    let url = Url::parse(&format!("http://{address}/token")).unwrap();
    let webhook = Webhook::new(url, None, Duration::from_secs(10)).unwrap();
    let failure = webhook.post(b"{}").await.unwrap_err();
    assert!(matches!(failure, Failure::Passing(_, None)), "{failure:?}");
    assert!(failure.to_string().contains("refused") && !failure.to_string().contains("token"), "{failure}");
}

#[tokio::test]
async fn only_those_who_want_to_know_are_told() {
    let (receiver, url) = Receiver::start([]).await;
    let wanted = Target { on: [Event::Settled].into(), ..target(To::Webhook { url, secret_file: None }) };
    let notifier = start(wanted);
    notifier.tell(Event::Asked, &view("inc-1"));
    notifier.tell(Event::Settled, &ApprovalView { severity: Severity::Medium, ..view("inc-2") });
    notifier.tell(Event::Settled, &view("inc-3"));
    assert_eq!(outcomes(&notifier, 1).await, [1, 0, 0]);
    let (_, body) = receiver.heard().remove(0);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["approval"]["id"], "inc-3");
    Notifier::default().tell(Event::Asked, &view("inc-4"));
}

/// What would be logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_full_queue_drops_its_oldest_and_says_so_once() {
    let to = To::Command { program: "/usr/bin/tell".into(), arguments: Vec::new() };
    let queue = Arc::new(Queue::new(1, &target(to)));
    let notifier = Notifier(Arc::new(vec![queue.clone()]));
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        for number in 0..QUEUE + 10 {
            notifier.tell(Event::Asked, &view(&format!("inc-{number}")));
        }
    });
    assert_eq!(
        notifier.outcomes(),
        [Outcomes { target: "1-tell".into(), waiting: 256, delivered: 0, failed: 0, dropped: 10 }]
    );
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("the oldest of 256 are dropped"), "{log}");
    assert_eq!(queue.next().await.view.id.0, "inc-10");
    assert_eq!(queue.waiting().told.len(), QUEUE - 1);
}

#[tokio::test]
async fn a_command_gets_the_body_and_nothing_of_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let (body, environment) = (folder.path().join("body"), folder.path().join("environment"));
    let script = format!("env > {}; cat > {}", environment.display(), body.display());
    let to = To::Command { program: "/bin/sh".into(), arguments: vec!["-c".into(), script] };
    let notifier = start(target(to));
    notifier.tell(Event::Asked, &view("inc-1"));
    assert_eq!(outcomes(&notifier, 1).await, [1, 0, 0]);
    let said: serde_json::Value = serde_json::from_slice(&std::fs::read(body).unwrap()).unwrap();
    assert_eq!(said["approval"]["id"], "inc-1");
    let environment = std::fs::read_to_string(environment).unwrap();
    // The shell adds these itself.
    let given: Vec<&str> = environment
        .lines()
        .filter(|line| !["PWD=", "SHLVL=", "_="].iter().any(|own| line.starts_with(own)))
        .collect();
    assert_eq!(given.len(), 1, "{given:?}");
    assert!(given[0].starts_with("PATH=/usr/local/sbin:"), "{given:?}");
}

#[tokio::test]
async fn a_command_that_fails_or_reads_nothing_is_judged_by_its_end() {
    let body = vec![b'x'; 1 << 20];
    let run = async |program: &str| {
        Command::new(program.into(), Vec::new(), Duration::from_secs(10)).run(&body).await
    };
    assert!(run("/bin/true").await.is_ok());
    let failure = run("/bin/false").await.unwrap_err().to_string();
    assert!(failure.contains("exit status: 1"), "{failure}");
    let failure = run("/nonexistent/x").await.unwrap_err().to_string();
    assert!(failure.starts_with("/nonexistent/x: No such file"), "{failure}");
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_at_its_limit_with_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let script = format!("sleep 600 & echo $$ $! > {}; wait", pids.display());
    let command = Command::new("/bin/sh".into(), vec!["-c".into(), script], Duration::from_secs(2));
    let failure = command.run(b"{}").await.unwrap_err();
    assert_eq!(failure.to_string(), "/bin/sh took longer than 2 s and was killed");
    let pids = std::fs::read_to_string(pids).unwrap();
    let pids: Vec<&str> = pids.split_whitespace().collect();
    assert_eq!(pids.len(), 2);
    // A zombie that nobody waits for has ended as well.
    let has_ended = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
    };
    eventually("the group to end", async || pids.iter().all(|pid| has_ended(pid)).then_some(())).await;
}

#[test]
fn a_secret_is_for_root_alone() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = secret_file(folder.path()) else { return };
    let refused = |path: &Path| {
        let to = To::Webhook { url: Url::parse("https://x/").unwrap(), secret_file: Some(path.to_owned()) };
        check(&[target(to)]).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(refused(&path), "");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = refused(&path);
    assert_eq!(
        error,
        format!("`secret_file` {}: can be used by others than root; chmod 600 it", path.display())
    );
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(&path, Some(1000), None).unwrap();
    assert!(refused(&path).contains("does not belong to root"));
    std::os::unix::fs::chown(&path, Some(0), None).unwrap();
    std::fs::File::create(&path).unwrap().write_all(b"short\n").unwrap();
    assert!(refused(&path).contains("shorter than 16"));
    assert!(refused(Path::new("/nonexistent")).contains("No such file"));
    assert!(refused(folder.path()).contains("is not a file"));
}

#[test]
fn slack_reads_words_of_agents_as_plain_text() {
    let mut asked = view("inc-1");
    asked.record.object = Object::Exec {
        path: "/usr/bin/git".into(),
        cwd: "/".into(),
        argv: vec!["git".into(), "<!channel>\n*ok* `x` & more".into()],
        truncated: false,
        inode: 0,
        device: String::new(),
    };
    asked.record.call = "exec".into();
    asked.votes.push(Vote {
        by: "uid 0 (root)".into(),
        allow: true,
        because: "<seen>".into(),
        reuse: Reuse::Once,
        time_ns: 1,
    });
    let read = |event| -> serde_json::Value {
        serde_json::from_slice(&body::write(Format::Slack, "host-1", event, &asked).unwrap()).unwrap()
    };
    let said = read(Event::Asked);
    assert_eq!(said["text"], "HIGH: tester waits for a person");
    let blocks = said["blocks"].as_array().unwrap();
    assert_eq!(
        blocks[1]["text"],
        serde_json::json!({"type": "plain_text", "emoji": false,
            "text": "asks: exec /usr/bin/git (git &lt;!channel&gt;\\n*ok* `x` &amp; more)"})
    );
    assert_eq!(blocks[2]["text"]["text"], "why: may it?");
    let deadline = &blocks[3]["fields"][0]["text"];
    assert_eq!(deadline, "*Deadline*\n<!date^301^{date_short_pretty} {time_secs}|1970-01-01T00:05:01Z>");
    assert_eq!(blocks[4]["text"]["text"], "`agentctl approvals show inc-1`");
    assert_eq!(blocks.len(), 5);
    asked.state = State::Approved;
    let said: serde_json::Value =
        serde_json::from_slice(&body::write(Format::Slack, "host-1", Event::Settled, &asked).unwrap())
            .unwrap();
    assert_eq!(said["text"], "HIGH: tester was approved");
    assert_eq!(said["blocks"][3]["text"]["text"], "answer: uid 0 (root): &lt;seen&gt;");
}
