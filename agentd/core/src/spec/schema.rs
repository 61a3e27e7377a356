//! The JSON Schema of specs, made of the same lists of keys and words that the reader takes. It is for editors: what a
//! pattern, a name or an address may be only the reader says.

use serde_json::{Map, Value, json};

use super::profile::{
    ANATOMY_KEYS, CONTAINMENT_KEYS, ECONOMICS_KEYS, MAX_LINE_BYTES, MAX_VERSION_BYTES, MAX_WORDS, MEMORIES,
    REASONING_KEYS,
};
use super::sections::{
    AGENT_KEYS, EXEC_KEYS, FILES_KEYS, MODES, PROCESS_KEYS, ROLES, SECTIONS, UNIX_KEYS, VERDICTS,
};
use super::{MAX_AGENT_NAME_BYTES, MAX_DESCRIPTION_BYTES, grants, network};
use crate::capability;

/// Draft 2020-12. TOML date-times are strings in it.
pub fn schema() -> Value {
    let sections = SECTIONS.map(|name| (name, section(name)));
    let mut schema = object(&sections);
    insert(&mut schema, "$schema", json!("https://json-schema.org/draft/2020-12/schema"));
    insert(&mut schema, "title", json!("AgentGuard spec"));
    insert(&mut schema, "description", json!("What an agent is, and what it may do."));
    insert(&mut schema, "required", json!(["agent"]));
    schema
}

fn section(name: &str) -> Value {
    match name {
        "agent" => agent(),
        "anatomy" => keys(&ANATOMY_KEYS, anatomy_key),
        "economics" => {
            keys(&ECONOMICS_KEYS, |_| json!({"type": "number", "minimum": 0, "maximum": 10_000_000}))
        }
        "containment" => keys(&CONTAINMENT_KEYS, |_| json!({"type": "boolean"})),
        "variables" => json!({
            "type": "object",
            "propertyNames": {"pattern": "^[a-z][a-z0-9_]*$"},
            "additionalProperties": {"type": "string"},
        }),
        "files" => keys(&FILES_KEYS, |key| or_default(key, patterns())),
        "exec" => keys(&EXEC_KEYS, exec_key),
        "network" => keys(&network::KEYS, network_key),
        "unix" => keys(&UNIX_KEYS, |key| or_default(key, patterns())),
        _ => keys(&PROCESS_KEYS, process_key),
    }
}

fn agent() -> Value {
    let mut agent = keys(&AGENT_KEYS, agent_key);
    insert(&mut agent, "required", json!(["name", "role", "tier", "mode"]));
    agent
}

fn agent_key(key: &str) -> Value {
    match key {
        "name" => json!({
            "type": "string",
            "pattern": "^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$",
            "maxLength": MAX_AGENT_NAME_BYTES,
        }),
        "description" => json!({"type": "string", "maxLength": MAX_DESCRIPTION_BYTES}),
        "version" => {
            json!({"type": "string", "pattern": "^[0-9A-Za-z.+-]+$", "maxLength": MAX_VERSION_BYTES})
        }
        "owner" => line(),
        "role" => words(&ROLES),
        "tier" => json!({"type": "integer", "minimum": 1, "maximum": 4}),
        "mode" => words(&MODES),
        "capabilities" => json!({
            "type": "array",
            "items": {"type": "string", "pattern": "^[a-z0-9._-]+$", "maxLength": MAX_LINE_BYTES},
            "maxItems": MAX_WORDS,
        }),
        _ => json!({"type": "string", "format": "date-time"}),
    }
}

fn anatomy_key(key: &str) -> Value {
    match key {
        "reasoning" => {
            let mut reasoning = keys(&REASONING_KEYS, |key| match key {
                "model" => line(),
                _ => json!({"type": "number", "minimum": 0, "maximum": 2}),
            });
            insert(&mut reasoning, "required", json!(["model"]));
            reasoning
        }
        "memory" => words(&MEMORIES),
        _ => json!({"type": "array", "items": line(), "maxItems": MAX_WORDS}),
    }
}

fn exec_key(key: &str) -> Value {
    let executable = json!({"anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {"path": {"type": "string"}, "sha256": {"type": "string", "pattern": "^[0-9A-Fa-f]{64}$"}},
            "required": ["path"],
            "additionalProperties": false,
        },
    ]});
    match key {
        "allow" => json!({"type": "array", "items": executable}),
        "anonymous" | "memfd" | "privileged" => at_once(),
        _ => or_default(key, patterns()),
    }
}

fn network_key(key: &str) -> Value {
    match key {
        "connect" | "hold" | "deny" => json!({"type": "array", "items": peer("to")}),
        "listen" => json!({"type": "array", "items": peer("on")}),
        "sockets" => {
            let known: Vec<&str> = network::SOCKETS.iter().map(|(word, _)| *word).collect();
            json!({"type": "array", "items": {"enum": known}})
        }
        _ => or_default(key, patterns()),
    }
}

fn process_key(key: &str) -> Value {
    match key {
        "default" => at_once(),
        "capabilities" => json!({"type": "array", "items": {"enum": capability::NAMES.as_slice()}}),
        _ => {
            let known: Vec<&str> = grants::CLASSES.iter().map(|(word, _)| *word).collect();
            json!({"type": "array", "items": {"enum": known}})
        }
    }
}

fn peer(address: &str) -> Value {
    let port = json!({"anyOf": [
        {"type": "integer", "minimum": 0, "maximum": 65_535},
        {"type": "string", "pattern": "^[0-9]+(-[0-9]+)?$"},
    ]});
    let protocol = words(&network::PROTOCOLS);
    let mut peer = object(&[
        (address, json!({"type": "string"})),
        ("ports", json!({"type": "array", "items": port, "minItems": 1, "maxItems": network::MAX_PORTS})),
        ("protocol", protocol),
    ]);
    insert(&mut peer, "required", json!([address]));
    peer
}

/// A section's `default`, or what its lists are.
fn or_default(key: &str, other: Value) -> Value {
    if key == "default" { words(&VERDICTS) } else { other }
}

/// Verdicts of what can not wait.
fn at_once() -> Value {
    json!({"enum": VERDICTS.iter().filter(|(_, verdict)| !verdict.waits()).map(|(word, _)| *word).collect::<Vec<_>>()})
}

fn patterns() -> Value {
    json!({"type": "array", "items": {"type": "string"}})
}

fn line() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": MAX_LINE_BYTES})
}

fn words<T>(known: &[(&str, T)]) -> Value {
    json!({"enum": known.iter().map(|(word, _)| *word).collect::<Vec<_>>()})
}

fn keys(known: &[&str], of: impl Fn(&str) -> Value) -> Value {
    object(&known.iter().map(|key| (*key, of(key))).collect::<Vec<_>>())
}

/// An object with these properties and no others.
fn object(properties: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> =
        properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

fn insert(schema: &mut Value, key: &str, value: Value) {
    if let Some(members) = schema.as_object_mut() {
        members.insert(key.to_owned(), value);
    }
}
