//! What may become of an agent: a pure state machine.
//!
//! ```text
//!                promote                 restrict
//!  SANDBOX ────────────▶ GOVERNED_VALID ◀────────▶ GOVERNED_RESTRICTED
//!     ▲                     │      ▲       lift            │
//!     │ another spec        │      │ promote               │
//!     └──── from all        ▼      │                       │
//!                       GOVERNED_INVALIDATED ◀─────────────┘
//!                            revoke, policy
//! ```

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Where an agent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum State {
    /// Nobody has promoted it: it runs contained.
    #[serde(rename = "SANDBOX")]
    Sandbox,
    /// Promoted, and its proof holds.
    #[serde(rename = "GOVERNED_VALID")]
    Valid,
    /// Promoted, and runs under the tightened rules that policy has for such agents.
    #[serde(rename = "GOVERNED_RESTRICTED")]
    Restricted,
    /// Stopped; it cannot start.
    #[serde(rename = "GOVERNED_INVALIDATED")]
    Invalidated,
}

/// Who wants it restricted. It is free again when nobody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Policy, when it was asked again; also about what was spent.
    Policy,
    /// A person.
    Person,
}

/// What happens to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    /// It gets another spec, which nobody has signed.
    Updated,
    /// Policy says yes, and a proof is signed.
    Promoted,
    /// Somebody wants it restricted.
    Restricted(Cause),
    /// Somebody does not any more.
    Lifted(Cause),
    /// A person ends it.
    Revoked,
    /// Policy, asked again, says that it must not run.
    Failed,
}

/// State, and why it is restricted if it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The state.
    pub state: State,
    /// Who wants it restricted; empty in every other state.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub restricted_by: BTreeSet<Cause>,
}

/// Why nothing became of an event. One line for whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Only promoted agents can be restricted.
    #[error("it is {0}: only a promoted agent can be restricted")]
    NotPromoted(State),
    /// There is nothing to lift.
    #[error("it is {0}, and not restricted by {by}", by = .1.name())]
    NotRestricted(State, Cause),
    /// It is invalidated already.
    #[error("it is {0} already")]
    Already(State),
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Sandbox, Self::Valid, Self::Restricted, Self::Invalidated];

    /// As users, records and policy see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sandbox => "SANDBOX",
            Self::Valid => "GOVERNED_VALID",
            Self::Restricted => "GOVERNED_RESTRICTED",
            Self::Invalidated => "GOVERNED_INVALIDATED",
        }
    }

    /// Whether a proof belongs to it.
    pub const fn is_promoted(self) -> bool {
        match self {
            Self::Valid | Self::Restricted => true,
            Self::Sandbox | Self::Invalidated => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Cause {
    /// As users see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Person => "a person",
        }
    }
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 8] = [
        Self::Updated,
        Self::Promoted,
        Self::Restricted(Cause::Policy),
        Self::Restricted(Cause::Person),
        Self::Lifted(Cause::Policy),
        Self::Lifted(Cause::Person),
        Self::Revoked,
        Self::Failed,
    ];

    /// In the table of the documentation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Updated => "another spec",
            Self::Promoted => "promoted",
            Self::Restricted(Cause::Policy) => "restricted by policy",
            Self::Restricted(Cause::Person) => "restricted by a person",
            Self::Lifted(Cause::Policy) => "lifted by policy",
            Self::Lifted(Cause::Person) => "lifted by a person",
            Self::Revoked => "revoked by a person",
            Self::Failed => "failed by policy",
        }
    }
}

impl Standing {
    /// A new agent's.
    pub const SANDBOX: Self = Self { state: State::Sandbox, restricted_by: BTreeSet::new() };

    /// What becomes of it.
    ///
    /// # Errors
    /// When the event means nothing in this state; then everything stays as it is.
    pub fn after(&self, event: Event) -> Result<Self, Refused> {
        match event {
            Event::Updated => Ok(Self::SANDBOX),
            Event::Promoted => Ok(Self::in_state(State::Valid)),
            Event::Restricted(cause) => self.restricted(cause),
            Event::Lifted(cause) => self.lifted(cause),
            Event::Revoked => match self.state {
                State::Sandbox | State::Valid | State::Restricted => Ok(Self::in_state(State::Invalidated)),
                State::Invalidated => Err(Refused::Already(self.state)),
            },
            Event::Failed => match self.state {
                State::Valid | State::Restricted => Ok(Self::in_state(State::Invalidated)),
                State::Sandbox => Err(Refused::NotPromoted(self.state)),
                State::Invalidated => Err(Refused::Already(self.state)),
            },
        }
    }

