//! A policy loads whole or not at all, and every mistake in it is one line with file and line.

use std::collections::BTreeMap;
use std::path::Path;

use agentguard_core::verdict::Severity;
use agentguard_policy::decision::Answer;
use agentguard_policy::{
    AgentFacts, HeldFacts, HostFacts, Input, PolicyErrors, PolicyFiles, PolicySet, PreparedInput,
    RequestFacts, UNREGISTERED,
};

fn load(contents: &[(&str, &str)]) -> Result<PolicySet, PolicyErrors> {
    let owned = contents.iter().map(|(path, content)| ((*path).to_owned(), (*content).to_owned()));
    PolicySet::load(PolicyFiles::from_contents(Path::new("p"), owned)?)
}

fn input(tier: u8) -> Input {
    Input {
        agent: AgentFacts {
            name: "coder".to_owned(),
            role: "ideation".to_owned(),
            tier,
            mode: "enforce".to_owned(),
            spec: serde_json::json!({"files": {"default": "deny", "write": ["/srv/work/**"]}}),
            uid: 1000,
            home: "/home/ada".to_owned(),
            variables: BTreeMap::from([("workspace".to_owned(), "/srv/work".to_owned())]),
            state: UNREGISTERED.to_owned(),
        },
        host: HostFacts {
            hostname: "test".to_owned(),
            kernel: "6.1.0".to_owned(),
            backend: "lsm".to_owned(),
            runtime_sockets: vec!["/run/docker.sock".to_owned()],
            nameservers: Vec::new(),
            interfaces: Vec::new(),
        },
    }
}

const GOOD: &str = r#"package agentguard.a

import rego.v1

guardrails contains {
	"id": "second_in_name_first_in_file",
	"classes": ["kernel", "mount"],
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "because",
}

guardrails contains {"id": "high_tier", "verdict": "deny", "severity": "HIGH", "reason": "because", "class": "ptrace"} if {
	input.agent.tier > 2
}

deny contains {"id": "high_tier", "severity": "MEDIUM", "reason": "a finding of the same id"} if {
	input.request.port == 25
}
"#;

/// A pack with one guardrail whose fields are given.
fn pack(fields: &str) -> String {
    format!(
        "package agentguard.a\nimport rego.v1\n\nguardrails contains {{\n\t\"id\": \"x\", \"severity\": \"HIGH\", \"reason\": \"r\",\n\t{fields}\n}}\n"
    )
}

fn error(source: &str) -> String {
    load(&[("a/a.rego", source)]).expect_err(source).to_string()
}

#[test]
fn guardrails_come_in_the_order_of_the_file_with_their_lines() {
    let set = load(&[("a/a.rego", GOOD)]).unwrap();
    let rules = set.guardrails(&input(3)).unwrap();
    let told: Vec<_> = rules.iter().map(|rule| (rule.id.as_str(), rule.source.line)).collect();
    assert_eq!(
        told,
        [("a.second_in_name_first_in_file", 6), ("a.second_in_name_first_in_file", 6), ("a.high_tier", 13)]
    );
    assert_eq!(set.guardrails(&input(1)).unwrap().len(), 2);
    assert_eq!(rules.first().map(|rule| rule.source.file.clone()), Some("p/a/a.rego".into()));
}

#[test]
fn a_finding_names_its_own_line_even_where_a_guardrail_has_the_same_id() {
    let set = load(&[("a/a.rego", GOOD)]).unwrap();
    let request = RequestFacts { port: Some(25), ..RequestFacts::default() };
    let findings = set.findings(&PreparedInput::new(&input(1)), &request).unwrap();
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!(
        (finding.id.as_str(), finding.severity, finding.source.line),
        ("a.high_tier", Severity::Medium, 17)
    );
    assert_eq!(set.findings(&PreparedInput::new(&input(1)), &RequestFacts::default()).unwrap(), []);
}

const DECIDES: &str = r#"package agentguard.d

import rego.v1

guardrails contains {"id": "held", "verdict": "hold", "severity": "HIGH", "reason": "r", "ops": ["read"], "path": "/x"}

