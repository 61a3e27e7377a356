//! The page about governance says what the code does.

use agentguard_governance::admission::{CHAIN, Code};
use agentguard_governance::proof::PAYLOAD_TYPE;
use agentguard_governance::state::table;

const PAGE: &str = include_str!("../../../docs/governance.md");

#[test]
fn the_table_of_transitions_is_the_one_of_the_code() {
    assert!(PAGE.contains(&format!("\n{}\n", table())), "docs/governance.md lacks this table:\n{}", table());
}

#[test]
fn every_check_has_its_row_in_order_and_every_code_is_named() {
    let rows: Vec<&str> = PAGE
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains("| `ADMISSION_DENY_"))
        .filter_map(|row| row.split('`').nth(1))
        .collect();
    assert_eq!(rows, CHAIN.map(|check| check.name));
    for code in Code::ALL {
        assert!(
            PAGE.contains(&format!("`{}`", code.name())),
            "docs/governance.md does not name {}",
            code.name()
        );
    }
}

#[test]
fn the_type_of_a_proof_is_the_one_of_the_code() {
    assert!(PAGE.contains(&format!("`{PAYLOAD_TYPE}`")));
}
