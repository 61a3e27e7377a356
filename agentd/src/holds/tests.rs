use agentguard_core::ids::AgentKey;

use super::*;
use crate::config::notify::{Event, Format, Target, To};
use crate::kernel::HeldRequest;
use crate::kernel::fake::Fake;
use crate::sense::event::HoldMark;
use crate::testing::{Home, eventually, record};

/// No process has it: Linux ends at 2^22.
const NOBODY: u32 = 1 << 23;

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
    let notifier = Notifier::start(&[target], "host-1").unwrap();
    let kernel = Arc::new(Fake::default());
    let policy = Arc::new(InUse::start(&home.policy(), &home.state()).unwrap());
    let store = Store::open(&home.state()).unwrap();
    let (limits, counters) = (HoldLimits::default(), Arc::default());
    let (holds, _asked, _questions) =
        Holds::new(kernel.clone(), policy, store, notifier, limits, counters).unwrap();
    let request = HeldRequest { agent: AgentKey { slot: 1, serial: 1 }, hash: [1, 2] };
    kernel.state().held.push(Held {
        id: 7,
        request,
        pid: NOBODY,
        tid: NOBODY,
        start_ns: 1,
        since_ns: clock::boot_ns(),
        is_exec: false,
    });
    let waiting = Waiting {
        mark: HoldMark { id: 7, again: false },
        rules: None,
        generation: 1,
        verdict: Verdict::Hold,
    };
    holds.0.consider(Asked { record: record("/srv/x", 1, Verdict::Hold), waiting });
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