decide contains {"id": "fine", "answer": "allow", "severity": "HIGH", "reason": "fine", "reuse_sec": 60} if {
	input.request.operation == "read"
}

decide contains {"id": "unsure", "answer": "ask", "severity": "MEDIUM", "reason": "unsure", "deadline_sec": 5} if {
	input.held.process.uid == 7
}
"#;

#[test]
fn the_strictest_decision_counts_and_silence_is_none() {
    let set = load(&[("d/d.rego", DECIDES)]).unwrap();
    let read = RequestFacts { operation: "read".to_owned(), ..RequestFacts::default() };
    let mut held = HeldFacts::default();
    let decided = set.decide(&PreparedInput::new(&input(1)), &read, &held).unwrap().unwrap();
    assert_eq!((decided.id.as_str(), decided.answer, decided.reuse_sec), ("d.fine", Answer::Allow, Some(60)));
    assert_eq!(decided.source.line, 7);
    held.asker.process.uid = 7;
    let decided = set.decide(&PreparedInput::new(&input(1)), &read, &held).unwrap().unwrap();
    assert_eq!(
        (decided.id.as_str(), decided.answer, decided.deadline_sec),
        ("d.unsure", Answer::Ask, Some(5))
    );
    assert_eq!(
        set.decide(&PreparedInput::new(&input(1)), &RequestFacts::default(), &HeldFacts::default()).unwrap(),
        None
    );
}

#[test]
fn a_decision_that_means_nothing_is_refused_when_loading() {
    let late = DECIDES.replace("\"reuse_sec\": 60", "\"deadline_sec\": 60");
    let error = load(&[("d/d.rego", &late)]).unwrap_err().to_string();
    assert!(error.starts_with("p/d/d.rego:7: ") && error.contains("go with \"ask\""), "{error}");
    let unattended = DECIDES.replace("\"reuse_sec\": 60", "\"unattended\": \"renew\"");
    assert!(load(&[("d/d.rego", &unattended)]).unwrap_err().to_string().contains("go with \"ask\""));
    let unknown = DECIDES.replace("input.held.process.uid", "input.held.process.user");
    assert!(load(&[("d/d.rego", &unknown)]).unwrap_err().to_string().contains("user"));
}

#[test]
fn asking_twice_gives_the_same_answer_and_one_agent_does_not_touch_another() {
    let set = load(&[("a/a.rego", GOOD)]).unwrap();
    let first = set.guardrails(&input(4)).unwrap();
    let _ = set.guardrails(&input(1)).unwrap();
    assert_eq!(set.guardrails(&input(4)).unwrap(), first);
}

#[test]
fn a_mistake_in_a_guardrail_is_named_with_its_line() {
    let cases = [
        ("\"verdict\": \"deny\", \"path\": \"/x\", \"ops\": [\"raed\"]", "`raed` is no operation"),
        ("\"verdict\": \"deny\", \"path\": \"x\", \"ops\": [\"read\"]", "begin it with"),
        ("\"verdict\": \"deny\", \"path\": \"/x/{a\", \"ops\": [\"read\"]", "never closed"),
        ("\"verdict\": \"deny\", \"address\": \"10.0.0.300\", \"ops\": [\"connect\"]", "is not an address"),
        ("\"verdict\": \"deny\", \"class\": \"kernal\"", "`kernal` is no class"),
        ("\"verdict\": \"deny\", \"capability\": \"cap_root\"", "no capability"),
        ("\"verdict\": \"refuse\", \"class\": \"kernel\"", "unknown variant `refuse`"),
    ];
    for (fields, message) in cases {
        let error = error(&pack(fields));
        assert!(error.starts_with("p/a/a.rego:5: guardrail `x`: "), "{fields}: {error}");
        assert!(error.contains(message) && error.lines().count() == 1, "{fields}: {error}");
    }
}

#[test]
fn two_guardrails_of_one_id_are_refused() {
    let twice = format!(
        "{GOOD}\nguardrails contains {{\"id\": \"high_tier\", \"class\": \"mount\", \"verdict\": \"deny\", \"severity\": \"HIGH\", \"reason\": \"r\"}}\n"
    );
    assert!(error(&twice).contains("another guardrail of this id"), "{}", error(&twice));
}

