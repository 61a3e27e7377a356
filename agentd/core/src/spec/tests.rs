//! Specs as users write them: what they grant, and what is said about those that are wrong.

use std::path::Path;

use super::*;
use crate::operation::{AddressOp, ClassOp, PathOp};
use crate::rule::{Rule, Scope};

const HEAD: &str = "[agent]\nname = \"a\"\nrole = \"analysis\"\ntier = 2\nmode = \"enforce\"\n";

const WHOLE: &str = r#"[agent]
name = "coding-agent"
description = "Writes and builds code in one workspace."
role = "ideation"
tier = 2
mode = "enforce"

[variables]
workspace = ""
cache = "${home}/.cache"

[files]
default = "deny"
read = [
  "/usr/**",
  "${workspace}/**",
]
write = ["${workspace}/**", "/dev/null"]
audit = ["${cache}/**"]
deny = ["**/*.pem"]

[exec]
default = "audit"
allow = ["/usr/bin/**", { path = "/opt/tool", sha256 = "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef" }]
libraries = ["/usr/lib/**"]
commands_deny = ["rm -rf /*"]
anonymous = "allow"
memfd = "deny"

[network]
connect = [{ to = "API.example.com", ports = [443] }, { to = "10.0.0.0/8", ports = ["8000-9000"], protocol = "tcp" }]
listen = [{ on = "127.0.0.1", ports = ["1024-65535"] }]
deny = [{ to = "10.1.0.0/16" }]
resolvers = ["10.0.0.2"]
sockets = ["tcp", "netlink-route"]

[unix]
connect = ["/run/foo.sock", "@abstract*"]
bind = ["@mine"]

[process]
default = "audit"
capabilities = ["cap_chown"]
allow = ["user-namespace"]
"#;

fn parse(text: &str) -> Result<Spec, SpecError> {
    Spec::parse(text, Path::new("agent.toml"))
}

fn variables() -> Variables {
    let mut variables = Variables::of_user("/home/u", "u", 1000);
    variables.set("workspace", "/srv/w").expect("declared by the spec");
    variables
}

fn resolved(text: &str) -> ResolvedSpec {
    let given = if text == WHOLE { variables() } else { Variables::of_user("/home/u", "u", 1000) };
    parse(text).and_then(|spec| spec.resolve(&given)).unwrap_or_else(|error| panic!("{error}"))
}

fn rule<'r>(rules: &'r [Rule], id: &str) -> &'r Rule {
    rules.iter().find(|rule| rule.id == id).unwrap_or_else(|| panic!("no rule {id}"))
}

#[test]
fn a_whole_spec_becomes_grants_with_their_lines() {
    let resolved = resolved(WHOLE);
    let rules = resolved.rules();
    for (id, line, verdict, pattern, ops) in [
        ("files.read[0]", 15, Verdict::Allow, "/usr/**", &[PathOp::Read][..]),
        ("files.read[1]", 16, Verdict::Allow, "/srv/w/**", &[PathOp::Read]),
        ("files.write[1]", 18, Verdict::Allow, "/dev/null", &[PathOp::Write, PathOp::Attr]),
        ("exec.allow[1]", 24, Verdict::Allow, "/opt/tool", &[PathOp::Exec, PathOp::MapExec]),
        ("exec.libraries[0]", 25, Verdict::Allow, "/usr/lib/**", &[PathOp::MapExec]),
        ("exec.commands_deny[0]", 26, Verdict::Deny, "argv:rm -rf /*", &[PathOp::Command]),
        ("unix.connect[1]", 38, Verdict::Allow, "@abstract*", &[PathOp::Connect]),
        ("unix.bind[0]", 39, Verdict::Allow, "@mine", &[PathOp::Bind]),
    ] {
        let rule = rule(&rules, id);
        assert_eq!((rule.source.line, rule.verdict), (line, verdict), "{id}");
        assert!(
            matches!(&rule.scope, Scope::Path { ops: found, pattern: text, .. } if found == ops && text == pattern),
            "{id}: {:?}",
            rule.scope
        );
    }
    let audit = rule(&rules, "files.audit[0]");
    assert!(
        matches!(&audit.scope, Scope::Path { ops, pattern, .. } if ops.len() == 6 && pattern == "/home/u/.cache/**")
    );
    assert!(matches!(
        &rule(&rules, "exec.allow[1]").scope,
        Scope::Path { sha256: Some(hash), .. } if hash.starts_with("0123456789abcdef")
    ));
    assert!(matches!(
        &rule(&rules, "network.connect[0]").scope,
        Scope::Name { name, ports } if name == "api.example.com" && ports.ranges == [(443, 443)]
    ));
    assert!(matches!(rule(&rules, "network.listen[0]").scope, Scope::Address { op: AddressOp::Listen, .. }));
    assert_eq!(rule(&rules, "network.deny[0]").verdict, Verdict::Deny);
    assert!(matches!(
        rule(&rules, "network.sockets[netlink-route]").scope,
        Scope::Class { op: ClassOp::SocketNetlinkRoute }
    ));
    assert_eq!(rule(&rules, "exec.memfd").verdict, Verdict::Deny);
    assert!(matches!(rule(&rules, "process.capabilities[0]").scope, Scope::Capability { number: 0 }));
    assert_eq!(rule(&rules, "network.resolvers[0].tcp").source.line, 34);
    assert_eq!(rules.iter().filter(|rule| rule.id.starts_with("network.resolvers")).count(), 2);
}

