use agentguard_core::ids::AgentKey;
use agentguard_core::rule::Defaults;

use super::*;
use crate::agents::directory::InForce;
use crate::config::notify::{Event, Format, Target, To};
use crate::kernel::HeldRequest;
use crate::kernel::fake::Fake;
use crate::sense::event::HoldMark;
use crate::testing::{Home, eventually, record};

/// No process has it: Linux ends at 2^22.
const NOBODY: u32 = 1 << 23;

/// A service. What it was before is left as a killed agentd leaves it.
fn service(home: &Home, kernel: &Arc<Fake>, limits: HoldLimits) -> Holds {
    telling(&[], home, kernel, limits)
}

/// One that tells people.
fn telling(targets: &[Target], home: &Home, kernel: &Arc<Fake>, limits: HoldLimits) -> Holds {
    let policy = Arc::new(home.policy_in_use());
    let store = Store::open(&home.state()).unwrap();
    let audit = crate::governance::open_audit(&home.state(), agentguard_audit::Options::default());
    let notifier = Notifier::start(targets, "host-1").unwrap();
    Holds::new(kernel.clone(), policy, store, notifier, limits, Arc::default(), audit).unwrap().0
}

fn held(id: u64, since_ns: u64) -> Held {
    let request = HeldRequest { agent: AgentKey { slot: 1, serial: 1 }, hash: [id, 2] };
    Held { id, request, pid: NOBODY, tid: NOBODY, start_ns: 1, since_ns, is_exec: false }
}

fn ask(holds: &Holds, kernel: &Fake, one: Held) {
    ask_about("/srv/x", holds, kernel, one);
}

fn ask_about(path: &str, holds: &Holds, kernel: &Fake, one: Held) {
    let mark = HoldMark { id: one.id, again: false };
    kernel.state().held.push(one);
    let waiting = Waiting { mark, rules: Some(Arc::new(rules())), generation: 1, verdict: Verdict::Hold };
    holds.0.consider(Asked { record: record(path, 1, Verdict::Hold), waiting });
}

fn rules() -> InForce {
    let input = serde_json::json!({
        "agent": {
            "name": "tester", "role": "analysis", "tier": 1, "mode": "enforce", "spec": {}, "uid": 1000,
            "home": "/home/ada", "variables": {},
        },
        "host": {
            "hostname": "host-1", "kernel": "6.1.0", "backend": "lsm", "runtime_sockets": [], "nameservers": [],
            "interfaces": [],
        },
    });
    let allow = Verdict::Allow;
    let defaults = Defaults { files: allow, exec: allow, network: allow, unix: allow, process: allow };
    let input = serde_json::from_value(input).unwrap();
    InForce { rules: Vec::new(), defaults, version: "1".to_owned(), input }
}

fn pending(holds: &Holds) -> Vec<String> {
    holds.list(false).unwrap().into_iter().map(|one| one.id.0).collect()
}

#[tokio::test]
async fn the_same_question_under_another_policy_has_another_fingerprint() {
    let (home, kernel) = (Home::new(), Arc::new(Fake::default()));
    let fingerprint = |holds: &Holds| holds.get("hold-1").unwrap().unwrap().sha256;
    let holds = service(&home, &kernel, HoldLimits::default());
    ask(&holds, &kernel, held(1, 7));
    let first = fingerprint(&holds);
    drop(holds);
    let fresh = || (Home::new(), Arc::new(Fake::default()));
    let (home, kernel) = fresh();
    let holds = service(&home, &kernel, HoldLimits::default());
    ask(&holds, &kernel, held(1, 7));
    assert_eq!(fingerprint(&holds), first, "it says nothing of when and where it was asked");
    let (home, kernel) = fresh();
    home.write_policy(crate::testing::OTHER_POLICY);
    let holds = service(&home, &kernel, HoldLimits::default());
    ask(&holds, &kernel, held(1, 7));
    assert_ne!(fingerprint(&holds), first);
}

