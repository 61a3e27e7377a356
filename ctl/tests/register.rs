//! Registered agents end to end, against an agentd that plays its part: what reaches it, and what its answers come to.

mod agentd;

use std::process::Output;

use agentd::{Fixture, SPEC, Script};
use serde_json::{Value, json};

fn agentctl(fixture: &Fixture, words: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = fixture.agentctl(words).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn a_new_agent_is_registered_with_its_values_and_its_origin() {
    let script = Script::default();
    let fixture = Fixture::start(script.clone());
    let words = [
        "agent",
        "create",
        "copy",
        "--from",
        "clone",
        "--agent",
        "coder",
        "--set",
        "workspace=/srv",
        "--sandbox-days",
        "7",
        "--owner",
        "platform",
    ];
    let (code, out, error) = agentctl(&fixture, &words);
    assert_eq!(code, 0, "{error}");
    assert!(
        out.starts_with("copy: SANDBOX, revision 2") && out.contains("agentctl agent promote copy"),
        "{out}"
    );
    assert!(error.lines().all(|line| line.starts_with("look at: ")), "{error}");
    let sent = script.registered.lock().unwrap();
    let [request] = sent.as_slice() else { panic!("one request") };
    assert_eq!((request.name.as_str(), request.origin.as_str()), ("copy", "clone of coder"));
    assert_eq!((request.sandbox_days, request.variables["workspace"].as_str()), (7, "/srv"));
    assert!(request.spec_toml.contains("name = \"copy\"") && request.spec_toml.contains("platform"));
}

/// A file that was opened in the workspace.
fn opened(path: &str) -> Value {
    json!({
        "seq": 1, "time_ns": 1, "agent": "trial", "call": "open", "operation": {"class": "path", "op": "read"}, "findings": [],
        "process": {
            "pid": 7, "tid": 7, "start_ns": 1, "parent_pid": 1, "parent_start_ns": 1, "uid": 0, "gid": 0, "comm": "cat",
            "exe": "/usr/bin/cat"
        },
        "object": {"kind": "file", "path": path, "inode": 7, "device": "8:1", "mode": 33188, "flags": 0},
        "decision": {
            "verdict": "allow", "enforced": false, "reason": "rule", "layer": "grant", "rule": "files.read[0]",
            "message": "", "version": "0123456789ab"
        }
    })
}

#[test]
fn what_was_recorded_becomes_a_spec() {
    let documents = vec![opened("/srv/app/a.txt"), json!({"skipped": 3})];
    let fixture = Fixture::start(Script { documents, ..Script::default() });
    let words = [
        "agent",
        "create",
        "x",
        "--from",
        "event",
        "--agent",
        "trial",
        "--workspace",
        "/srv/app",
        "--home",
        "/root",
        "--dry-run",
    ];
    let (code, out, error) = agentctl(&fixture, &words);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("\"${workspace}/a.txt\""), "{out}");
    assert!(error.contains("agentctl: 3 records left out by agentd"), "{error}");
    let nothing = Fixture::start(Script::default());
    let (code, _, error) = agentctl(&nothing, &words);
    assert_eq!(code, 1);
    assert!(error.starts_with("agentctl: nothing is recorded of `trial` in that time"), "{error}");
}

#[test]
fn another_spec_is_checked_before_it_is_sent() {
    let script = Script::default();
    let fixture = Fixture::start(script.clone());
    let file = fixture.folder().join("s.toml");
    std::fs::write(&file, "[agent]\nname = \"coder\"\n").unwrap();
    let update = || agentctl(&fixture, &["agent", "update", "coder", "--spec", file.to_str().unwrap()]);
    let (code, _, error) = update();
    assert_eq!(code, 1);
    assert!(error.contains("s.toml:") && script.registered.lock().unwrap().is_empty(), "{error}");
    std::fs::write(&file, SPEC).unwrap();
    let (code, out, _) = update();
    assert_eq!(code, 0);
    assert!(out.starts_with("coder: SANDBOX, revision 2"), "{out}");
    assert_eq!(script.registered.lock().unwrap()[0].spec_toml, SPEC);
}

