//! An approval: what becomes of a held request that policy leaves to people. A pure state machine.
//!
//! ```text
//!            vote: deny ──────────────────► denied
//! pending ── votes: allow, enough of them ► approved ── taken back ► revoked
//!            deadline ────────────────────► expired     (the request is denied, or asked on if agentd was not there)
//!            the task is gone ────────────► withdrawn
//! ```

use serde::{Deserialize, Serialize};

use crate::verdict::Severity;

/// Longest justification, in characters: it is read in a table.
pub const MAX_BECAUSE: usize = 500;

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for people.
    Pending,
    /// The request goes on.
    Approved,
    /// A person said no.
    Denied,
    /// Nobody answered in time: the request is denied.
    Expired,
    /// The task that asked is gone, or its agent was released.
    Withdrawn,
    /// Approved for later requests too, and taken back.
    Revoked,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Approved, Self::Denied, Self::Expired, Self::Withdrawn, Self::Revoked];

    /// As users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Revoked => "revoked",
        }
    }
}

/// For which later requests that are exactly the same an answer is good, too. Ordered by how much it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reuse {
    /// For this one alone.
    Once,
    /// For this many seconds.
    Seconds(u32),
    /// As long as the agent runs under the same rules.
    Session,
}

/// What becomes of a request whose deadline passed while agentd was not there to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unattended {
    /// It is denied.
    #[default]
    Deny,
    /// People get the whole time once more.
    Renew,
}

/// One person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who, by peer credentials: `uid 1000 (alice)`.
    pub by: String,
    /// Yes or no.
    pub allow: bool,
    /// Why.
    pub because: String,
    /// How far a yes goes.
    pub reuse: Reuse,
    /// Wall clock, nanoseconds since 1970.
    pub time_ns: u64,
}

/// What is asked of people, and what they said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Where it stands.
    pub state: State,
    /// How bad it would be. Critical ones need a justification.
    pub severity: Severity,
    /// Nanoseconds after boot; then it is denied. Not by the wall clock, which somebody may set.
    pub deadline_ns: u64,
    /// Nanoseconds that people get once more if agentd was not there at the deadline; 0 for none.
    #[serde(default)]
    pub renewal_ns: u64,
    /// How many different people must say yes, at least 1.
    pub needed: u8,
    /// What they said, in order.
    pub votes: Vec<Vote>,
}

/// What happens to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Somebody answers.
    Vote(Vote),
    /// Time passed.
    Tick,
    /// agentd is there again.
    Resumed,
    /// Nobody waits any more.
    Gone,
    /// An approval ends; what went on already is done.
    Revoke(Vote),
}

/// Why an answer was not taken. Each is one line for the person who gave it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too late.
    #[error("it is {} already", .0.name())]
    Settled(State),
    /// Critical, and no word why.
    #[error("a CRITICAL request needs a justification; add --because \"…\"")]
    Unjustified,
    /// Nobody reads that.
    #[error("the justification is longer than {MAX_BECAUSE} characters")]
    TooLong,
    /// There is nothing to take back.
    #[error("it is {}; only what is approved for later requests too can be revoked", .0.name())]
    NotStanding(State),
    /// One person counts once.
    #[error("{0} has approved it already; it needs {1} different people")]
    SamePerson(String, u8),
}

impl Approval {
    /// Asks people.
    pub fn ask(severity: Severity, deadline_ns: u64, needed: u8) -> Self {
        let (state, needed, votes) = (State::Pending, needed.max(1), Vec::new());
        Self { state, severity, deadline_ns, renewal_ns: 0, needed, votes }
    }

    /// Takes a change at a time after boot. Once settled, nothing changes any more: late votes are refused, the rest is
    /// ignored.
    ///
    /// # Errors
    /// When a vote is not taken, and why.
    pub fn apply(&mut self, change: Change, now_ns: u64) -> Result<State, Refused> {
        if change == Change::Gone {
            self.settle(State::Withdrawn);
        } else if now_ns >= self.deadline_ns {
            if change == Change::Resumed && self.renewal_ns > 0 {
                self.deadline_ns = now_ns.saturating_add(self.renewal_ns);
            } else {
                self.settle(State::Expired);
            }
        }
        match change {
            Change::Vote(vote) => self.vote(vote)?,
            Change::Revoke(vote) => self.revoke(vote)?,
            Change::Tick | Change::Resumed | Change::Gone => {}
        }
        Ok(self.state)
    }

    /// How far the answer goes: as far as the most careful of those who said yes.
    pub fn reuse(&self) -> Reuse {
        self.votes.iter().filter(|vote| vote.allow).map(|vote| vote.reuse).min().unwrap_or(Reuse::Once)
    }

    fn revoke(&mut self, vote: Vote) -> Result<(), Refused> {
        if self.state != State::Approved || self.reuse() == Reuse::Once {
            return Err(Refused::NotStanding(self.state));
        }
        if vote.because.chars().count() > MAX_BECAUSE {
            return Err(Refused::TooLong);
        }
        self.votes.push(vote);
        self.state = State::Revoked;
        Ok(())
    }