#[tokio::test]
async fn what_is_more_than_people_are_asked_at_once_is_denied() {
    let (home, kernel) = (Home::new(), Arc::new(Fake::default()));
    let holds = service(&home, &kernel, HoldLimits { most_of_agent: 2, ..HoldLimits::default() });
    for id in 1..=3 {
        ask(&holds, &kernel, held(id, clock::boot_ns()));
    }
    assert_eq!(pending(&holds), ["hold-1", "hold-2"]);
    assert_eq!(kernel.state().answers.get(&3), Some(&false));
    let denied = holds.get("hold-3").unwrap().unwrap();
    assert_eq!((denied.state, denied.decided_by.as_deref()), (State::Denied, Some("holds.most_of_agent")));
    assert_eq!(denied.reason, "2 requests of this agent wait for people already");
    let mut other = held(4, clock::boot_ns());
    other.request.agent.serial = 2;
    ask(&holds, &kernel, other);
    assert_eq!(pending(&holds).len(), 3, "of another agent");
}

#[tokio::test]
async fn a_deadline_that_passed_while_agentd_was_away_begins_again_if_policy_says_so() {
    let (home, kernel) = (Home::new(), Arc::new(Fake::default()));
    home.write_policy(
        r#"package agentguard.small

decide contains {
    "id": "patient",
    "answer": "ask",
    "severity": "HIGH",
    "reason": "people shall see it",
    "deadline_sec": 60,
    "unattended": "renew",
} if {
    input.request.path == "/srv/patient"
}
"#,
    );
    let holds = service(&home, &kernel, HoldLimits { deadline_sec: 60, ..HoldLimits::default() });
    // Both began to wait long ago.
    let since_ns = clock::boot_ns().saturating_sub(61 * NS_PER_SEC);
    ask(&holds, &kernel, held(1, since_ns));
    ask_about("/srv/patient", &holds, &kernel, held(2, since_ns));
    drop(holds);
    let again = service(&home, &kernel, HoldLimits::default());
    again.tick();
    assert_eq!(pending(&again), ["hold-2"]);
    let renewed = again.0.pending()["hold-2"].stored.approval.deadline_ns;
    assert!(renewed > clock::boot_ns() + 50 * NS_PER_SEC, "the whole time once more");
    assert_eq!(kernel.state().answers.get(&1), Some(&false));
    assert_eq!(kernel.state().answers.get(&2), None);
}

#[tokio::test]
async fn people_are_told_of_what_waits_and_of_what_became_of_it() {
    let home = Home::new();
    let heard = home.path().join("heard");
    let script = format!("cat >> {0}; echo >> {0}", heard.display());
    let target = Target {
        severities: [Severity::Critical].into(),
        on: [Event::Asked, Event::Settled].into(),
        format: Format::Json,
        to: To::Command { program: "/bin/sh".into(), arguments: vec!["-c".into(), script] },
        timeout: Duration::from_secs(10),
    };
    let kernel = Arc::new(Fake::default());
    let holds = telling(&[target], &home, &kernel, HoldLimits::default());
    ask(&holds, &kernel, held(7, clock::boot_ns()));
    let vote = Vote {
        by: "uid 0 (root)".to_owned(),
        allow: false,
        because: "no".to_owned(),
        reuse: Reuse::Once,
        time_ns: 1,
    };
    holds.answer("hold-7", vote).unwrap();
    let told = eventually("two notifications", async || {
        let told = std::fs::read_to_string(&heard).ok()?;
        (told.lines().count() == 2 && told.ends_with('\n')).then_some(told)
    })
    .await;
    let told: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let what = |one: &serde_json::Value| {
        let approval = &one["approval"];
        [&one["event"], &approval["id"], &approval["state"]].map(|word| word.as_str().unwrap().to_owned())
    };
    assert_eq!(what(&told[0]), ["asked", "hold-7", "pending"]);
    assert_eq!(what(&told[1]), ["settled", "hold-7", "denied"]);
    assert_eq!(kernel.state().answers.get(&7), Some(&false));
}