#[test]
fn what_already_runs_is_enrolled_as_a_registered_agent() {
    let script = Script { scratch: Some("/run/s".to_owned()), ..Script::default() };
    let fixture = Fixture::start(script.clone());
    let (code, _, error) =
        agentctl(&fixture, &["enroll", "--agent", "coder", "--unit", "x.service", "--set", "workspace=/srv"]);
    assert_eq!(code, 0, "{error}");
    assert!(error.contains("sandbox: writes only to /run/s"), "{error}");
    let sent = script.enrolled.lock().unwrap();
    assert_eq!((sent[0].agent.as_str(), sent[0].spec_toml.as_str()), ("coder", ""));
    assert_eq!(sent[0].variables["workspace"], "/srv");
}

#[test]
fn a_dry_run_prints_the_spec_and_needs_no_agentd() {
    let fixture = Fixture::start(Script::default());
    let words =
        ["--socket", "/nonexistent/agentd.sock", "agent", "create", "x", "--from", "scratch", "--dry-run"];
    let (code, out, error) = agentctl(&fixture, &words);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("name = \"x\"") && error.contains("look at: "), "{out}{error}");
}

#[test]
fn nobody_is_asked_questions_while_agentd_is_not_there() {
    let fixture = Fixture::start(Script::default());
    let words = ["--socket", "/nonexistent/agentd.sock", "agent", "create", "x", "--from", "conversation"];
    let (code, _, error) = agentctl(&fixture, &words);
    assert_eq!((code, error.lines().count()), (3, 1), "{error}");
}

#[test]
fn a_start_sends_the_agent_and_not_its_spec() {
    let script = Script::default();
    let fixture = Fixture::start(script.clone());
    let mut command = fixture.agentctl(&["agent", "start", "coder", "--", "sh", "-c", "exit 7"]);
    assert_eq!(command.current_dir(fixture.folder()).status().unwrap().code(), Some(7));
    let sent = script.enrolled.lock().unwrap();
    let [request] = sent.as_slice() else { panic!("one request") };
    assert_eq!(
        (request.agent.as_str(), request.spec_toml.as_str(), request.mode.as_str()),
        ("coder", "", "")
    );
    let here = fixture.folder().canonicalize().unwrap();
    assert_eq!(request.variables["workspace"], here.to_str().unwrap());
}

#[test]
fn without_a_command_a_start_is_your_shell() {
    let fixture = Fixture::start(Script::default());
    let mut command = fixture.agentctl(&["agent", "start", "coder"]);
    assert!(command.env("SHELL", "/bin/true").status().unwrap().success());
}

#[test]
fn in_the_sandbox_a_command_is_led_to_its_scratch_directory() {
    let script = Script { scratch: Some("/run/agentguard/scratch/coder".to_owned()), ..Script::default() };
    let fixture = Fixture::start(script);
    let words = ["agent", "start", "coder", "--", "sh", "-c", "echo $TMPDIR $AGENTGUARD_SCRATCH"];
    let (code, out, error) = agentctl(&fixture, &words);
    assert_eq!(code, 0);
    assert_eq!(out, "/run/agentguard/scratch/coder /run/agentguard/scratch/coder\n");
    let line = "agentctl: sandbox: writes only to /run/agentguard/scratch/coder, which is removed at the end; no calls\n";
    assert!(error.contains(line), "{error}");
}

#[test]
fn a_refused_promotion_is_1_and_does_not_keep_another_from_being_asked_about() {
    let fixture = Fixture::start(Script::default());
    let (code, out, error) = agentctl(&fixture, &["agent", "promote", "draft", "nobody", "coder"]);
    assert_eq!((code, error.as_str()), (1, "agentctl: nobody: there is no agent `nobody`\n"));
    assert!(out.contains("draft: refused by 1 rule; it stays SANDBOX"), "{out}");
    assert!(out.contains("policies/promotion/promotion.rego:7"), "{out}");
    assert!(out.contains("coder: GOVERNED_VALID"), "{out}");
    assert_eq!(agentctl(&fixture, &["agent", "promote", "coder"]).0, 0);
}

#[test]
fn a_check_for_a_place_is_1_when_anything_stands_against_it() {
    let fixture = Fixture::start(Script::default());
    let check =
        |place: &str| agentctl(&fixture, &["governance", "check", "--agent", "a", "--environment", place]);
    assert_eq!(check("staging"), (0, "a: ok, policy has nothing against it\n".to_owned(), String::new()));
    let (code, out, _) = check("production");
    assert_eq!(code, 1);
    assert!(out.starts_with("a: refused by 1 rule\n") && out.contains("promotion.owner"), "{out}");
}

