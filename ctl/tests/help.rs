//! What users read: the help of every command, and the reference made of it.

use clap::Command;

/// Columns of the help in the snapshots.
const WIDTH: usize = 100;

fn help_of(command: &Command, path: &str, out: &mut Vec<(String, String)>) {
    let path = if path.is_empty() {
        command.get_name().to_owned()
    } else {
        format!("{path} {}", command.get_name())
    };
    out.push((path.clone(), command.clone().term_width(WIDTH).render_long_help().to_string()));
    for inner in command.get_subcommands() {
        help_of(inner, &path, out);
    }
}

#[test]
fn the_help_of_every_command_is_as_reviewed() {
    let mut root = agentctl::typed::command().term_width(WIDTH);
    root.build();
    let mut helps = Vec::new();
    help_of(&root, "", &mut helps);
    for (command, help) in helps {
        insta::assert_snapshot!(command.replace(' ', "-"), help);
    }
}

#[test]
fn the_schema_in_the_docs_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/spec.schema.json");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == agentctl::spec_schema(),
        "docs/reference/spec.schema.json is not current: \
         cargo run -p agentctl -- spec schema > docs/reference/spec.schema.json"
    );
}

#[test]
fn the_reference_in_the_docs_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/cli.md");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == agentctl::reference(),
        "docs/reference/cli.md is not current: cargo run -p agentctl -- reference-cli > docs/reference/cli.md"
    );
}