#[test]
fn ids_of_grants_are_unique() {
    let rules = resolved(WHOLE).rules();
    let ids: std::collections::BTreeSet<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(ids.len(), rules.len());
}

#[test]
fn defaults_are_those_written_and_deny_where_none_is() {
    let defaults = resolved(WHOLE).defaults();
    assert_eq!(
        (defaults.files, defaults.exec, defaults.network, defaults.unix, defaults.process),
        (Verdict::Deny, Verdict::Audit, Verdict::Deny, Verdict::Deny, Verdict::Audit)
    );
}

#[test]
fn the_hosts_name_servers_are_granted_only_if_the_spec_names_none() {
    let host = ["::ffff:10.0.0.9".parse().expect("address")];
    assert!(resolved(WHOLE).resolver_rules(&host).is_empty());
    let rules = resolved(HEAD).resolver_rules(&host);
    assert_eq!(rules.len(), 2);
    assert!(matches!(rules[0].scope, Scope::Address { network, .. } if network.to_string() == "10.0.0.9/32"));
}

#[test]
fn a_spec_without_sections_grants_only_the_usual_sockets() {
    let rules = resolved(HEAD).rules();
    let ids: Vec<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(
        ids,
        ["tcp", "udp", "unix", "netlink-route"].map(|kind| format!("network.sockets[{kind}]")).each_ref()
    );
    let none = resolved(&format!("{HEAD}[network]\nsockets = []\n"));
    assert!(none.rules().is_empty());
}

#[test]
fn a_workspace_with_a_strange_name_grants_only_itself() {
    let spec =
        parse(&format!("{HEAD}[variables]\nworkspace = \"\"\n[files]\nread = [\"${{workspace}}/**\"]\n"));
    let spec = spec.unwrap_or_else(|error| panic!("{error}"));
    let mut given = Variables::new();
    given.set("workspace", "/a*").expect("free name");
    let rules = spec.resolve(&given).unwrap_or_else(|error| panic!("{error}")).rules();
    let Scope::Path { pattern, .. } = &rule(&rules, "files.read[0]").scope else { panic!("a path") };
    let pattern = crate::pattern::Pattern::parse(pattern).expect("pattern");
    assert!(pattern.matches(b"/a*/x") && !pattern.matches(b"/abc/x"));
    for bad in ["", "/", "/a/../b", "/a\n"] {
        given.set("workspace", bad).expect("free name");
        let error = spec.resolve(&given).expect_err(bad);
        assert_eq!(error.problems[0].source.line, 7, "{error}");
    }
    assert!(given.set("home", "/").is_err());
}

