//! `audit` end to end: a log as agentd writes it, and what the real program says of it. Needs no agentd and no root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use agentguard_audit::{AuditLog, Code, DAY_NS, Entry, Options, SignError, Signer, codes};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

/// 2026-03-02T12:00:00Z.
const NOON: u64 = 20_514 * DAY_NS + DAY_NS / 2;
const MINUTE: u64 = 60_000_000_000;

struct Key {
    id: String,
    key: SigningKey,
}

impl Key {
    fn new() -> Self {
        let key = SigningKey::from_bytes(&[42; 32]);
        let hash = agentguard_core::canonical::digest(key.verifying_key().as_bytes());
        Self { id: format!("ed25519-{}", &hash[..16]), key }
    }
}

impl Signer for Key {
    fn key_id(&self) -> &str {
        &self.id
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.key.sign(message).to_bytes().to_vec())
    }
}

/// A host's log and its trust list.
struct Host {
    _temporary: tempfile::TempDir,
    dir: PathBuf,
    trust: PathBuf,
}

/// What happens on a host: a code, who, about which agent, what.
fn story() -> Vec<(Code, &'static str, Option<&'static str>, Value)> {
    let alice = "uid 1000 (alice)";
    let agent = Some("coding-agent");
    vec![
        (codes::KEY_GENERATED, "uid 0 (root)", None, json!({"key": "host-2026", "algorithm": "ed25519"})),
        (codes::AGENT_CREATED, alice, agent, json!({"spec": "4be1", "owner": "alice"})),
        (codes::PROMOTION_ATTEMPT, alice, agent, json!({"policy": "c090"})),
        (codes::PROMOTION_SUCCESS, "agentd", agent, json!({"policy": "c090", "signer": "host-2026"})),
        (codes::ADMISSION_ALLOW, "agentd", agent, json!({"spec": "4be1", "policy": "c090"})),
        (codes::AGENT_STARTED, "agentd", agent, json!({"cgroup": "/agents.slice/coding-agent.scope"})),
        (
            codes::DECISION_DENY,
            "agentd",
            agent,
            json!({"call": "open", "path": "/root/.ssh/id_ed25519", "rule": "filesystem.ssh_keys", "incident": "inc-1p5fxvnhcf"}),
        ),
        (
            codes::DECISION_HOLD,
            "agentd",
            agent,
            json!({"call": "exec", "command": "git push --force", "incident": "inc-2"}),
        ),
        (codes::APPROVAL_ASKED, "agentd", agent, json!({"incident": "inc-2", "severity": "CRITICAL"})),
        (
            codes::APPROVAL_DENIED,
            alice,
            agent,
            json!({"incident": "inc-2", "because": "not on a <Friday> & not with --force"}),
        ),
        (codes::BUDGET_ALERT, "agentd", agent, json!({"spent_usd": 41.5, "limit_usd": 50})),
        (codes::POLICY_HOTRELOAD, "uid 0 (root)", None, json!({"from": "c090", "to": "77aa"})),
        (codes::POLICY_REVALIDATION, "agentd", None, json!({"agents": 3, "invalidated": 1})),
        (codes::AGENT_INVALIDATED, "agentd", Some("=<script>alert(1)</script>"), json!({"reason": "tier"})),
        (codes::ADMISSION_DENY_STATE, "agentd", Some("old-agent"), json!({"state": "invalidated"})),
    ]
}

impl Host {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let (dir, trust) = (temporary.path().join("audit"), temporary.path().join("trust.json"));
        let host = Self { _temporary: temporary, dir, trust };
        host.write();
        host
    }

    fn write(&self) {
        let key = Key::new();
        let listed = json!({
            "id": key.id,
            "algorithm": "ed25519",
            "label": "host-2026",
            "public_key": STANDARD.encode(key.key.verifying_key().as_bytes()),
            "status": "trusted",
            "added_sec": 1,
            "added_by": "test",
        });
        fs::write(&self.trust, json!({ "active": key.id, "keys": [listed] }).to_string()).unwrap();
        let options = Options { host: "build-7".to_owned(), checkpoint_every: 10, ..Options::default() };
        let mut log = AuditLog::open(&self.dir, options, Arc::new(key), NOON).unwrap();
        for (at, (code, actor, agent, detail)) in (1..).zip(story()) {
            let entry = Entry { code, actor: actor.to_owned(), agent: agent.map(str::to_owned), detail };
            log.append(entry, NOON + at * MINUTE).unwrap();
        }
        log.close(NOON + 60 * MINUTE).unwrap();
    }

    /// Status, stdout, stderr.
    fn audit(&self, words: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agentctl"));
        command.arg("audit").args(words).arg("--dir").arg(&self.dir);
        if words[0] != "show" && !words.contains(&"--chain-only") {
            command.arg("--trust").arg(&self.trust);
        }
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn segment(&self) -> PathBuf {
        let files = fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|end| end == "ndjson")).min().unwrap()
    }

    fn change(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.segment()).unwrap();
        assert!(text.contains(from));
        fs::write(self.segment(), text.replacen(from, to, 1)).unwrap();
    }
}

