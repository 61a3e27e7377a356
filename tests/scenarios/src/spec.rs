//! The spec of a scenario: a base that grants what a shell needs, and what the scenario lays over it.

use toml::{Table, Value};

/// Grants what a shell and the usual tools need, and the workspace.
pub(crate) const STRICT: &str = "strict";
/// Grants nothing.
const NONE: &str = "none";

const STRICT_TEXT: &str = include_str!("../specs/strict.toml");
const NONE_TEXT: &str = include_str!("../specs/none.toml");

fn base_text(base: &str) -> Result<&'static str, String> {
    match base {
        STRICT => Ok(STRICT_TEXT),
        NONE => Ok(NONE_TEXT),
        other => Err(format!("unknown base spec '{other}'")),
    }
}

/// Whether there is such a base.
pub(crate) fn check_base(base: &str) -> Result<(), String> {
    base_text(base).map(drop)
}

/// The base with `over` laid over it, as TOML.
pub(crate) fn text(base: &str, over: &Table) -> Result<String, String> {
    let mut spec: Table = base_text(base)?.parse().map_err(|error| format!("base spec {base}: {error}"))?;
    lay_over(&mut spec, over);
    toml::to_string(&spec).map_err(|error| format!("the merged spec: {error}"))
}

fn lay_over(under: &mut Table, over: &Table) {
    for (key, value) in over {
        match (under.get_mut(key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            (Some(Value::Array(below)), Value::Array(above)) => below.extend(above.iter().cloned()),
            (_, value) => {
                under.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_appended_and_values_replaced() {
        let over = "[files]\ndefault = \"audit\"\nread = [\"/srv/**\"]\n".parse().unwrap();
        let merged: Table = text(STRICT, &over).unwrap().parse().unwrap();
        assert_eq!(merged["files"]["default"].as_str(), Some("audit"));
        let read = merged["files"]["read"].as_array().unwrap();
        assert_eq!(read.last().and_then(Value::as_str), Some("/srv/**"));
        assert!(read.len() > 1);
    }
}
