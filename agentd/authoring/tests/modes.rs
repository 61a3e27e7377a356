//! Every way of making a spec, on files as people have them.

mod common;

use agentguard_authoring::conversation::{self, Answers, Conversation};
use agentguard_authoring::import::{self, Import};
use agentguard_authoring::workflow::{self, Workflow};
use agentguard_authoring::{AuthoringError, Draft, Identity, NoteKind, clone, scratch, template};
use agentguard_core::operation::{AddressOp, Operation, PathOp};
use agentguard_core::spec::{Memory, Role, Spec};
use agentguard_core::verdict::Verdict;
use common::{assert_is_for_the_sandbox, evaluator, path_verdict, shown, verdict};

fn identity() -> Identity {
    Identity {
        role: Some(Role::Compliance),
        tier: Some(2),
        owner: Some("ada \"the\" owner <ada@example.com>".to_owned()),
        version: Some("2.0.0-rc.1".to_owned()),
        expires: Some("2027-06-30T00:00:00Z".to_owned()),
        capabilities: Some(vec!["ticket.read".to_owned()]),
        memory: Some(Memory::Session),
        model: Some("other-model".to_owned()),
        temperature: Some(0.25),
        monthly_budget_usd: Some(12.5),
        ..Identity::named("new-agent")
    }
}

fn good(draft: Result<Draft, AuthoringError>) -> Draft {
    let draft = draft.unwrap_or_else(|error| panic!("{error}"));
    assert_is_for_the_sandbox(&draft);
    evaluator(&draft);
    draft
}

fn of_workflow(file: &str, text: &str) -> Draft {
    good(workflow::draft(&Workflow { file, text, identity: Identity::named("from-workflow") }))
}

fn of_import<'a>(file: &'a str, text: &'a str, server: Option<&'a str>) -> Draft {
    good(import::draft(&Import { file, text, identity: Identity::named("imported"), server }))
}

const MCP: &str = include_str!("data/mcp.json");
const SETTINGS: &str = include_str!("data/settings.json");

fn shipped() -> Vec<(String, String)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/specs");
    let mut specs: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    specs.sort();
    assert!(specs.len() >= 4);
    specs
}

#[test]
fn scratch_runs_a_shell_and_changes_nothing() {
    let draft = good(scratch::draft(&scratch::Scratch { identity: identity() }));
    insta::assert_snapshot!(shown(&draft));
    let evaluator = evaluator(&draft);
    let path = |op, path| path_verdict(&evaluator, op, path);
    assert_eq!(path(PathOp::Exec, "/usr/bin/bash"), Verdict::Allow);
    assert_eq!(path(PathOp::MapExec, "/usr/lib/x86_64-linux-gnu/libc.so.6"), Verdict::Allow);
    assert_eq!(path(PathOp::Read, "/home/ada/project/a.txt"), Verdict::Allow);
    for (op, object) in [
        (PathOp::Write, "/home/ada/project/a.txt"),
        (PathOp::Create, "/tmp/x"),
        (PathOp::Exec, "/usr/bin/git"),
        (PathOp::Read, "/etc/shadow"),
        (PathOp::Read, "/home/ada/.ssh/id_rsa"),
    ] {
        assert_eq!(path(op, object), Verdict::Deny, "{op} {object}");
    }
    assert_eq!(verdict(&evaluator, Operation::Address(AddressOp::Connect), "example.com:443"), Verdict::Deny);
}

#[test]
fn every_shipped_spec_is_a_template() {
    for (file, text) in &shipped() {
        let draft = good(template::draft(&template::Template { file, text, identity: identity() }));
        let spec = Spec::parse(&draft.text, std::path::Path::new(file)).unwrap();
        assert_eq!((spec.agent.name.0.as_str(), spec.agent.tier), ("new-agent", 2));
        assert_eq!(spec.agent.version.as_deref(), Some("2.0.0-rc.1"));
        assert_eq!(spec.agent.expires.unwrap().to_string(), "2027-06-30T00:00:00Z");
        for comment in text.lines().filter(|line| line.trim_start().starts_with('#')) {
            assert!(draft.text.contains(comment), "{file}: lost `{comment}`");
        }
        let before = Spec::parse(text, std::path::Path::new(file)).unwrap();
        assert_eq!(before.files.read.len(), spec.files.read.len());
    }
}