#[test]
fn a_name_that_does_not_exist_is_refused_instead_of_being_undefined() {
    let misspelt = GOOD.replace("input.agent.tier", "input.agent.tear");
    assert!(
        error(&misspelt).starts_with("p/a/a.rego:14: `input.agent.tear` does not exist"),
        "{}",
        error(&misspelt)
    );
}

#[test]
fn a_rule_that_cannot_be_evaluated_fails_the_whole_set() {
    let cases = [
        ("guardrails contains g if {", "syntax"),
        ("guardrails contains no_such_function(1)", "unknown function"),
        ("guardrails contains g if g := 1 / 0", "arithmetic"),
        ("guardrails := g if { g := {1}; false }", "undefined"),
        ("guardrails := 3", "no set"),
        ("deny contains {\"id\": \"x\"}", "a finding without severity"),
        ("x := 1", "nothing that is used"),
    ];
    for (body, what) in cases {
        let error = error(&format!("package agentguard.a\nimport rego.v1\n{body}\n"));
        assert!(error.starts_with("p/a/a.rego:") && error.lines().count() == 1, "{what}: {error}");
    }
}

#[test]
fn a_pack_that_only_answers_held_requests_is_a_pack() {
    let answers = "package agentguard.a\nimport rego.v1\ndecide contains {\"id\": \"x\", \"answer\": \"allow\", \
                   \"severity\": \"MEDIUM\", \"reason\": \"r\"}\n";
    load(&[("a/a.rego", answers)]).unwrap();
}

#[test]
fn an_error_that_only_a_finding_would_meet_is_found_when_loading() {
    let source = format!("{GOOD}\ndeny contains {{\"id\": \"y\"}} if true\n");
    assert!(error(&source).contains("missing field"), "{}", error(&source));
}

#[test]
fn mistakes_in_several_files_are_told_together() {
    let errors =
        load(&[("a/a.rego", "package agentguard.a\nx := {"), ("b/b.rego", "package agentguard.b\ny := [")]);
    let text = errors.unwrap_err().to_string();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains("p/a/a.rego:") && text.contains("p/b/b.rego:"), "{text}");
}

#[test]
fn files_are_where_their_packages_say() {
    let cases = [
        (("b/a.rego", GOOD), "must be `agentguard.b`"),
        (("a.rego", GOOD), "directory named as its pack"),
        (("a/a_test.rego", GOOD), "must be `agentguard.a_test`"),
        (("z/more.rego", "package agentguard.z"), "a pack is one file"),
    ];
    for (file, message) in cases {
        let error = load(&[("z/z.rego", &GOOD.replace("agentguard.a", "agentguard.z")), file]).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn a_library_needs_no_guardrails_and_packs_may_use_it() {
    let library = "package agentguard.lib\nimport rego.v1\nhigh := 2\n";
    let source = GOOD.replace("input.agent.tier > 2", "input.agent.tier > data.agentguard.lib.high");
    let set = load(&[("a/a.rego", &source), ("lib/lib.rego", library)]).unwrap();
    assert_eq!(set.guardrails(&input(3)).unwrap().len(), 3);
}

#[test]
fn a_set_can_be_asked_from_several_threads() {
    fn assert_shared<T: Send + Sync>() {}
    assert_shared::<PolicySet>();
}

#[test]
fn the_shipped_guardrails_are_what_they_were() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let read = PolicyFiles::read(&directory).unwrap();
    let contents = read.iter().map(|(path, content)| (path.to_owned(), content.to_owned()));
    let set = PolicySet::load(PolicyFiles::from_contents(Path::new("policies"), contents).unwrap()).unwrap();
    let lines: Vec<_> = set.guardrails(&input(2)).unwrap().iter().map(line).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// One rule as one line, its place without the line: moving a rule changes nothing.
fn line(rule: &agentguard_core::rule::Rule) -> String {
    let scope = serde_json::to_string(&rule.scope).unwrap();
    let severity = rule.severity.map(|severity| format!("{severity:?}")).unwrap_or_default();
    format!("{} {} {severity} {scope}", rule.id, rule.verdict)
}
