//! Every exit code that `--help` promises, from the real program against an agentd that plays each part.

mod agentd;

use std::process::{Command, Output};

use agentd::{Fixture, Script};
use serde_json::json;
use tonic::Status;

fn output(mut command: Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn agentctl(fixture: &Fixture, words: &[&str]) -> (i32, String, String) {
    output(fixture.agentctl(words))
}

#[test]
fn done_is_0() {
    let fixture = Fixture::start(Script::default());
    let (code, out, _) = agentctl(&fixture, &["agents"]);
    assert_eq!(code, 0);
    assert!(out.contains("fake   running"), "{out}");
    let (code, out, _) = agentctl(&fixture, &["policy", "rollback", "bbb"]);
    assert_eq!(code, 0);
    assert!(out.contains("policy bbb is in force instead of aaa"), "{out}");
    assert!(out.contains("coder  GOVERNED_VALID  GOVERNED_RESTRICTED") && !out.contains("other"), "{out}");
}

#[test]
fn failures_and_negative_answers_are_1() {
    let fixture = Fixture::start(Script::default());
    for (words, line) in [
        (&["status"][..], "agentctl: broken\n"),
        (&["release", "nobody"], "agentctl: no agent named `nobody`\n"),
        (&["explain", "x"], "agentctl: agentd's answer is not understood"),
        (&["spec", "check", "/nonexistent.toml"], "agentctl: /nonexistent.toml: "),
    ] {
        let (code, _, error) = agentctl(&fixture, words);
        assert_eq!(code, 1, "{words:?}: {error}");
        assert!(error.starts_with(line), "{error}");
    }
    let explained = agentctl(&fixture, &["policy", "explain", "--agent", "a", "read", "/x"]);
    assert_eq!((explained.0, explained.1.as_str()), (1, "a: read /x: deny, by default\n"));
}

#[test]
fn usage_is_2() {
    let fixture = Fixture::start(Script::default());
    let wrong: [&[&str]; 7] = [
        &[],
        &["fly"],
        &["run", "ls"],
        &["enroll", "--spec", "x"],
        &["events", "--since", "noon"],
        &["events", "--live"],
        &["query", "x", "--max-rows", "0"],
    ];
    for words in wrong {
        assert_eq!(agentctl(&fixture, words).0, 2, "{words:?}");
    }
}

#[test]
fn watching_without_a_terminal_is_2_and_names_what_to_use() {
    let fixture = Fixture::start(Script::default());
    let (code, out, error) = agentctl(&fixture, &["approvals", "watch"]);
    assert_eq!((code, out.as_str(), error.lines().count()), (2, "", 1));
    assert!(error.starts_with("agentctl: ") && error.contains("use `agentctl approvals list`"), "{error}");
}

#[test]
fn agentd_not_reachable_is_3() {
    let fixture = Fixture::start(Script::default());
    let (code, _, error) = agentctl(&fixture, &["--socket", "/nonexistent/agentd.sock", "agents"]);
    assert_eq!(code, 3);
    assert!(
        error.starts_with("agentctl: agentd is not running (no answer on /nonexistent/agentd.sock)"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1);
}

#[test]
fn permission_denied_is_4() {
    let fixture = Fixture::start(Script::default());
    assert_eq!(
        agentctl(&fixture, &["query", "forbidden"]),
        (4, String::new(), "agentctl: only root may\n".to_owned())
    );
}

#[test]
fn refused_is_5_with_the_line_that_is_wrong() {
    let fixture = Fixture::start(Script::default());
    let (code, _, error) = agentctl(&fixture, &["policy", "reload"]);
    assert_eq!((code, error.as_str()), (5, "agentctl: policies/a/a.rego:3: unexpected token\n"));
}

#[test]
fn timeout_is_124() {
    let fixture = Fixture::start(Script::default());
    assert_eq!(agentctl(&fixture, &["query", "slow"]).0, 124);
}

#[test]
fn rows_come_in_three_forms() {
    let documents = vec![json!({"verdict": "deny", "count": 2}), json!({"verdict": "allow", "count": 40})];
    let fixture = Fixture::start(Script { documents, ..Script::default() });
    let table = agentctl(&fixture, &["query", "SELECT 1"]).1;
    assert_eq!(table, "VERDICT  COUNT\ndeny     2\nallow    40\n");
    let lines = agentctl(&fixture, &["query", "SELECT 1", "-o", "ndjson"]).1;
    assert_eq!(lines, "{\"verdict\":\"deny\",\"count\":2}\n{\"verdict\":\"allow\",\"count\":40}\n");
    let array: serde_json::Value =
        serde_json::from_str(&agentctl(&fixture, &["-o", "json", "query", "SELECT 1"]).1).unwrap();
    assert_eq!(array.as_array().map(Vec::len), Some(2));
}

#[test]
fn a_gap_is_told_on_stderr_and_not_among_the_records() {
    let fixture = Fixture::start(Script { documents: vec![json!({"skipped": 7})], ..Script::default() });
    let (code, out, error) = agentctl(&fixture, &["events", "-o", "ndjson"]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(error.contains("7 records left out"), "{error}");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let fixture = Fixture::start(Script::default());
    let mut command = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_agentctl");
    command.args(["-c", &format!("({program} completions bash; echo $? >&2) | true")]);
    command.env("AGENTGUARD_SOCKET", fixture.folder());
    assert_eq!(output(command).2, "0\n");
}

#[test]
fn colours_are_there_only_when_asked_for() {
    let fixture = Fixture::start(Script::default());
    assert!(!agentctl(&fixture, &["agents"]).1.contains('\x1b'));
    assert!(agentctl(&fixture, &["agents", "--color", "always"]).1.contains('\x1b'));
}

#[test]
fn a_spec_that_agentd_refuses_runs_nothing() {
    let refuse = Some(Status::invalid_argument("s.toml:3: unknown key `raed`"));
    let fixture = Fixture::start(Script { refuse, ..Script::default() });
    let (spec, proof) = (fixture.folder().join("s.toml"), fixture.folder().join("proof"));
    std::fs::write(&spec, "").unwrap();
    let words = ["run", "--spec", spec.to_str().unwrap(), "--", "touch", proof.to_str().unwrap()];
    let (code, _, error) = agentctl(&fixture, &words);
    assert_eq!((code, error.as_str()), (5, "agentctl: s.toml:3: unknown key `raed`\n"));
    assert!(!proof.exists());
}

#[test]
fn an_explanation_offline_needs_no_agentd() {
    let folder = tempfile::tempdir().unwrap();
    let (spec, pack) = (folder.path().join("s.toml"), folder.path().join("policy/a"));
    std::fs::create_dir_all(&pack).unwrap();
    std::fs::write(
        &spec,
        "[agent]\nname = \"coder\"\ndescription = \"x\"\nrole = \"ideation\"\ntier = 2\nmode = \"enforce\"\n\
         [files]\ndefault = \"deny\"\nread = [\"/srv/**\"]\n",
    )
    .unwrap();
    std::fs::write(
        pack.join("a.rego"),
        "package agentguard.a\nimport rego.v1\nguardrails contains g if {\n\tg := {\"id\": \"keys\", \"ops\": [\"read\"], \
         \"path\": \"/srv/keys/**\", \"verdict\": \"deny\", \"severity\": \"HIGH\", \"reason\": \"keys stay\"}\n}\n",
    )
    .unwrap();
    let explain = |object: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agentctl"));
        command.args(["policy", "explain", "--spec"]).arg(&spec).arg("--policy").arg(pack.parent().unwrap());
        output({
            command.args(["read", object]);
            command
        })
    };
    let (code, out, error) = explain("/srv/keys/a");
    assert_eq!((code, error.as_str()), (1, ""));
    assert!(out.starts_with("coder: read /srv/keys/a: deny, by guardrail\n"), "{out}");
    assert!(out.contains("a.keys HIGH: keys stay") && out.contains("a.rego:4"), "{out}");
    assert!(out.contains("grant     allow  files.read[0]") && out.contains("s.toml:9"), "{out}");
    assert_eq!(explain("/srv/app").0, 0);
    let (code, out, _) = explain("/etc/passwd");
    assert_eq!(code, 1);
    assert!(out.contains("deny, by default"), "{out}");
    assert_eq!(explain("relative").0, 2);
}