fn masked(text: &str, dir: &Path) -> String {
    text.replace(dir.to_str().unwrap(), "DIR")
}

#[test]
fn an_intact_log_is_0_and_ends_with_its_anchor() {
    let host = Host::new();
    let (status, out, error) = host.audit(&["verify"]);
    assert_eq!((status, error.as_str()), (0, ""), "{out}");
    insta::assert_snapshot!(masked(&out, &host.dir));
    let anchor = out.lines().last().unwrap();
    assert_eq!(host.audit(&["verify", "--anchor", anchor]).0, 0);
    let other = format!("7:{}", "ab".repeat(32));
    assert_eq!(host.audit(&["verify", "--anchor", &other]).0, 1);
    assert_eq!(host.audit(&["verify", "--anchor", "7"]).0, 2);
}

#[test]
fn a_changed_log_is_1_and_says_which_record() {
    let host = Host::new();
    host.change("git push --force", "git push --farce");
    let (status, out, _) = host.audit(&["verify"]);
    assert_eq!(status, 1);
    insta::assert_snapshot!(masked(&out, &host.dir));
    let (status, out, _) = host.audit(&["verify", "-o", "json"]);
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (status, &document["ok"], &document["findings"][0]["problem"]),
        (1, &json!(false), &json!("changed"))
    );
}

#[test]
fn without_a_trust_list_nothing_is_believed_unless_asked_for() {
    let host = Host::new();
    fs::remove_file(&host.trust).unwrap();
    let (status, _, error) = host.audit(&["verify"]);
    assert!(status == 1 && error.contains("--trust names the list, --chain-only does without"), "{error}");
    let (status, out, _) = host.audit(&["verify", "--chain-only"]);
    assert!(status == 0 && out.contains("intact as far as the chain tells"), "{out}");
}

#[test]
fn a_key_that_is_revoked_or_not_listed_is_1() {
    let host = Host::new();
    let list = fs::read_to_string(&host.trust).unwrap();
    fs::write(&host.trust, list.replace("trusted", "revoked")).unwrap();
    let (status, out, _) = host.audit(&["verify"]);
    assert!(status == 1 && out.contains("is revoked"), "{out}");
    fs::write(&host.trust, list.replace(&Key::new().id, "ed25519-0000000000000000")).unwrap();
    let (status, out, _) = host.audit(&["verify"]);
    assert!(status == 1 && out.contains("which nobody trusts"), "{out}");
}

#[test]
fn records_are_shown_by_what_they_are_about() {
    let host = Host::new();
    let (status, out, _) = host.audit(&["show"]);
    assert_eq!(status, 0);
    // The signatures differ only with the key, and fill the lines.
    insta::assert_snapshot!(
        out.lines().filter(|line| !line.contains("LOG_CHECKPOINT")).collect::<Vec<_>>().join("\n")
    );
    let (_, out, _) =
        host.audit(&["show", "--kind", "approval", "--actor", "uid 1000 (alice)", "-o", "ndjson"]);
    let record: Value = serde_json::from_str(out.trim_end()).unwrap();
    assert_eq!(record["code"], "APPROVAL_DENIED");
    let (_, out, _) =
        host.audit(&["show", "--agent", "old-agent", "--since", "2026-03-02T12:00:00Z", "-o", "json"]);
    assert_eq!(serde_json::from_str::<Vec<Value>>(&out).unwrap().len(), 1);
    let (_, out, _) = host.audit(&["show", "--until", "2026-03-01T00:00:00Z"]);
    assert_eq!(out, "no such records\n");
    let (status, _, error) = host.audit(&["show", "--code", "ADMISSION_ALOW"]);
    assert!(status == 2 && error.contains("ADMISSION_ALLOW"), "{error}");
}

#[test]
fn the_json_export_has_every_record_once_and_each_control_names_its_own() {
    let host = Host::new();
    let (status, out, _) = host.audit(&["export", "--format", "json"]);
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (status, &document["host"], &document["verification"]["ok"]),
        (0, &json!("build-7"), &json!(true))
    );
    let control = |id: &str| {
        let controls = document["controls"].as_array().unwrap();
        controls.iter().find(|control| control["id"] == id).unwrap()["evidence"]["count"].as_u64().unwrap()
    };
    assert_eq!((control("LLM06"), control("LLM09"), control("SC-12")), (4, 0, 1));
    let records = document["records"].as_array().unwrap();
    assert_eq!(control("AU-2"), records.len() as u64);
}

#[test]
fn the_csv_export_has_a_row_for_each_control_and_record() {
    let host = Host::new();
    let (_, out, _) =
        host.audit(&["export", "--format", "csv", "--control", "NIST AC-6", "--control", "LLM04"]);
    let mut table = csv::Reader::from_reader(out.as_bytes());
    let rows: Vec<csv::StringRecord> = table.records().map(|row| row.unwrap()).collect();
    let controls: Vec<&str> = rows.iter().map(|row| &row[2]).collect();
    assert_eq!(controls, ["AC-6", "AC-6", "LLM04"]);
    assert_eq!((&rows[0][10], &rows[2][7]), ("DECISION_DENY", ""));
    let (_, out, _) = host.audit(&["export", "--format", "csv", "--control", "CM-3"]);
    assert!(out.contains("'=<script>"), "a formula is made inert");
}