    fn in_state(state: State) -> Self {
        Self { state, restricted_by: BTreeSet::new() }
    }

    fn restricted(&self, cause: Cause) -> Result<Self, Refused> {
        if !self.state.is_promoted() {
            return Err(Refused::NotPromoted(self.state));
        }
        let mut restricted_by = self.restricted_by.clone();
        restricted_by.insert(cause);
        Ok(Self { state: State::Restricted, restricted_by })
    }

    fn lifted(&self, cause: Cause) -> Result<Self, Refused> {
        let mut restricted_by = self.restricted_by.clone();
        if self.state != State::Restricted || !restricted_by.remove(&cause) {
            return Err(Refused::NotRestricted(self.state, cause));
        }
        let state = if restricted_by.is_empty() { State::Valid } else { State::Restricted };
        Ok(Self { state, restricted_by })
    }
}

/// Every transition as a table in Markdown: what the documentation shows.
pub fn table() -> String {
    let by = |cause| Standing { state: State::Restricted, restricted_by: BTreeSet::from([cause]) };
    let rows = [
        ("`SANDBOX`", Standing::SANDBOX),
        ("`GOVERNED_VALID`", Standing::in_state(State::Valid)),
        ("`GOVERNED_RESTRICTED` by policy", by(Cause::Policy)),
        ("`GOVERNED_RESTRICTED` by a person", by(Cause::Person)),
        ("`GOVERNED_INVALIDATED`", Standing::in_state(State::Invalidated)),
    ];
    let mut table = format!("| |{}\n", Event::ALL.map(|event| format!(" {} |", event.name())).concat());
    table.push_str(&format!("|---|{}\n", "---|".repeat(Event::ALL.len())));
    for (name, standing) in rows {
        let cells = Event::ALL.map(|event| match standing.after(event) {
            Ok(next) if next == standing => " stays |".to_owned(),
            Ok(next) => format!(" {} |", short(&next)),
            Err(_) => " refused |".to_owned(),
        });
        table.push_str(&format!("| {name} |{}\n", cells.concat()));
    }
    table
}

fn short(standing: &Standing) -> &'static str {
    match (standing.state, standing.restricted_by.len()) {
        (State::Sandbox, _) => "sandbox",
        (State::Valid, _) => "valid",
        (State::Restricted, 2..) => "restricted by both",
        (State::Restricted, _) => "restricted",
        (State::Invalidated, _) => "invalidated",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_transition_is_as_reviewed() {
        insta::assert_snapshot!(table());
    }

    proptest! {
        /// Whatever happens in whatever order: an agent is valid only while its last promotion stands, restricted exactly while
        /// somebody wants that, and what is invalidated comes back only by a person's promotion or another spec.
        #[test]
        fn an_agent_stands_where_the_last_events_put_it(
            events in prop::collection::vec(prop::sample::select(Event::ALL.to_vec()), 0..40)
        ) {
            let mut standing = Standing::SANDBOX;
            let mut wanted = BTreeSet::new();
            for event in events {
                let before = standing.clone();
                match standing.after(event) {
                    Err(_) => continue,
                    Ok(next) => standing = next,
                }
                match event {
                    Event::Restricted(cause) => { wanted.insert(cause); }
                    Event::Lifted(cause) => { prop_assert!(wanted.remove(&cause)); }
                    Event::Updated | Event::Promoted | Event::Revoked | Event::Failed => wanted.clear(),
                }
                prop_assert_eq!(&standing.restricted_by, &wanted);
                prop_assert_eq!(standing.state == State::Restricted, !wanted.is_empty());
                let came_back = before.state == State::Invalidated && standing.state != State::Invalidated;
                prop_assert!(!came_back || matches!(event, Event::Promoted | Event::Updated));
                let promoted = before.state == State::Sandbox && standing.state.is_promoted();
                prop_assert!(!promoted || event == Event::Promoted);
            }
        }
    }
}
