//! Names that a pack may use. In Rego a misspelt `input.agent.tear` is simply undefined, and the rule around it is
//! silently never true: a guardrail that does not guard. So every such name is checked when the set is loaded.

use serde_json::Value;

use crate::outline::Outline;

/// References of one file that lead nowhere, as line and message.
pub(crate) fn unknown(outline: &Outline, input: &Value, data: &Value) -> Vec<(u32, String)> {
    let mut problems = Vec::new();
    for (reference, line) in &outline.references {
        let missing = match reference.split_once('.') {
            Some(("input", path)) => missing_part(input, path),
            Some(("data", path)) if !is_package(path) => missing_part(data, path),
            Some(_) | None => None,
        };
        if let Some((part, known)) = missing {
            problems.push((*line, format!("`{reference}` does not exist: no `{part}`; there is {known}")));
        }
    }
    problems
}

fn is_package(path: &str) -> bool {
    path == "agentguard" || path.starts_with("agentguard.")
}

/// The first part of a dotted path that is not in the document, with what is there instead. An object without any
/// key stands for one whose keys are free.
fn missing_part<'p>(document: &Value, path: &'p str) -> Option<(&'p str, String)> {
    let mut here = document;
    for part in path.split('.') {
        let Value::Object(object) = here else { return None };
        if object.is_empty() {
            return None;
        }
        match object.get(part) {
            Some(next) => here = next,
            None => return Some((part, object.keys().cloned().collect::<Vec<_>>().join(", "))),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(source: &str) -> Vec<(u32, String)> {
        let input = json!({"agent": {"tier": 1, "variables": {}}, "host": {}});
        unknown(&Outline::of(source), &input, &json!({"ports": {"mail": [25]}}))
    }

    #[test]
    fn a_misspelt_input_is_named_with_its_line_and_what_there_is() {
        assert_eq!(
            problems("package x\nguardrails contains g if input.agent.tear > 1"),
            [(2, "`input.agent.tear` does not exist: no `tear`; there is tier, variables".to_owned())]
        );
    }

    #[test]
    fn a_missing_data_document_is_found_and_packages_are_not_data() {
        assert_eq!(problems("x := data.agentguard.lib.home\ny := data.ports.mial").len(), 1);
    }

    #[test]
    fn variables_have_free_names() {
        assert_eq!(problems("x := input.agent.variables.workspace\ny := data.ports.mail[0]"), []);
    }
}
