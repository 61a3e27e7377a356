//! One record, its hash, and the one line that stands for it.
//!
//! The hash is SHA-256 over the canonical JSON (RFC 8785) of everything but the hash itself; that includes the hash
//! of the record before. A line that is not the canonical form of what it says is no record, so that no byte of a
//! file can change without a change of meaning.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::codes::Code;
use crate::error::AuditError;

/// Longest line with its newline. A reader keeps no more than one in memory.
pub const MAX_LINE: usize = 64 * 1024;
/// Longest detail, as canonical JSON. A longer one is replaced by its size and hash: the fact is never lost, and the
/// rest of a record, with every byte of a name escaped, fits into the remaining half.
pub(crate) const MAX_DETAIL: usize = 32 * 1024;
/// Deepest detail: JSON readers give up at 128.
const MAX_DEPTH: usize = 64;
/// Longest actor or agent, in bytes: names and key ids are far shorter.
pub(crate) const MAX_NAME: usize = 1024;
/// The largest integer that every JSON reader keeps exactly, and RFC 8785 with it.
pub(crate) const MAX_EXACT: u64 = (1 << 53) - 1;
/// `prev` of the first record.
pub(crate) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A request of an agent that was decided.
    Decision,
    /// A held request and the answer of a person.
    Approval,
    /// An agent's life: created, started, restricted, ended.
    Agent,
    /// From sandbox to production.
    Promotion,
    /// Whether an agent may start.
    Admission,
    /// Agents are held against a new policy.
    Revalidation,
    /// Keys and who trusts them.
    Key,
    /// The policy in force.
    Policy,
    /// What an agent may spend.
    Budget,
    /// This log itself.
    Log,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Decision,
        Self::Approval,
        Self::Agent,
        Self::Promotion,
        Self::Admission,
        Self::Revalidation,
        Self::Key,
        Self::Policy,
        Self::Budget,
        Self::Log,
    ];

    /// As users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Approval => "approval",
            Self::Agent => "agent",
            Self::Promotion => "promotion",
            Self::Admission => "admission",
            Self::Revalidation => "revalidation",
            Self::Key => "key",
            Self::Policy => "policy",
            Self::Budget => "budget",
            Self::Log => "log",
        }
    }
}

/// What is to be written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What happened; its kind comes with it.
    pub code: Code,
    /// Who did it: `uid 1000 (alice)`, `agentd`.
    pub actor: String,
    /// About which agent.
    pub agent: Option<String>,
    /// Whatever belongs to it. Integers beyond 2^53 are written as strings.
    pub detail: Value,
}

impl Entry {
    /// An entry about no agent and without detail.
    pub fn new(code: Code, actor: impl Into<String>) -> Self {
        Self { code, actor: actor.into(), agent: None, detail: json!({}) }
    }

    /// About this agent.
    #[must_use]
    pub fn agent(self, agent: impl Into<String>) -> Self {
        Self { agent: Some(agent.into()), ..self }
    }

    /// With this detail.
    #[must_use]
    pub fn detail(self, detail: Value) -> Self {
        Self { detail, ..self }
    }
}

/// Where a record stands; with both, anybody can later prove that it is still there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// Its number.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

/// One record of the chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRecord {
    /// Number, from 1, without gaps.
    pub seq: u64,
    /// Wall clock, nanoseconds since 1970. A string in the file: as a number it would lose its last digits.
    #[serde(with = "decimal")]
    pub time_ns: u64,
    /// What it is about.
    pub kind: Kind,
    /// What happened, see [`crate::codes`].
    pub code: String,
    /// Who did it.
    pub actor: String,
    /// About which agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Whatever belongs to it.
    pub detail: Value,
    /// Hash of the record before, in hex; zeros for the first.
    pub prev: String,
    /// SHA-256 of all of the above, in hex.
    pub hash: String,
}

/// A record without its hash: what the hash is over.
#[derive(Serialize)]
struct Hashed<'r> {
    seq: u64,
    #[serde(with = "decimal")]
    time_ns: u64,
    kind: Kind,
    code: &'r str,
    actor: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'r str>,
    detail: &'r Value,
    prev: &'r str,
}

impl AuditRecord {
    /// The record that follows `prev`.
    pub(crate) fn chain(entry: Entry, seq: u64, time_ns: u64, prev: &str) -> Result<Self, AuditError> {
        let code = entry.code.name;
        for (field, name) in [("actor", Some(&entry.actor)), ("agent", entry.agent.as_ref())] {
            if name.is_some_and(|name| name.len() > MAX_NAME) {
                return Err(AuditError::TooLong { code, field, limit: MAX_NAME });
            }
        }
        let json = |source| AuditError::Json { code, source };
        let mut record = Self {
            seq,
            time_ns,
            kind: entry.code.kind,
            code: code.to_owned(),
            actor: entry.actor,
            agent: entry.agent,
            detail: bounded(exact(entry.detail)).map_err(json)?,
            prev: prev.to_owned(),
            hash: String::new(),
        };
        record.hash = record.computed_hash().map_err(json)?;
        Ok(record)
    }

    /// Whether it has the hash of what it says.
    pub(crate) fn has_own_hash(&self) -> bool {
        self.computed_hash().is_ok_and(|hash| hash == self.hash)
    }