#[test]
fn the_page_escapes_what_agents_and_people_wrote() {
    let host = Host::new();
    let path = host.dir.parent().unwrap().join("page.html");
    let (status, out, _) = host.audit(&["export", "--format", "html", "--out", path.to_str().unwrap()]);
    assert_eq!((status, out.as_str()), (0, ""));
    let page = fs::read_to_string(&path).unwrap();
    assert!(!page.contains("<script") && page.contains("&#60;script&#62;alert(1)"), "escaped");
    assert!(page.contains("not on a &#60;Friday&#62; &#38; not with --force"));
    assert!(
        !page.contains("src=") && !page.contains("http://") && !page.contains("https://"),
        "self-contained"
    );
    assert!(page.contains("intact: no record was changed"));
    if let Some(keep) = std::env::var_os("AGENTGUARD_KEEP_PAGE") {
        fs::copy(&path, keep).unwrap();
    }
}

#[test]
fn an_export_of_a_changed_log_says_so_and_is_1() {
    let host = Host::new();
    host.change("/root/.ssh/id_ed25519", "/root/.ssh/id_rsa");
    for form in ["json", "csv", "html"] {
        let (status, out, error) = host.audit(&["export", "--format", form]);
        assert_eq!(status, 1);
        assert!(form == "csv" || out.contains("was changed"), "{form}");
        assert_eq!(error, "agentctl: the audit log is NOT intact: 1 finding; see agentctl audit verify\n");
    }
}

#[test]
fn each_row_of_the_csv_export_says_what_was_found() {
    let host = Host::new();
    let rows = || {
        let (_, out, _) = host.audit(&["export", "--format", "csv", "--control", "CM-3"]);
        let mut table = csv::Reader::from_reader(out.as_bytes());
        table.records().map(|row| row.unwrap()).collect::<Vec<csv::StringRecord>>()
    };
    assert!(rows().iter().all(|row| row[15].starts_with("intact: ") && row[16].is_empty()));
    let text = fs::read_to_string(host.segment()).unwrap();
    let line = text.lines().find(|line| line.contains("POLICY_HOTRELOAD")).unwrap();
    fs::write(host.segment(), format!("{text}{line}\n")).unwrap();
    let found: Vec<String> =
        rows().iter().filter(|row| &row[10] == "POLICY_HOTRELOAD").map(|row| row[16].to_owned()).collect();
    assert_eq!(found, ["duplicate", "duplicate"]);
    assert!(rows().iter().all(|row| &row[15] == "NOT intact: 1 finding"));
}

#[test]
fn an_export_replaces_a_file_and_nothing_else() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let host = Host::new();
    let below = host.dir.parent().unwrap().join("out");
    fs::create_dir(&below).unwrap();
    let (path, link) = (below.join("export.json"), below.join("link"));
    let export = |path: &Path| host.audit(&["export", "--format", "json", "--out", path.to_str().unwrap()]);
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    symlink(&path, &link).unwrap();
    let (status, _, error) = export(&link);
    assert!(status == 1 && error.contains("link: there is something else than a file"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(export(&path).0, 0);
    assert!(fs::read_to_string(&path).unwrap().starts_with('{'));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(&below).unwrap().count(), 2, "nothing is left beside it");
}

#[test]
fn a_changed_line_is_not_shown_and_moves_no_cursor() {
    let host = Host::new();
    let text = fs::read_to_string(host.segment()).unwrap();
    fs::write(host.segment(), text.replacen("{\"actor\"", "{\"\u{9b}2Jx\":1,\"actor\"", 1)).unwrap();
    let (status, _, error) = host.audit(&["show"]);
    assert!(status == 1 && error.starts_with("agentctl: 1 line cannot be read, the first is "), "{error}");
    assert!(!error.contains('\u{9b}') && error.contains("\\u{9b}2J"), "{error}");
    host.change("git push --force", "git push --farce");
    let (_, out, error) = host.audit(&["show"]);
    assert!(!out.contains("farce") && error.starts_with("agentctl: 2 lines"), "{error}");
}

#[test]
fn what_is_not_there_is_said_in_one_line() {
    let host = Host::new();
    let (status, _, error) = host.audit(&["export", "--format", "json", "--control", "AC-99"]);
    assert!(status == 2 && error.contains("there is no control 'AC-99'; there are AC-2, AC-3"), "{error}");
    fs::remove_dir_all(&host.dir).unwrap();
    for words in [&["verify"][..], &["show"], &["export", "--format", "csv"]] {
        let (status, _, error) = host.audit(words);
        assert!(
            status == 1 && error.contains("No such file or directory") && error.lines().count() == 1,
            "{error}"
        );
    }
}
