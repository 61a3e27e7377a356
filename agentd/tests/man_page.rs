//! The manual page names the options that agentd has, and no others.

use std::collections::BTreeSet;
use std::process::Command;

const PAGE: &str = include_str!("../../packaging/agentd.8");

/// Long options in a text.
fn options(text: &str) -> BTreeSet<&str> {
    let is_of_option = |character: char| character.is_ascii_lowercase() || character == '-';
    text.match_indices("--")
        .map(|(at, _)| text[at..].split(|character| !is_of_option(character)).next().unwrap_or_default())
        .filter(|option| option.len() > 2)
        .collect()
}

#[test]
fn the_manual_page_has_the_options_of_the_program() {
    let output = Command::new(env!("CARGO_BIN_EXE_agentd")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(options(&help).contains("--unload"), "{help}");
    // roff writes a hyphen that is typed as `\-`.
    let page: String = PAGE.lines().filter(|line| !line.starts_with(".\\\"")).collect::<Vec<_>>().join("\n");
    assert_eq!(options(&page.replace("\\-", "-")), options(&help));
}