    fn vote(&mut self, vote: Vote) -> Result<(), Refused> {
        if self.state != State::Pending {
            return Err(Refused::Settled(self.state));
        }
        if self.severity == Severity::Critical && vote.because.trim().is_empty() {
            return Err(Refused::Unjustified);
        }
        if vote.because.chars().count() > MAX_BECAUSE {
            return Err(Refused::TooLong);
        }
        if vote.allow && self.votes.iter().any(|other| other.allow && other.by == vote.by) {
            return Err(Refused::SamePerson(vote.by, self.needed));
        }
        let allow = vote.allow;
        self.votes.push(vote);
        let yes = self.votes.iter().filter(|vote| vote.allow).count();
        if !allow {
            self.state = State::Denied;
        } else if yes >= usize::from(self.needed) {
            self.state = State::Approved;
        }
        Ok(())
    }

    fn settle(&mut self, state: State) {
        if self.state == State::Pending {
            self.state = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const DEADLINE: u64 = 1000;

    fn vote(by: &str, allow: bool) -> Change {
        let because = "reviewed".to_owned();
        Change::Vote(Vote { by: by.to_owned(), allow, because, reuse: Reuse::Once, time_ns: 1 })
    }

    #[test]
    fn one_no_is_enough_and_one_person_counts_once() {
        let mut approval = Approval::ask(Severity::High, DEADLINE, 2);
        assert_eq!(approval.apply(vote("a", true), 1), Ok(State::Pending));
        assert_eq!(approval.apply(vote("a", true), 2), Err(Refused::SamePerson("a".to_owned(), 2)));
        assert_eq!(approval.apply(vote("b", true), 3), Ok(State::Approved));
        assert_eq!(approval.apply(vote("c", false), 4), Err(Refused::Settled(State::Approved)));
        let mut approval = Approval::ask(Severity::High, DEADLINE, 2);
        assert_eq!(approval.apply(vote("a", true), 1), Ok(State::Pending));
        assert_eq!(approval.apply(vote("a", false), 2), Ok(State::Denied));
    }

    #[test]
    fn a_critical_one_wants_to_know_why() {
        let mut approval = Approval::ask(Severity::Critical, DEADLINE, 1);
        let silent =
            Vote { by: "a".into(), allow: true, because: " ".into(), reuse: Reuse::Once, time_ns: 1 };
        assert_eq!(approval.apply(Change::Vote(silent), 1), Err(Refused::Unjustified));
        assert_eq!(approval.state, State::Pending);
    }

    #[test]
    fn the_time_begins_again_only_if_agentd_was_away_at_the_deadline() {
        let mut approval = Approval::ask(Severity::High, DEADLINE, 1);
        approval.renewal_ns = 500;
        assert_eq!(approval.apply(Change::Resumed, DEADLINE - 1), Ok(State::Pending));
        assert_eq!(approval.deadline_ns, DEADLINE);
        assert_eq!(approval.apply(Change::Resumed, DEADLINE + 7), Ok(State::Pending));
        assert_eq!(approval.deadline_ns, DEADLINE + 507);
        assert_eq!(approval.apply(Change::Tick, DEADLINE + 507), Ok(State::Expired));
        let mut denied = Approval::ask(Severity::High, DEADLINE, 1);
        assert_eq!(denied.apply(Change::Resumed, DEADLINE), Ok(State::Expired));
    }

    #[test]
    fn an_answer_goes_as_far_as_the_most_careful_says() {
        let mut approval = Approval::ask(Severity::High, DEADLINE, 2);
        for (by, reuse) in [("a", Reuse::Session), ("b", Reuse::Seconds(60))] {
            let yes = Vote { by: by.into(), allow: true, because: String::new(), reuse, time_ns: 1 };
            approval.apply(Change::Vote(yes), 1).unwrap();
        }
        assert_eq!((approval.state, approval.reuse()), (State::Approved, Reuse::Seconds(60)));
    }

    fn change() -> impl Strategy<Value = Change> {
        let by = prop::sample::select(vec!["a", "b", "c"]);
        prop_oneof![
            4 => (by, any::<bool>()).prop_map(|(by, allow)| vote(by, allow)),
            1 => Just(Change::Tick),
            1 => Just(Change::Resumed),
            1 => Just(Change::Gone),
        ]
    }

    proptest! {
        /// Whatever happens in whatever order: what is settled stays as it is; it is approved only by enough different
        /// people before the deadline, and never after anybody said no.
        #[test]
        fn it_is_approved_only_by_enough_people_in_time(
            needed in 1_u8..4,
            renewal_ns in 0..DEADLINE / 4,
            changes in prop::collection::vec((change(), 0..DEADLINE * 5 / 4), 0..20),
        ) {
            let mut approval = Approval::ask(Severity::Medium, DEADLINE, needed);
            approval.renewal_ns = renewal_ns;
            let mut times: Vec<u64> = changes.iter().map(|(_, time)| *time).collect();
            times.sort_unstable();
            for ((change, _), now) in changes.into_iter().zip(times) {
                let (before, votes) = (approval.state, approval.votes.len());
                let _ = approval.apply(change, now);
                prop_assert!(before == State::Pending || approval.state == before);
                prop_assert!(approval.votes.len() == votes || now < approval.deadline_ns);
                prop_assert!(renewal_ns > 0 || approval.deadline_ns == DEADLINE);
            }
            let yes: BTreeSet<_> =
                approval.votes.iter().filter(|vote| vote.allow).map(|vote| &vote.by).collect();
            let no = approval.votes.iter().any(|vote| !vote.allow);
            prop_assert_eq!(approval.state == State::Approved, !no && yes.len() >= usize::from(needed));
            prop_assert_eq!(approval.state == State::Denied, no);
        }
    }
}
