//! One text for one value, and the hash that names it: RFC 8785 and SHA-256.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Canonical JSON (RFC 8785).
pub fn text(value: &Value) -> String {
    // It fails only for numbers that JSON does not have; serde_json has none of these either.
    serde_json_canonicalizer::to_string(value).unwrap_or_else(|_| value.to_string())
}

/// SHA-256 over the canonical JSON, lower-case hex.
pub fn sha256(value: &Value) -> String {
    digest(text(value).as_bytes())
}

/// SHA-256, lower-case hex.
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Without members that are null, an empty text, an empty list or an empty object.
pub fn without_empty(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(key, member)| (key, without_empty(member)))
                .filter(|(_, member)| !is_empty(member))
                .collect(),
        ),
        Value::Array(members) => Value::Array(members.into_iter().map(without_empty).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(members) => members.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn order_and_empty_members_do_not_show() {
        let one = json!({"b": 1, "a": {"x": [], "y": null, "z": ["", 2.50]}, "c": ""});
        assert_eq!(text(&without_empty(one)), r#"{"a":{"z":["",2.5]},"b":1}"#);
    }

    #[test]
    fn a_digest_is_that_of_sha256sum() {
        assert_eq!(digest(b"test"), "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08");
    }
}
