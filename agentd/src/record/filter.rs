//! Which records a user asks for. The same filter narrows the history in SQL and picks from the live stream.

use std::net::IpAddr;

use agentguard_api::v1::EventFilter;
use agentguard_core::pattern::Pattern;
use agentguard_core::record::{Object, Record};
use agentguard_core::rule::Network;
use agentguard_core::verdict::Verdict;
use rusqlite::types::Value;

use super::row::{kind, signed};

/// Values of one list in a filter.
const MAX_VALUES: usize = 64;

/// A filter that was read.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    agent: Option<String>,
    kinds: Vec<String>,
    verdicts: Vec<Verdict>,
    since_ns: Option<u64>,
    until_ns: Option<u64>,
    path: Option<Pattern>,
    address: Option<Peer>,
    rule: Option<String>,
}

#[derive(Debug, Clone)]
enum Peer {
    Network(Network),
    Name(String),
}

/// A filter that means nothing, as one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FilterError(String);

impl Filter {
    /// Reads what a user typed.
    pub fn read(filter: EventFilter) -> Result<Self, FilterError> {
        if filter.kinds.len() > MAX_VALUES || filter.verdicts.len() > MAX_VALUES {
            return Err(FilterError(format!("a filter takes at most {MAX_VALUES} kinds and verdicts")));
        }
        if filter.until_ns != 0 && filter.until_ns < filter.since_ns {
            return Err(FilterError("the filter ends before it begins; swap --since and --until".into()));
        }
        Ok(Self {
            agent: text(filter.agent),
            kinds: filter.kinds,
            verdicts: filter.verdicts.iter().map(|name| verdict(name)).collect::<Result<_, _>>()?,
            since_ns: (filter.since_ns != 0).then_some(filter.since_ns),
            until_ns: (filter.until_ns != 0).then_some(filter.until_ns),
            path: text(filter.path).map(|text| path(&text)).transpose()?,
            address: text(filter.address).map(|text| peer(&text)),
            rule: text(filter.rule),
        })
    }

    /// Whether a record is asked for.
    pub fn matches(&self, record: &Record) -> bool {
        self.agent.as_ref().is_none_or(|agent| *agent == record.agent.0)
            && (self.kinds.is_empty()
                || self.kinds.iter().any(|name| *name == record.call || name == kind(&record.call)))
            && (self.verdicts.is_empty() || self.verdicts.contains(&record.decision.verdict))
            && self.since_ns.is_none_or(|since| record.time_ns >= since)
            && self.until_ns.is_none_or(|until| record.time_ns <= until)
            && self.rule.as_ref().is_none_or(|rule| speaks_of(record, rule))
            && self.path.as_ref().is_none_or(|pattern| on_path(&record.object, pattern))
            && self.address.as_ref().is_none_or(|peer| on_peer(&record.object, peer))
    }

    /// The part that SQL can narrow, as a condition over `events e` and `decisions d`, and its values. What it lets
    /// through must still be asked [`Filter::matches`].
    pub(super) fn sql(&self) -> (String, Vec<Value>) {
        let mut conditions = vec!["1".to_owned()];
        let mut values: Vec<Value> = Vec::new();
        let mut add = |condition: &str, value: Value| {
            values.push(value);
            conditions.push(condition.replace('?', &format!("?{}", values.len())));
        };
        if let Some(agent) = &self.agent {
            add("e.agent = ?", agent.clone().into());
        }
        if let Some(since) = self.since_ns {
            add("e.time_ns >= ?", signed(since).into());
        }
        if let Some(until) = self.until_ns {
            add("e.time_ns <= ?", signed(until).into());
        }
        if !self.verdicts.is_empty() {
            // Words of our own, so that the index over stopped requests can be used.
            let words: Vec<String> =
                self.verdicts.iter().map(|verdict| format!("'{}'", verdict.name())).collect();
            conditions.push(format!("e.verdict IN ({})", words.join(", ")));
        }
        (conditions.join(" AND "), values)
    }
}

fn text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn verdict(name: &str) -> Result<Verdict, FilterError> {
    Verdict::ALL
        .into_iter()
        .find(|verdict| verdict.name() == name)
        .ok_or_else(|| FilterError(format!("`{name}` is not a verdict; write allow, audit, hold or deny")))
}

fn path(text: &str) -> Result<Pattern, FilterError> {
    Pattern::parse(text).map_err(|error| FilterError(format!("the path `{text}`: {error}")))
}

/// An address, a network, or else a name.
fn peer(text: &str) -> Peer {
    text.parse().map_or_else(|_| Peer::Name(text.trim_end_matches('.').to_ascii_lowercase()), Peer::Network)
}

fn speaks_of(record: &Record, rule: &str) -> bool {
    record.decision.rule.as_deref() == Some(rule) || record.findings.iter().any(|finding| finding.id == rule)
}

fn on_path(object: &Object, pattern: &Pattern) -> bool {
    let matches = |path: &str| pattern.matches(path.as_bytes());
    match object {
        Object::File { path, other, .. } => matches(path) || other.as_deref().is_some_and(matches),
        Object::FileIo { path, .. } | Object::Exec { path, .. } => matches(path),
        Object::Address { .. }
        | Object::PeerIo { .. }
        | Object::Resolved { .. }
        | Object::Class { .. }
        | Object::Fork { .. }
        | Object::Exit { .. }
        | Object::Credentials { .. } => false,
    }
}

fn on_peer(object: &Object, peer: &Peer) -> bool {
    let (address, name): (&IpAddr, Option<&str>) = match object {
        Object::Address { address, name, .. } | Object::PeerIo { address, name, .. } => {
            (address, name.as_deref())
        }
        Object::Resolved { address, name, .. } => (address, Some(name)),
        Object::File { .. }
        | Object::FileIo { .. }
        | Object::Class { .. }
        | Object::Exec { .. }
        | Object::Fork { .. }
        | Object::Exit { .. }
        | Object::Credentials { .. } => return false,
    };
    match peer {
        Peer::Network(network) => network.contains(*address),
        Peer::Name(wanted) => match (wanted.strip_prefix("*."), name) {
            (Some(domain), Some(name)) => {
                name.strip_suffix(domain).is_some_and(|before| before.ends_with('.') && before.len() > 1)
            }
            (None, Some(name)) => name == wanted,
            (_, None) => false,
        },
    }
}

#[cfg(test)]
mod tests;