    /// What its hash must be.
    pub(crate) fn computed_hash(&self) -> Result<String, serde_json::Error> {
        let hashed = Hashed {
            seq: self.seq,
            time_ns: self.time_ns,
            kind: self.kind,
            code: &self.code,
            actor: &self.actor,
            agent: self.agent.as_deref(),
            detail: &self.detail,
            prev: &self.prev,
        };
        Ok(sha256(&serde_json_canonicalizer::to_vec(&hashed)?))
    }

    /// Its line, with the newline.
    pub(crate) fn line(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut line = serde_json_canonicalizer::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }

    /// The record of a line without its newline.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, Invalid> {
        let record: Self = serde_json::from_slice(line).map_err(|error| Invalid::Json(error.to_string()))?;
        let mut canonical = record.line().map_err(|error| Invalid::Json(error.to_string()))?;
        canonical.pop();
        if canonical != line { Err(Invalid::NotCanonical(Box::new(record))) } else { Ok(record) }
    }

    /// Where it stands.
    pub fn receipt(&self) -> Receipt {
        Receipt { seq: self.seq, hash: self.hash.clone() }
    }
}

/// Why a line is no record.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Invalid {
    #[error("not the JSON of a record: {0}")]
    Json(String),
    /// The record that it says, which is not how that record is written.
    #[error("not written as this log writes records")]
    NotCanonical(Box<AuditRecord>),
}

fn is_shallow(value: &Value, room: usize) -> bool {
    let Some(room) = room.checked_sub(1) else { return false };
    match value {
        Value::Array(values) => values.iter().all(|value| is_shallow(value, room)),
        Value::Object(fields) => fields.values().all(|value| is_shallow(value, room)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// In hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Integers that canonical JSON would round become strings.
fn exact(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            let rounded = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            if rounded.is_some_and(|size| size > MAX_EXACT) {
                Value::String(number.to_string())
            } else {
                Value::Number(number)
            }
        }
        Value::Array(values) => values.into_iter().map(exact).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, exact(value))).collect(),
        Value::Null | Value::Bool(_) | Value::String(_) => value,
    }
}

fn bounded(detail: Value) -> Result<Value, serde_json::Error> {
    let text = serde_json_canonicalizer::to_vec(&detail)?;
    if text.len() <= MAX_DETAIL && is_shallow(&detail, MAX_DEPTH) {
        return Ok(detail);
    }
    Ok(json!({ "left_out_bytes": text.len(), "left_out_sha256": sha256(&text) }))
}

/// A number as a string of digits.
pub(crate) mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codes;

    fn record(detail: Value) -> AuditRecord {
        let entry = Entry::new(codes::DECISION_DENY, "agentd").agent("a").detail(detail);
        AuditRecord::chain(entry, 7, 1_795_252_134_742_937_821, GENESIS).unwrap()
    }

    fn read_back(record: &AuditRecord) -> AuditRecord {
        let line = record.line().unwrap();
        AuditRecord::parse(line.strip_suffix(b"\n").unwrap()).unwrap()
    }

    #[test]
    fn a_record_is_read_back_as_it_was_to_the_last_nanosecond() {
        let record = record(json!({"b": 1.0, "a": [u64::MAX, i64::MIN, -0.0, 1e30]}));
        let back = read_back(&record);
        assert_eq!((back.time_ns, &back.hash), (1_795_252_134_742_937_821, &record.hash));
        assert_eq!(back.computed_hash().unwrap(), record.hash);
        assert_eq!(back.detail["a"][0], u64::MAX.to_string());
    }

    #[test]
    fn a_detail_that_is_too_long_leaves_its_size_and_hash() {
        let record = record(json!({ "text": "\u{1}".repeat(MAX_DETAIL) }));
        assert!(record.detail["left_out_bytes"].as_u64().unwrap() > MAX_DETAIL as u64);
        assert!(record.line().unwrap().len() < MAX_LINE);
    }

    #[test]
    fn a_detail_that_is_too_deep_is_left_out_too() {
        let deep = (0..MAX_DEPTH).fold(json!(1), |inner, _| json!([inner]));
        assert!(record(deep).detail["left_out_bytes"].is_number());
    }

    #[test]
    fn the_longest_record_fits_into_the_longest_line() {
        let name = "\u{1}".repeat(MAX_NAME);
        let text = "x".repeat(MAX_DETAIL - 16);
        let entry = Entry::new(codes::DECISION_DENY, name.clone()).agent(name).detail(json!({ "t": text }));
        let record = AuditRecord::chain(entry, MAX_EXACT, u64::MAX, GENESIS).unwrap();
        assert!(record.detail["t"].is_string() && record.line().unwrap().len() < MAX_LINE);
    }

    #[test]
    fn a_name_that_nobody_can_read_is_refused() {
        let entry = Entry::new(codes::DECISION_DENY, "x".repeat(MAX_NAME + 1));
        let error = AuditRecord::chain(entry, 1, 0, GENESIS).unwrap_err();
        assert_eq!(error.to_string(), "audit record DECISION_DENY: `actor` is longer than 1024 bytes");
    }

    #[test]
    fn a_line_with_a_space_more_is_not_canonical() {
        let mut line = record(json!({})).line().unwrap();
        line.pop();
        line.push(b' ');
        assert!(matches!(AuditRecord::parse(&line), Err(Invalid::NotCanonical(_))));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::hash_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_detail_is_hashed_as_it_is_read(detail in any_json()) {
            let record = record(detail);
            let back = read_back(&record);
            prop_assert_eq!(back.computed_hash().unwrap(), record.hash.clone());
            prop_assert_eq!(back.line().unwrap(), record.line().unwrap());
        }
    }
}
