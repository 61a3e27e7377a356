//! The reference of the journal's fields is that of the lines in the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

const REFERENCE: &str = include_str!("../../docs/reference/journal.md");

/// Each call of a macro that logs, from its name to its closing parenthesis.
fn lines_of(folder: &Path, begin: &Regex, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            lines_of(&path, begin, found);
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source");
        for call in begin.find_iter(&text) {
            let mut depth = 1_usize;
            let end = text[call.end()..].find(|character| {
                match character {
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                depth == 0
            });
            let end = end.unwrap_or_else(|| panic!("{}: a call without an end", path.display()));
            found.push(text[call.start()..call.end() + end].to_owned());
        }
    }
}

fn lines() -> Vec<String> {
    let begin =
        Regex::new(r"(?:tracing::(?:error|warn|info|debug|trace|\$level)|\bline)!\(").expect("a pattern");
    let mut found = Vec::new();
    lines_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &begin, &mut found);
    assert!(found.len() > 50, "agentd has more lines than {}", found.len());
    found
}

#[test]
fn every_field_is_documented_and_every_documented_field_is_there() {
    let field = Regex::new(r"\b([A-Z][A-Z_]*) = ").expect("a pattern");
    let used: BTreeSet<String> = lines()
        .iter()
        .flat_map(|line| field.captures_iter(line).map(|of| of[1].to_owned()).collect::<Vec<_>>())
        .collect();
    let row = Regex::new(r"(?m)^\| `([A-Z_]+)` \|").expect("a pattern");
    let documented: BTreeSet<String> = row.captures_iter(REFERENCE).map(|of| of[1].to_owned()).collect();
    assert_eq!(used, documented);
}

#[test]
fn every_line_about_an_agent_names_it_in_a_field() {
    let about_one = Regex::new(r#"(?s)"[^"]*\bagent \{"#).expect("a pattern");
    for line in lines().iter().filter(|line| about_one.is_match(line)) {
        assert!(line.contains("AGENT = ") || line.starts_with("line!("), "no AGENT in {line}");
    }
}

#[test]
fn fields_of_requests_are_those_that_journald_does_not_set_itself() {
    // It refuses names that begin with an underscore, and gives these a meaning of its own (systemd.journal-fields(7)).
    let own = ["MESSAGE", "MESSAGE_ID", "PRIORITY", "CODE_FILE", "CODE_LINE", "ERRNO", "UNIT", "OBJECT_PID"];
    for name in own {
        assert!(!REFERENCE.contains(&format!("| `{name}` |")), "{name}");
    }
}