#[test]
fn a_template_gets_the_parts_that_it_lacks() {
    let text = "# Mine.\n[agent]\nname = \"old\"   # who\nrole = \"analysis\"\ntier = 3\nmode = \"observe\"\n\n[files]\ndefault = \"deny\"\n";
    let draft = good(template::draft(&template::Template {
        file: "mine.toml",
        text,
        identity: Identity::named("new"),
    }));
    insta::assert_snapshot!(shown(&draft));
}

#[test]
fn a_clone_keeps_what_is_not_said_and_begins_contained() {
    let text = "[agent]\nname = \"old\"\nrole = \"ideation\"\ntier = 2\nmode = \"enforce\"\nversion = \"3.1.0\"\nowner = \"bob\"\n\n[anatomy.reasoning]\nmodel = \"m\"\ntemperature = 0.9\n\n[containment]\nexternal_calls = true\n";
    let arguments = |identity| clone::Clone { file: "old", text, identity };
    let same = good(clone::draft(&arguments(Identity::named("twin"))));
    let spec = Spec::parse(&same.text, std::path::Path::new("x")).unwrap();
    assert_eq!((spec.agent.version.as_deref(), spec.agent.owner.as_deref()), (Some("3.1.0"), Some("bob")));
    assert_eq!(spec.anatomy.reasoning.unwrap().temperature.unwrap().0, 900);
    assert!(same.notes.iter().any(|note| note.about == "containment.external_calls = false"));
    // Under a role with a lower limit, a temperature that was kept would only fail at promotion.
    let calmer =
        good(clone::draft(&arguments(Identity { role: Some(Role::Compliance), ..Identity::named("twin") })));
    assert!(calmer.text.contains("temperature = 0.1"), "{}", calmer.text);
}

#[test]
fn a_github_workflow_becomes_its_spec() {
    let draft = of_workflow("ci.yml", include_str!("data/ci.yml"));
    assert!(!draft.text.contains("hunter2"));
    insta::assert_snapshot!(shown(&draft));
}

#[test]
fn a_workflow_of_the_own_format_becomes_its_spec() {
    let draft = of_workflow("report.yml", include_str!("data/report.yml"));
    insta::assert_snapshot!(shown(&draft));
    let evaluator = evaluator(&draft);
    assert_eq!(path_verdict(&evaluator, PathOp::Create, "/home/ada/project/data/orders.csv"), Verdict::Allow);
    assert_eq!(
        verdict(&evaluator, Operation::Address(AddressOp::Connect), "db.example.com:5433"),
        Verdict::Allow
    );
}

