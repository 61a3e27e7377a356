//! The scenarios that the binary carries.

use crate::scenario::{LoadError, Scenario};

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// Every scenario, in the order of groups and ids.
pub fn load_all() -> Result<Vec<Scenario>, LoadError> {
    let mut scenarios = Vec::new();
    for (group, file, text) in FILES {
        scenarios.push(Scenario::parse(group, file, text)?);
    }
    scenarios.sort_by(|a: &Scenario, b: &Scenario| (a.group, &a.order).cmp(&(b.group, &b.order)));
    if let Some([first, _]) = scenarios.array_windows().find(|[first, second]| first.id == second.id) {
        return Err(LoadError::Twice { id: first.id.clone() });
    }
    Ok(scenarios)
}