#[test]
fn variables_are_replaced_in_every_list() {
    let text = format!(
        r#"{HEAD}
[variables]
workspace = "/srv/w"
peer = "10.0.0.9"

[files]
read = ["${{workspace}}/1"]
write = ["${{workspace}}/2"]
create = ["${{workspace}}/3"]
delete = ["${{workspace}}/4"]
link = ["${{workspace}}/5"]
audit = ["${{workspace}}/6"]
hold = ["${{workspace}}/7"]
deny = ["${{workspace}}/8"]

[exec]
allow = ["${{workspace}}/9"]
libraries = ["${{workspace}}/10"]
hold = ["${{workspace}}/11"]
deny = ["${{workspace}}/12"]
commands_hold = ["${{workspace}}/13"]
commands_deny = ["${{workspace}}/14"]

[network]
connect = [{{ to = "${{peer}}", ports = [1] }}]
listen = [{{ on = "${{peer}}", ports = [2] }}]
hold = [{{ to = "${{peer}}", ports = [3] }}]
deny = [{{ to = "${{peer}}", ports = [4] }}]
resolvers = ["${{peer}}"]

[unix]
connect = ["${{workspace}}/15"]
bind = ["@${{workspace}}/16"]
hold = ["${{workspace}}/17"]
deny = ["${{workspace}}/18"]
"#
    );
    let resolved = resolved(&text);
    let spec = serde_json::to_string(resolved.spec()).unwrap();
    assert!(!spec.contains("${"), "{spec}");
    for number in 1..=18 {
        assert!(spec.contains(&format!("/srv/w/{number}\"")), "{number}: {spec}");
    }
    assert_eq!(spec.matches("\"to\":\"10.0.0.9\"").count(), 4);
}

#[test]
fn a_missing_variable_is_told_at_its_declaration() {
    let error =
        parse(WHOLE).and_then(|spec| spec.resolve(&Variables::of_user("/home/u", "u", 1))).expect_err("no");
    assert_eq!(
        error.to_string(),
        "agent.toml:9: variable `workspace` has no value; give one when the agent starts, or a default"
    );
}

#[test]
fn a_variable_that_the_spec_lacks_is_refused() {
    let mut given = variables();
    given.set("wrkspace", "/x").expect("free name");
    let error = parse(WHOLE).and_then(|spec| spec.resolve(&given)).expect_err("unknown");
    assert!(error.to_string().contains("did you mean `workspace`"), "{error}");
}

#[test]
fn what_agentd_sets_is_a_problem_only_where_it_is_used() {
    let root = Variables::of_user("/", "daemon", 1);
    let unused = parse(HEAD).and_then(|spec| spec.resolve(&root));
    assert!(unused.is_ok());
    let used =
        parse(&format!("{HEAD}[files]\nread = [\"${{home}}/**\"]\n")).and_then(|spec| spec.resolve(&root));
    assert!(used.expect_err("root").to_string().contains("is the root directory"));
}