#[test]
fn the_last_two_specs_are_compared() {
    let fixture = Fixture::start(Script::default());
    let (code, out, _) = agentctl(&fixture, &["agent", "diff", "coder"]);
    assert_eq!(code, 1);
    assert!(out.contains("-# revision 1\n+# revision 2\nhash: the same"), "{out}");
    let file = fixture.folder().join("s.toml");
    std::fs::write(&file, format!("{SPEC}# revision 0\n")).unwrap();
    let same = agentctl(&fixture, &["agent", "diff", "coder", "--with", file.to_str().unwrap()]);
    assert_eq!((same.0, same.1.as_str()), (0, "no difference\n"));
}

#[test]
fn nothing_is_forgotten_without_a_yes() {
    let fixture = Fixture::start(Script::default());
    let (code, _, error) = agentctl(&fixture, &["agent", "delete", "coder"]);
    assert_eq!((code, error.as_str()), (2, "agentctl: there is no terminal to ask on: say --yes\n"));
    assert_eq!(agentctl(&fixture, &["agent", "delete", "coder", "--yes"]).0, 0);
}

#[test]
fn a_spec_comes_back_as_it_is_written() {
    let fixture = Fixture::start(Script::default());
    assert_eq!(agentctl(&fixture, &["agent", "show", "coder", "--spec"]).1, SPEC);
    assert_eq!(agentctl(&fixture, &["agent", "export", "coder"]).1, SPEC);
    let file = fixture.folder().join("bundle.json");
    let words = ["agent", "export", "coder", "--format", "bundle", "--out", file.to_str().unwrap()];
    assert_eq!(agentctl(&fixture, &words).0, 0);
    let bundle: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(bundle["spec_toml"], SPEC);
}

#[test]
fn every_change_by_a_person_says_where_the_agent_stands_then() {
    let fixture = Fixture::start(Script::default());
    for (words, out) in [
        (
            &["restrict", "a", "--because", "odd"][..],
            "a: GOVERNED_RESTRICTED; its rules are tightened from now on\n",
        ),
        (&["lift", "a"], "a: GOVERNED_VALID; it has the rules of its spec again\n"),
        (
            &["revoke", "a", "--because", "x"],
            "a: GOVERNED_INVALIDATED; it does not start until it is promoted again\n",
        ),
    ] {
        assert_eq!(agentctl(&fixture, &[&["agent"], words].concat()), (0, out.to_owned(), String::new()));
    }
    assert_eq!(agentctl(&fixture, &["agent", "restrict", "a"]).0, 2);
    assert_eq!(agentctl(&fixture, &["agent", "revoke", "a", "--because", ""]).0, 2);
}

#[test]
fn a_key_is_made_and_rotated_to_and_says_what_became_of_proofs() {
    let fixture = Fixture::start(Script::default());
    let made = agentctl(&fixture, &["keys", "generate", "--algorithm", "ed25519", "--label", "ci"]);
    assert_eq!(made, (0, "ed25519-0123456789ab: signs\n".to_owned(), String::new()));
    let rotated = agentctl(&fixture, &["keys", "rotate"]);
    assert_eq!(rotated.1, "hmac-sha256-0123456789ab: signs\n2 proofs signed anew\n");
    assert_eq!(agentctl(&fixture, &["keys", "list"]).1, "no keys; make one with: agentctl keys generate\n");
    let revoke = agentctl(&fixture, &["keys", "revoke", "ed25519", "--because", "lost"]);
    assert_eq!(
        (revoke.0, revoke.2.as_str()),
        (5, "agentctl: key_revoke\n"),
        "a call that this agentd does not have"
    );
}

#[test]
fn what_was_spent_is_added_once_for_a_key() {
    let fixture = Fixture::start(Script::default());
    let add = |key: &str| agentctl(&fixture, &["budget", "add", "a", "0.5", "--key", key]).1;
    assert_eq!(add("once"), "a: added; 0.50 of 50 USD (1 %) this month\n");
    assert_eq!(
        add("twice"),
        "a: nothing added, this key is there already; 0.50 of 50 USD (1 %) this month\n"
    );
    assert_eq!(agentctl(&fixture, &["budget", "add", "a", "half"]).0, 2);
    assert_eq!(agentctl(&fixture, &["budget", "report", "--month", "2026-13"]).0, 2);
    assert_eq!(agentctl(&fixture, &["budget", "report"]).1, "2026-11: 0 USD by 0 agents\n");
}