#[test]
fn wrong_workflows_are_told_in_one_line() {
    for (text, wanted) in [
        ("steps: [", "w.yml:2: "),
        ("steps: []\n", "w.yml: no step runs a command"),
        ("name: x\nstepz: []\n", "w.yml:"),
        ("steps:\n - {name: a, run: \"a | | b\"}\n", "w.yml: step \"a\": syntax error"),
        ("steps:\n - {name: a, run: a, needs: [b]}\n", "w.yml: step \"a\" needs `b`"),
        ("steps:\n - {name: a, run: a, connects: [\"a b\"]}\n", "w.yml: step \"a\": `a b` is no peer"),
        ("steps:\n - {name: a, run: a, writes: [\"../x\"]}\n", "w.yml: step \"a\": `../x` is no file"),
    ] {
        let arguments = Workflow { file: "w.yml", text, identity: Identity::named("a") };
        let error = workflow::draft(&arguments).expect_err(text).to_string();
        assert!(error.starts_with(wanted) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn files_that_no_person_wrote_are_refused_with_the_limit() {
    let text = " ".repeat((1 << 20) + 1);
    let identity = || Identity::named("a");
    let errors = [
        workflow::draft(&Workflow { file: "x", text: &text, identity: identity() }).unwrap_err(),
        import::draft(&Import { file: "x", text: &text, identity: identity(), server: None }).unwrap_err(),
        Answers::parse("x", &text).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.to_string(), "x: has 1048577 bytes, the limit is 1048576; give a shorter file");
    }
}

#[test]
fn answers_become_their_spec() {
    let answers = Answers::parse("answers.toml", include_str!("data/answers.toml")).unwrap();
    let identity = Identity::named("triage");
    let draft = good(conversation::draft(&Conversation { identity, answers: &answers }));
    insta::assert_snapshot!(shown(&draft));
}

#[test]
fn no_answers_make_a_spec_that_only_reads() {
    let identity = Identity::named("quiet");
    let draft = good(conversation::draft(&Conversation { identity, answers: &Answers::default() }));
    let evaluator = evaluator(&draft);
    assert_eq!(path_verdict(&evaluator, PathOp::Read, "/home/ada/project/x"), Verdict::Allow);
    assert_eq!(path_verdict(&evaluator, PathOp::Write, "/home/ada/project/x"), Verdict::Deny);
}

#[test]
fn each_server_of_an_mcp_client_becomes_its_spec() {
    assert_eq!(import::servers("mcp.json", MCP).unwrap(), ["filesystem", "shop-db", "tickets"]);
    for server in ["filesystem", "shop-db", "tickets"] {
        let draft = of_import("mcp.json", MCP, Some(server));
        for secret in ["do-not-copy-me", "s3cret", "reader"] {
            assert!(!shown(&draft).contains(secret), "{server}: {secret}");
        }
        insta::assert_snapshot!(format!("mcp_{server}"), shown(&draft));
    }
}

#[test]
fn servers_as_visual_studio_code_writes_them_are_read() {
    let text = r#"{"inputs": [], "servers": {"docs": {"type": "stdio", "command": "node", "args": ["${workspaceFolder}/tools/docs.mjs"]}}}"#;
    let draft = of_import("mcp.json", text, None);
    assert!(draft.text.contains("\"${workspace}/tools/**\""), "{}", draft.text);
}

#[test]
fn permissions_of_claude_code_become_their_spec() {
    let draft = of_import("settings.json", SETTINGS, None);
    insta::assert_snapshot!(shown(&draft));
    let evaluator = evaluator(&draft);
    let command = |line: &str| verdict(&evaluator, Operation::Path(PathOp::Command), line);
    assert_eq!(command("git push origin main"), Verdict::Hold);
    assert_eq!(command("/usr/bin/git push"), Verdict::Hold);
    assert_eq!(command("git pushy"), Verdict::Allow);
    assert_eq!(command("curl https://example.com"), Verdict::Deny);
    let path = |op, path| path_verdict(&evaluator, op, path);
    assert_eq!(path(PathOp::Write, "/home/ada/project/src/main.ts"), Verdict::Allow);
    assert_eq!(path(PathOp::Write, "/home/ada/project/src/generated/api.ts"), Verdict::Deny);
    assert_eq!(path(PathOp::Read, "/home/ada/project/deep/.env"), Verdict::Deny);
    assert_eq!(path(PathOp::Read, "/etc/ssl/private/key.pem"), Verdict::Deny);
    let connect = |to: &str| verdict(&evaluator, Operation::Address(AddressOp::Connect), to);
    assert_eq!(connect("docs.example.com:443"), Verdict::Allow);
    assert_eq!(connect("a.example.org:443"), Verdict::Hold);
}

/// Each file of permissions, and what the spec that it makes says to requests.
#[test]
fn what_claude_code_denies_or_asks_no_grant_lets_through() {
    use Verdict::{Allow, Deny, Hold};
    let read = |path| (Operation::Path(PathOp::Read), path);
    let delete = |path| (Operation::Path(PathOp::Delete), path);
    let command = |line| (Operation::Path(PathOp::Command), line);
    let connect = |peer| (Operation::Address(AddressOp::Connect), peer);
    type Asked<'a> = ((Operation, &'a str), Verdict);
    let cases: [(&str, &[Asked<'_>]); 13] = [
        (
            r#""allow": ["Edit(/src/**)"], "deny": ["Read(./.env)"]"#,
            &[
                (read("/home/ada/project/src/.env"), Deny),
                (delete("/home/ada/project/src/.env"), Deny),
                (read("/home/ada/project/src/a/.env/b"), Deny),
                (read("/home/ada/project/src/a.rs"), Allow),
            ],
        ),
        (
            r#""additionalDirectories": ["/srv/x"], "deny": ["Read(//srv/**/*.key)"]"#,
            &[(read("/srv/x/a.key"), Deny), (read("/srv/x/b/a.key"), Deny), (read("/srv/x/a"), Allow)],
        ),
        (
            r#""additionalDirectories": ["/srv/x"], "deny": ["Read(//srv/**)"]"#,
            &[(read("/srv/x/a"), Deny), (read("/srv/x"), Deny)],
        ),
        (
            r#""deny": ["Bash(git:*)"], "ask": ["Bash(git push:*)"]"#,
            &[(command("git push"), Deny), (command("git push origin"), Deny), (command("ls"), Allow)],
        ),
        (
            r#""deny": ["Bash(* --force)"], "ask": ["Bash(git push:*)"]"#,
            &[(command("git push --force"), Deny), (command("git push"), Deny)],
        ),
        (
            r#""deny": ["WebFetch"], "allow": ["WebFetch(domain:a.com)"], "ask": ["WebFetch(domain:b.com)"]"#,
            &[(connect("a.com:443"), Deny), (connect("b.com:443"), Deny)],
        ),
        (r#""ask": ["WebFetch"], "allow": ["WebFetch(domain:a.com)"]"#, &[(connect("a.com:443"), Hold)]),
        (
            r#""deny": ["WebFetch(domain:*.A.com.)"], "ask": ["WebFetch(domain:b.a.com)"], "allow": ["Bash(curl https://c.a.com)", "WebFetch(domain:d.com)"]"#,
            &[(connect("b.a.com:443"), Deny), (connect("c.a.com:443"), Deny), (connect("d.com:443"), Allow)],
        ),
        (
            r#""deny": ["Read(~/secret/**)"], "ask": ["Read(~/secret/a/**)"]"#,
            &[(read("/home/ada/secret/a/b"), Deny), (read("/home/ada/secret/b"), Deny)],
        ),
        (
            r#""deny": ["Read(**/secret.md)"], "ask": ["Read(docs/*.md)"], "defaultMode": "acceptEdits""#,
            &[
                (read("/home/ada/project/docs/secret.md"), Deny),
                (read("/home/ada/project/docs/a.md"), Hold),
                (read("/home/ada/project/src/a.md"), Allow),
            ],
        ),
        (
            r#""deny": ["Read(~/**/.env)"], "ask": ["Read(//**/*.key)"], "allow": ["Edit(/src/**)"], "additionalDirectories": ["~/other"]"#,
            &[
                (read("/home/ada/project/src/.env"), Deny),
                (read("/home/ada/project/.env"), Deny),
                (read("/home/ada/other/.env"), Deny),
                (read("/home/ada/other/a.key"), Hold),
                (read("/home/ada/project/src/a.key"), Hold),
                (read("/home/ada/.claude/a.key"), Hold),
                (read("/usr/lib/a.key"), Hold),
                (read("/home/ada/other/a"), Allow),
            ],
        ),
        (
            r#""deny": ["Read"], "allow": ["Read(~/notes/**)"], "additionalDirectories": ["/srv/x"]"#,
            &[
                (read("/home/ada/notes/a"), Deny),
                (read("/srv/x/a"), Deny),
                (read("/home/ada/project/a"), Deny),
            ],
        ),
        (
            r#""ask": ["Edit"], "allow": ["Edit(~/notes/**)", "Read(~/more/**)"]"#,
            &[(read("/home/ada/notes/a"), Hold), (read("/home/ada/more/a"), Allow)],
        ),
    ];
    for (permissions, requests) in cases {
        let draft = of_import("settings.json", &format!("{{\"permissions\": {{{permissions}}}}}"), None);
        let evaluator = evaluator(&draft);
        for ((operation, object), wanted) in requests {
            let said = verdict(&evaluator, *operation, object);
            assert_eq!(said, *wanted, "{permissions}: {operation} {object}\n{}", shown(&draft));
        }
    }
}

#[test]
fn a_command_that_a_person_is_asked_about_is_held_however_it_is_called() {
    let text = "programs = [\"git\"]\nasks = [\"git push *\", \"git {fetch,pull}\", \"/opt/x *\"]\n";
    let answers = Answers::parse("a.toml", text).unwrap();
    let draft =
        good(conversation::draft(&Conversation { identity: Identity::named("a"), answers: &answers }));
    let evaluator = evaluator(&draft);
    let command = |line: &str| verdict(&evaluator, Operation::Path(PathOp::Command), line);
    for line in
        ["git push", "git push origin", "/usr/bin/git push", "/usr/bin/git push x", "git pull", "/opt/x 1"]
    {
        assert_eq!(command(line), Verdict::Hold, "{line}");
    }
    assert_eq!(command("git push --force"), Verdict::Deny);
    assert_eq!(command("git pushy"), Verdict::Allow);
}

#[test]
fn a_spec_as_json_grants_the_same_as_the_spec() {
    for (file, text) in &shipped() {
        let spec = Spec::parse(text, std::path::Path::new(file)).unwrap();
        let json = serde_json::to_string_pretty(&serde_json::to_value(&spec).unwrap()).unwrap();
        let draft = of_import("spec.json", &json, None);
        let again = Spec::parse(&draft.text, std::path::Path::new("again.toml")).unwrap();
        let (before, after) = (serde_json::to_value(&spec).unwrap(), serde_json::to_value(&again).unwrap());
        for section in ["files", "network", "unix", "process", "variables"] {
            assert_eq!(before[section], after[section], "{file} {section}");
        }
        for key in ["default", "allow", "libraries", "hold", "deny", "commands_hold", "commands_deny"] {
            assert_eq!(before["exec"][key], after["exec"][key], "{file} exec.{key}");
        }
    }
}

#[test]
fn wrong_imports_are_told_in_one_line() {
    for (text, server, wanted) in [
        ("{\n \"mcpServers\": {,}\n}", None, "x:2: "),
        ("{}", None, "x: says none of `agent`"),
        ("{\"mcpServers\": {}}", None, "x: names no MCP server"),
        ("{\"mcpServers\": {\"a\": {}}}", None, "x: server \"a\": says not just one of"),
        (MCP, None, "x: has several servers; choose one of filesystem, shop-db, tickets"),
        (MCP, Some("b"), "x: has no server `b`"),
        ("{\"mcpServers\": {\"a\\u001b[2J\\n\": {}}}", None, "x: server \"a\\u{1b}[2J\\n\": says not"),
        ("{\n\"agent\": {\"name\": \"a\", \"role\": \"boss\"}}", None, "x:2: unknown variant `boss`"),
        ("{\"permissions\": {\"allow\": [1]}}", None, "x:1: invalid type"),
        ("[agent\nname = 1\n", None, "x:1: not valid TOML"),
    ] {
        let arguments = Import { file: "x", text, identity: Identity::named("a"), server };
        let error = import::draft(&arguments).expect_err(text).to_string();
        let first = error.lines().next().unwrap_or_default();
        assert!(first.starts_with(wanted), "{error}");
    }
}

#[test]
fn what_was_said_is_in_the_spec_whatever_it_is_made_of() {
    let drafts = [
        scratch::draft(&scratch::Scratch { identity: identity() }),
        workflow::draft(&Workflow { file: "w", text: include_str!("data/report.yml"), identity: identity() }),
        import::draft(&Import { file: "m", text: MCP, identity: identity(), server: Some("tickets") }),
        conversation::draft(&Conversation { identity: identity(), answers: &Answers::default() }),
    ];
    for draft in drafts {
        let draft = good(draft);
        let json =
            serde_json::to_value(Spec::parse(&draft.text, std::path::Path::new("x")).unwrap()).unwrap();
        assert_eq!(json["agent"]["name"], "new-agent");
        assert_eq!(json["agent"]["role"], "compliance");
        assert_eq!(json["agent"]["tier"], 2);
        assert_eq!(json["agent"]["owner"], "ada \"the\" owner <ada@example.com>");
        assert_eq!(json["agent"]["version"], "2.0.0-rc.1");
        assert_eq!(json["agent"]["capabilities"][0], "ticket.read");
        assert_eq!(json["anatomy"]["memory"], "session");
        assert_eq!(json["anatomy"]["reasoning"]["model"], "other-model");
        assert_eq!(json["anatomy"]["reasoning"]["temperature"], 0.25);
        assert_eq!(json["economics"]["monthly_budget_usd"], 12.5);
        assert!(!draft.notes.iter().any(|note| note.about.contains("temperature")));
    }
}

#[test]
fn a_temperature_that_would_not_be_promoted_is_noted() {
    let identity =
        Identity { role: Some(Role::Compliance), temperature: Some(0.9), ..Identity::named("hot") };
    let draft = good(scratch::draft(&scratch::Scratch { identity }));
    let note = draft.notes.iter().find(|note| note.kind == NoteKind::Unsure).expect("a note");
    assert_eq!(note.about, "anatomy.reasoning.temperature");
}

proptest::proptest! {
    #[test]
    fn any_words_stay_words_and_never_become_grants(text in "[ -~\\n\\t\u{e9}\u{1F600}]{0,60}") {
        let identity = Identity { description: Some(text.clone()), ..Identity::named("a") };
        let draft = good(scratch::draft(&scratch::Scratch { identity }));
        let spec = Spec::parse(&draft.text, std::path::Path::new("x")).unwrap();
        proptest::prop_assert_eq!(&spec.agent.description, &text);
        let plain = good(scratch::draft(&scratch::Scratch { identity: Identity::named("a") }));
        let plain = Spec::parse(&plain.text, std::path::Path::new("x")).unwrap();
        let granted = |spec: &Spec| serde_json::to_value((&spec.files, &spec.exec, &spec.network)).unwrap();
        proptest::prop_assert_eq!(granted(&spec), granted(&plain));
    }

    #[test]
    fn any_file_is_taken_or_refused_but_never_breaks(text in "[ -~\\n]{0,80}") {
        for text in [text.clone(), format!("{{\"permissions\": {{\"allow\": [{}]}}}}", serde_json::Value::from(text.as_str()))] {
            if let Ok(draft) = import::draft(&Import { file: "x", text: &text, identity: Identity::named("a"), server: None }) {
                assert_is_for_the_sandbox(&draft);
            }
        }
        let _ = Answers::parse("x", &text);
        let step = format!("steps:\n - run: {}\n", serde_json::Value::from(text.as_str()));
        for text in [text, step] {
            let _ = workflow::draft(&Workflow { file: "x", text: &text, identity: Identity::named("a") });
        }
    }
}