#[test]
fn every_problem_has_its_line_and_says_what_to_do() {
    let cases: &[(&str, u32, &str)] = &[
        ("[file]\n", 6, "unknown section `file`; did you mean `files`?"),
        ("[files]\nraed = []\n", 7, "unknown key `raed` in files; did you mean `read`?"),
        ("[files]\nbanana = []\n", 7, "known are default, read, write"),
        ("[process]\ndefault = \"hold\"\n", 7, "can not be held"),
        ("[files]\ndefault = \"dney\"\n", 7, "did you mean `deny`?"),
        ("[files]\ndefault = 1\n", 7, "files.default has the type integer; write a string"),
        ("[files]\nread = \"/x\"\n", 7, "files.read has the type string; write a list"),
        (
            "[files]\nread = [\n  \"/a\",\n  \"b\",\n]\n",
            9,
            "`b` cannot stand here; begin it with `/` or `**`",
        ),
        ("[files]\nread = [\"/a/\"]\n", 7, "write `/a` or `/a/**`"),
        ("[files]\nread = [\"/a[\"]\n", 7, "never closed"),
        ("[files]\nread = [\"@x\"]\n", 7, "cannot stand here"),
        ("[files]\nread = [\"/a\",\n\"/a\"]\n", 8, "`/a` is already in files.read, on line 7; remove one"),
        ("[files]\nread = [\"${w}/x\"]\n", 7, "unknown variable `w`; declare it"),
        ("[files]\nread = [\"${home\"]\n", 7, "never closed"),
        ("[variables]\nHome = \"\"\n", 7, "not a variable name"),
        ("[variables]\nhome = \"/x\"\n", 7, "set by agentd"),
        ("[variables]\nw = 1\n", 7, "write a string"),
        ("[variables]\nw = \"${v}\"\nv = \"/x\"\n", 7, "may use only home, user, uid"),
        ("[variables]\nw = \"/\"\n", 7, "is the root directory"),
        ("[exec]\nallow = [{ path = \"/a\", sha256 = \"abc\" }]\n", 7, "is not 64 hex digits"),
        ("[exec]\nallow = [{ sha256 = \"abc\" }]\n", 7, "exec.allow entry.path is missing"),
        ("[exec]\nallow = [{ path = \"/a\", hash = \"abc\" }]\n", 7, "unknown key `hash`"),
        ("[exec]\nallow = [3]\n", 7, "write a table"),
        ("[exec]\nmemfd = \"hold\"\n", 7, "can not be held"),
        ("[exec]\ncommands_deny = [\"\"]\n", 7, "write a command line"),
        ("[network]\nconnect = [\"example.com\"]\n", 7, "write { to = \"example.com\", ports = [443] }"),
        ("[network]\nconnect = [{ to = \"10.0.0.1/8\" }]\n", 7, "write 10.0.0.0/8"),
        ("[network]\nconnect = [{ to = \"*\" }]\n", 7, "0.0.0.0/0 and ::/0"),
        ("[network]\nconnect = [{ to = \"a\", ports = [70000] }]\n", 7, "`70000` is not a port"),
        ("[network]\nconnect = [{ to = \"a\", ports = [-1] }]\n", 7, "`-1` is not a port"),
        ("[network]\nconnect = [{ to = \"a\", ports = [\"9-8\"] }]\n", 7, "ends before it starts"),
        ("[network]\nconnect = [{ to = \"a\", ports = [] }]\n", 7, "leave `ports` out"),
        ("[network]\nconnect = [{ to = \"a\", protocol = \"tpc\" }]\n", 7, "did you mean `tcp`?"),
        ("[network]\nconnect = [{ ports = [1] }]\n", 7, "network entry.to is missing"),
        ("[network]\nlisten = [{ on = \"localhost\" }]\n", 7, "listens on addresses"),
        ("[network]\nlisten = [{ to = \"127.0.0.1\" }]\n", 7, "unknown key `to`"),
        ("[network]\ndeny = [{ to = \"a.example\", ports = [1] }]\n", 7, "remove ports and protocol"),
        ("[network]\nresolvers = [\"dns.example\"]\n", 7, "is not an address"),
        ("[network]\nsockets = [\"tpc\"]\n", 7, "did you mean `tcp`?"),
        ("[unix]\nconnect = [\"foo.sock\"]\n", 7, "begin it with `/`, `**` or `@`"),
        ("[unix]\nbind = [\"/run/foo.sock\"]\n", 7, "files.create"),
        ("[process]\ncapabilities = [\"cap_chwon\"]\n", 7, "did you mean `cap_chown`?"),
        ("[process]\nallow = [\"set_id\"]\n", 7, "did you mean `set-id`?"),
        ("files = 3\n", 6, "unknown key `files` in agent"),
        ("[files\n", 6, "not valid TOML"),
        ("[files]\n[files]\n", 7, "not valid TOML"),
    ];
    for (text, line, part) in cases {
        let error = parse(&format!("{HEAD}{text}")).map(|_| ()).expect_err(text);
        let first = &error.problems[0];
        assert_eq!(first.source.line, *line, "{text}: {error}");
        assert!(first.message.contains(part), "{text}: {error}");
        assert!(error.to_string().starts_with(&format!("agent.toml:{line}: ")));
    }
}

