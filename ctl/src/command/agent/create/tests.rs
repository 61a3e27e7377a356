use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    create: Arguments,
}

fn typed(words: &[&str]) -> Result<Arguments, clap::Error> {
    Line::try_parse_from([&["create"], words].concat()).map(|line| line.create)
}

fn daemon() -> Daemon {
    Daemon::at(Path::new("/nonexistent/agentd.sock")).unwrap()
}

/// What `--dry-run` prints.
fn dry(words: &[&str]) -> Result<String, Failure> {
    let mut out = Vec::new();
    let mut screen = Screen::plain(&mut out, Format::Table, 100);
    let arguments = typed(&[words, &["--dry-run"]].concat()).unwrap();
    let _done = run(&arguments, &mut daemon(), &mut screen)?;
    Ok(String::from_utf8(out).unwrap())
}

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let file = folder.path().join(name);
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn needs_a_name_and_a_way_unless_it_only_lists() {
    assert!(typed(&["x"]).is_err() && typed(&["--from", "scratch"]).is_err());
    assert!(typed(&["x", "--from", "nothing"]).is_err());
    assert!(typed(&["--list-templates"]).is_ok());
    assert!(typed(&["x", "--from", "scratch", "--role", "boss"]).is_err());
    assert!(typed(&["x", "--from", "scratch", "--sandbox-days", "0"]).is_err());
}

#[test]
fn an_option_of_another_way_is_a_mistake() {
    for (words, said) in [
        (
            &["--from", "scratch", "--file", "x"][..],
            "--file belongs to --from workflow and --from import, not to --from scratch",
        ),
        (&["--from", "clone", "--server", "x"], "--server belongs to --from import, not to --from clone"),
        (&["--from", "workflow"], "--from workflow needs --file FILE.yml"),
        (&["--from", "event"], "--from event needs --agent NAME; see agentctl agents --all"),
    ] {
        let failure = dry(&[&["x"], words].concat()).unwrap_err();
        assert!(matches!(&failure, Failure::Usage(words) if words == said), "{failure}");
    }
}

#[test]
fn what_is_said_is_in_the_spec_and_agentd_is_not_asked() {
    let spec = dry(&[
        "helper",
        "--from",
        "scratch",
        "--role",
        "analysis",
        "--tier",
        "2",
        "--owner",
        "platform",
        "--version",
        "2.0.0",
        "--budget",
        "12.5",
        "--temperature",
        "0.2",
        "--model",
        "m-1",
        "--capability",
        "data.read",
        "--capability",
        "report.write",
        "--description",
        "reads",
    ])
    .unwrap();
    let spec = Spec::parse(&spec, Path::new("s.toml")).unwrap();
    assert_eq!((spec.agent.name.0.as_str(), spec.agent.tier), ("helper", 2));
    assert_eq!(spec.agent.version.as_deref(), Some("2.0.0"));
    assert_eq!(spec.agent.owner.as_deref(), Some("platform"));
    assert_eq!(spec.agent.capabilities.len(), 2);
}

#[test]
fn a_file_with_several_servers_becomes_several_specs() {
    let folder = tempfile::tempdir().unwrap();
    let servers = r#"{"mcpServers": {"files": {"command": "npx", "args": ["-y", "a"]}, "db": {"command": "uvx", "args": ["b"]}}}"#;
    let servers = file(&folder, "mcp.json", servers);
    let specs = dry(&["tools", "--from", "import", "--file", &servers]).unwrap();
    assert!(specs.contains("name = \"tools-files\"") && specs.contains("name = \"tools-db\""), "{specs}");
    let one = dry(&["tools", "--from", "import", "--file", &servers, "--server", "db"]).unwrap();
    assert!(one.contains("name = \"tools\"") && !one.contains("tools-db"), "{one}");
}

#[test]
fn answers_and_templates_and_workflows_are_read_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let answers = file(&folder, "a.toml", "purpose = \"triages\"\nrole = \"analysis\"\n");
    let spec = dry(&["triage", "--from", "conversation", "--answers", &answers]).unwrap();
    assert!(spec.contains("description = \"triages\""), "{spec}");
    let template = file(&folder, "t.toml", &spec);
    let copy = dry(&["other", "--from", "template", "--template", &template]).unwrap();
    assert!(copy.contains("name = \"other\""), "{copy}");
    let workflow = file(
        &folder,
        "w.yml",
        "name: w\nrole: analysis\ntier: 3\nsteps:\n  - name: a\n    run: git status\n",
    );
    assert!(dry(&["flow", "--from", "workflow", "--file", &workflow]).unwrap().contains("/usr/bin/git"));
}

#[test]
fn a_wrong_value_is_usage_and_a_wrong_file_is_a_failure_with_its_line() {
    let failure = dry(&["Bad Name", "--from", "scratch"]).unwrap_err();
    assert!(matches!(failure, Failure::Usage(_)), "{failure}");
    let folder = tempfile::tempdir().unwrap();
    let answers = file(&folder, "a.toml", "purpose = \"x\"\nrole = \"boss\"\n");
    let failure = dry(&["x", "--from", "conversation", "--answers", &answers]).unwrap_err().to_string();
    assert!(failure.contains("a.toml:2: role: `boss` is none of"), "{failure}");
}

#[test]
fn a_new_agent_comes_with_what_to_do_next() {
    let agent = super::super::samples::registered("coder", agentguard_governance::state::State::Sandbox);
    let mut out = Vec::new();
    registered(&mut Screen::plain(&mut out, Format::Table, 100), &[agent]).unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}
