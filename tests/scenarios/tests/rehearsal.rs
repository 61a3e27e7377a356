//! Every scenario without governance, through a stand-in for agentctl that runs the command as it is: what agentd is
//! to deny must work here, else a denial would prove nothing, and what must work under governance must work here.
//!
//! Needs root and takes minutes; run it in namespaces of its own, with the addresses of the test machine:
//!
//!     unshare --mount --net --propagation private sh -c '
//!         ip link set lo up
//!         for a in 10.77.0.1/24 10.77.0.2/24 169.254.169.254/32 fd00:77::1/64; do ip addr add $a dev lo; done
//!         cargo test -p agentguard-scenarios --test rehearsal -- --ignored --nocapture'

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use agentguard_scenarios::{Context, NoProgress, Outcome, Scenario, Status, load_all, run};

/// Says it blocks, runs what it is given, and has no records.
const STAND_IN: &str = r#"#!/bin/sh
case "$1" in
run)
    while [ "$1" != -- ]; do
        [ "$1" != --env ] || export "$2"
        shift
    done
    shift
    exec "$@" ;;
release) ;;
*)
    case "$*" in
    *status*) echo '{"backend": "lsm"}' ;;
    esac ;;
esac
"#;

/// Must not be tried without a kernel that denies it, or change nothing without agentd.
const NOT_REHEARSED: &[&str] = &["F3l", "C3b", "C3h", "daemon-stopped", "daemon-killed", "daemon-log", "N7k"];

fn stand_in() -> PathBuf {
    let folder = PathBuf::from("/var/tmp/agentguard-rehearsal");
    fs::create_dir_all(&folder).expect("a folder in /var/tmp");
    let agentctl = folder.join("agentctl");
    fs::write(&agentctl, STAND_IN).expect("the stand-in");
    // In another machine the build's own folders are not there.
    let built = env!("CARGO_BIN_EXE_agentguard-trigger");
    let trigger = std::env::var("TRIGGER").unwrap_or_else(|_| built.to_owned());
    fs::copy(trigger, folder.join("agentguard-trigger")).expect("the trigger");
    fs::set_permissions(&agentctl, fs::Permissions::from_mode(0o755)).expect("its mode");
    agentctl
}

/// What is wrong with how a scenario went without governance.
fn complaint(scenario: &Scenario, outcome: &Outcome) -> Option<String> {
    let why = match outcome {
        Outcome::Passed | Outcome::Open => return None,
        Outcome::Skipped { missing } => return Some(format!("skipped: {missing}")),
        Outcome::Failed { why } => why,
    };
    let tried = match scenario.expect.status {
        Status::Denied | Status::Killed | Status::Failed => why.contains("ended with status 0"),
        Status::Ok | Status::Any => why.contains("no record like") || why.contains("did not say 'loaded'"),
    };
    if tried { None } else { Some(why.clone()) }
}

#[test]
#[ignore = "needs root, namespaces of its own and minutes"]
fn what_agentd_denies_works_without_it() {
    let mut context = Context::discover(&stand_in()).unwrap_or_else(|error| panic!("{error}"));
    context.record_limit_sec = 0;
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut complaints = Vec::new();
    for scenario in load_all().unwrap_or_else(|error| panic!("{error}")) {
        if NOT_REHEARSED.contains(&scenario.id.as_str()) || !scenario.id.starts_with(&only) {
            continue;
        }
        let outcome = run(&scenario, &context, &mut NoProgress);
        if let Some(complaint) = complaint(&scenario, &outcome) {
            println!("{}: {complaint}", scenario.id);
            complaints.push(scenario.id);
        }
    }
    println!("to look at: {complaints:?}");
}