#[test]
fn the_agent_section_is_checked() {
    for (text, line, part) in [
        ("", 1, "the [agent] section is missing"),
        ("[agent]\nrole = \"analysis\"\ntier = 1\nmode = \"observe\"\n", 1, "agent.name is missing"),
        ("[agent]\nname = \"A b\"\nrole = \"analysis\"\ntier = 1\nmode = \"observe\"\n", 2, "is not a name"),
        (
            "[agent]\nname = \"a\"\nrole = \"boss\"\ntier = 1\nmode = \"observe\"\n",
            3,
            "compliance, analysis, ideation",
        ),
        (
            "[agent]\nname = \"a\"\nrole = \"analysis\"\ntier = 5\nmode = \"observe\"\n",
            4,
            "write 1 (least risk) to 4",
        ),
        (
            "[agent]\nname = \"a\"\nrole = \"analysis\"\ntier = \"1\"\nmode = \"observe\"\n",
            4,
            "write a number",
        ),
        ("[agent]\nname = \"a\"\nrole = \"analysis\"\nmode = \"observe\"\n", 1, "agent.tier is missing"),
        ("[agent]\nname = \"a\"\nrole = \"analysis\"\ntier = 1\nmode = \"block\"\n", 5, "observe, enforce"),
        ("agent = 1\n", 1, "agent has the type integer; write a table"),
    ] {
        let error = parse(text).map(|_| ()).expect_err(text);
        assert_eq!(error.problems[0].source.line, line, "{text}: {error}");
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
}

#[test]
fn all_problems_are_told_in_the_order_of_the_file() {
    let text = format!(
        "{HEAD}[files]\nraed = []\nread = [\"x\"]\n[exec]\ndefault = \"no\"\n[unix]\nbind = [\"y\"]\n"
    );
    let error = parse(&text).map(|_| ()).expect_err("many problems");
    let lines: Vec<u32> = error.problems.iter().map(|problem| problem.source.line).collect();
    assert_eq!(lines, [7, 8, 10, 12]);
}

#[test]
fn limits_are_refused_with_the_limit() {
    let long = format!("{HEAD}#{}", "x".repeat(MAX_SPEC_BYTES));
    assert!(parse(&long).expect_err("long").to_string().contains("the limit is 1048576"));
    let list: Vec<String> = (0..=MAX_SPEC_RULES).map(|n| format!("\"/{n}\"")).collect();
    let many = format!("{HEAD}[files]\nread = [{}]\n", list.join(","));
    assert!(parse(&many).expect_err("many").to_string().contains("the limit is 20000"));
    let wrong = format!("{HEAD}[files]\nread = [{}]\n", "\"x\",".repeat(1000));
    assert!(parse(&wrong).expect_err("wrong").problems.len() <= MAX_PROBLEMS);
}

#[test]
fn messages_stay_on_one_line_whatever_the_spec_holds() {
    let text = format!("{HEAD}[files]\nread = [\"\"\"a\nb\"\"\"]\n\"x\\ny\" = 1\n");
    for problem in parse(&text).map(|_| ()).expect_err("bad").problems {
        assert!(!problem.to_string().contains('\n'), "{problem}");
    }
}

#[test]
fn as_json_a_spec_has_values_and_no_lines() {
    let json = serde_json::to_value(resolved(WHOLE).spec()).expect("json");
    assert_eq!(json["files"]["read"][1], "/srv/w/**");
    assert_eq!(json["agent"]["tier"], 2);
    assert_eq!(json["network"]["connect"][1]["protocol"], "tcp");
    assert_eq!(json["exec"]["memfd"], "deny");
    assert!(json.get("file").is_none());
}

const PROFILE: &str = r#"[agent]
name = "a"
version = "1.4.0"
owner = "payments <pay@example.com>"
role = "analysis"
tier = 2
mode = "enforce"
capabilities = ["code.read", "report"]
expires = 2027-06-30T00:00:00Z

[anatomy]
inputs = ["repository"]
actions = ["read files"]
memory = "session"

[anatomy.reasoning]
model = "claude-sonnet-4"
temperature = 0.25

[economics]
monthly_budget_usd = 150.5

[containment]
loopback = true
"#;

#[test]
fn what_an_agent_is_travels_to_policy_as_numbers_and_words() {
    let spec = parse(PROFILE).unwrap_or_else(|error| panic!("{error}"));
    let json = serde_json::to_value(&spec).unwrap();
    assert_eq!(json["agent"]["expires"], "2027-06-30T00:00:00Z");
    assert_eq!(json["anatomy"]["reasoning"]["temperature"], 0.25);
    assert_eq!(json["economics"]["monthly_budget_usd"], 150.5);
    assert_eq!(json["containment"]["loopback"], true);
    assert_eq!(json["containment"]["external_calls"], false);
    assert!(spec.agent.expires.is_some_and(|moment| moment.wall_ns > 1_800_000_000_000_000_000));
}

#[test]
fn the_hash_of_a_spec_is_over_what_it_means() {
    let hash = |text: &str| parse(text).unwrap_or_else(|error| panic!("{error}")).sha256();
    let spelled = PROFILE.replace("0.25", "0.250").replace("[containment]", "# why\n[containment]");
    assert_eq!(hash(&spelled), hash(PROFILE));
    for (from, to) in [("0.25", "0.26"), ("tier = 2", "tier = 3"), ("loopback = true", "loopback = false")] {
        assert_ne!(hash(&PROFILE.replace(from, to)), hash(PROFILE), "{from}");
    }
    // A proof outlives an upgrade only if this does not change: a new key must be left out of the form while it is empty.
    let minimal = parse(HEAD).unwrap();
    insta::assert_snapshot!(minimal.canonical());
}

#[test]
fn mistakes_in_what_an_agent_is_name_line_and_remedy() {
    for (from, to, line, part) in [
        ("1.4.0", "one two", 3, "no version"),
        ("[\"code.read\", \"report\"]", "[\"Code Read\"]", 8, "write words of a-z"),
        ("2027-06-30T00:00:00Z", "2027-06-30", 9, "a moment in UTC"),
        ("2027-06-30T00:00:00Z", "7", 9, "a moment in UTC"),
        ("\"session\"", "\"sesion\"", 14, "did you mean `session`"),
        ("0.25", "2.5", 18, "a number from 0 to 2"),
        ("0.25", "\"hot\"", 18, "of the type string"),
        ("150.5", "-1", 21, "a number from 0"),
        ("loopback = true", "loopback = 1", 24, "write true or false"),
        ("loopback = true", "loopbak = true", 24, "did you mean `loopback`"),
        ("model = \"claude-sonnet-4\"\n", "", 16, "anatomy.reasoning.model is missing"),
    ] {
        let error = parse(&PROFILE.replace(from, to)).expect_err(to).to_string();
        let wanted = format!("agent.toml:{line}: ");
        assert!(error.starts_with(&wanted) && error.contains(part), "{to}: {error}");
    }
}

#[test]
fn the_schema_takes_what_the_reader_takes() {
    let schema = jsonschema::validator_for(&schema()).expect("a schema");
    let takes = |text: &str| {
        let table: toml::Table = text.parse().unwrap();
        schema.is_valid(&serde_json::to_value(table).map(plain).unwrap())
    };
    for text in [HEAD, WHOLE, PROFILE] {
        assert!(takes(text));
    }
    for (from, to) in [
        ("tier = 2", "tier = 5"),
        ("role = \"analysis\"", "role = \"chief\""),
        ("[economics]", "[economic]"),
        ("inputs", "input"),
        ("0.25", "3"),
    ] {
        assert!(!takes(&PROFILE.replace(from, to)), "{to}");
    }
    for (from, to) in [
        ("memfd = \"deny\"", "memfd = \"hold\""),
        ("\"cap_chown\"", "\"cap_everything\""),
        ("ports = [443]", "ports = []"),
        ("sha256 = \"", "sha256 = \"zz"),
        ("[\"tcp\", ", "[\"carrier-pigeon\", "),
    ] {
        assert!(!takes(&WHOLE.replace(from, to)), "{to}");
    }
}

/// TOML's moments as the text that JSON has for them.
fn plain(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(members) => match members.get("$__toml_private_datetime") {
            Some(moment) => moment.clone(),
            None => Value::Object(members.into_iter().map(|(key, member)| (key, plain(member))).collect()),
        },
        other => other,
    }
}
