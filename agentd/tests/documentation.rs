//! The references name everything that there is: metrics, keys of the configuration, limits.

mod page;

use std::collections::BTreeSet;
use std::path::Path;

use agentd::config::Config;
use agentguard_bpf::types::limits;
use page::{full_page, samples};

const REFERENCE: &str = include_str!("../../docs/reference/metrics.md");

#[test]
fn every_metric_and_label_is_documented() {
    let found = samples(&full_page());
    assert!(found.len() > 15, "a full page has more: {found:?}");
    for (name, label) in found {
        let row = REFERENCE.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/reference/metrics.md has no row of `{name}`"));
        assert!(label.is_empty() || row.contains(&format!("`{label}`")), "`{name}`: label `{label}`");
    }
}

#[test]
fn nothing_is_documented_that_is_not_there() {
    let found: BTreeSet<String> = samples(&full_page()).into_iter().map(|(name, _)| name).collect();
    for row in REFERENCE.lines().filter(|line| line.starts_with("| `agentguard_")) {
        let name = row.trim_start_matches("| `").split('`').next().unwrap_or_default();
        assert!(found.contains(name), "`{name}` is documented and not on the page");
    }
}

#[test]
fn the_keys_of_the_configuration_are_those_that_are_documented() {
    let reference = include_str!("../../docs/reference/config.md");
    let keys: Vec<&str> = reference
        .lines()
        .filter_map(|row| row.strip_prefix("| `"))
        .take_while(|row| !row.starts_with('/'))
        .filter_map(|row| row.split('`').next())
        .collect();
    assert!(keys.len() >= 9, "found {keys:?}");
    let values = reference.lines().filter_map(|row| row.strip_prefix("| `")).filter_map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        cells.get(1).map(|value| value.trim_matches('`').to_owned())
    });
    let quoted = |value: &str| match value.starts_with('/') {
        true => format!("\"{value}\""),
        false => value.to_owned(),
    };
    let lines = keys.iter().zip(values).map(|(key, value)| format!("{key} = {}\n", quoted(&value)));
    let config = Config::parse(Path::new("config.md"), &lines.collect::<String>());
    assert_eq!(config.expect("every key is one, with its default"), Config::default());
}

/// Whoever writes an unknown key is told all that there are: of the file, or of a section.
fn keys_of(section: &str) -> Vec<String> {
    let head = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
    let told = Config::parse(Path::new("config.md"), &format!("{head}nobody = 1\n"));
    let told = told.expect_err("there is no such key").to_string();
    let keys = told.split_once("unknown field `nobody`, expected ").map_or("", |(_, keys)| keys);
    keys.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_key_of_the_configuration_is_documented() {
    let reference = include_str!("../../docs/reference/config.md");
    let all = keys_of("");
    assert!(all.len() >= 14, "found {all:?}");
    for key in all.iter().filter(|key| *key != "notify") {
        let inner = keys_of(key);
        let names = match inner.as_slice() {
            [] => vec![key.clone()],
            inner => inner.iter().map(|inner| format!("{key}.{inner}")).collect(),
        };
        for name in names {
            assert!(reference.contains(&format!("\n| `{name}` |")), "`{name}` is not in config.md");
        }
    }
}

#[test]
fn the_keys_of_a_notification_are_those_that_are_documented() {
    let reference = include_str!("../../docs/reference/config.md");
    let (_, section) = reference.split_once("\n## Notifications\n").expect("a section");
    let (_, example) = section.split_once("```toml\n").expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    let parse = |text: &str| Config::parse(Path::new("config.md"), text).map(|config| config.notify);
    assert_eq!(parse(example).expect("the example can be used").len(), 2);
    let rows: Vec<(&str, &str)> = section
        .lines()
        .filter_map(|row| row.strip_prefix("| `")?.split(" | ").next().zip(row.split(" | ").nth(1)))
        .map(|(key, value)| (key.trim_end_matches('`'), value.trim_matches('`')))
        .collect();
    let defaults: String = rows
        .iter()
        .filter(|(_, value)| !value.is_empty() && !value.starts_with('|'))
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    let least = "[[notify]]\nwebhook = 'https://x'\n";
    let all = parse(&format!("{least}{defaults}")).expect("every key is one, with its default");
    assert_eq!(all, parse(least).expect("a URL is enough"));
    // An unknown key is answered with all that there are.
    let error = parse(&format!("{least}unknown = 1\n")).expect_err("an unknown key").to_string();
    let known: BTreeSet<&str> = error.split('`').skip(3).step_by(2).collect();
    assert_eq!(known, rows.iter().map(|(key, _)| *key).collect());
}

#[test]
fn the_limits_of_the_kernel_are_those_that_are_documented() {
    let specification = include_str!("../../docs/SPECIFICATION.md");
    for (limit, number) in [
        ("agents at once", limits::MAX_AGENTS.0 - 1),
        ("path", limits::MAX_PATH.0),
        ("arguments read", limits::MAX_ARGV.0 >> 10),
        ("DNS name", limits::MAX_NAME.0),
        ("port ranges under one prefix", limits::MAX_RANGES.0),
        ("address prefixes, all rulesets", limits::MAX_PREFIXES.0),
        ("addresses learned from DNS", limits::MAX_RESOLVED.0),
        ("granted names on one address", limits::NAMES_PER_ADDRESS.0),
        ("open files whose bytes are summed", limits::MAX_OPEN_FILES.0),
        ("peers whose bytes are summed", limits::MAX_PEERS.0),
        ("executables by hash", limits::MAX_EXEC_FILES.0),
        ("arena", limits::RULE_WORDS.0 >> 18),
        ("ring buffer", limits::EVENT_RING_BYTES.0 >> 20),
    ] {
        let row = specification.lines().find(|row| row.starts_with(&format!("| {limit} |")));
        let row = row.unwrap_or_else(|| panic!("docs/SPECIFICATION.md has no row of `{limit}`"));
        let value = row.split('|').nth(2).unwrap_or_default().replace(',', "");
        let first = value.split_whitespace().next().unwrap_or_default();
        assert_eq!(first, number.to_string(), "{limit}");
    }
}
