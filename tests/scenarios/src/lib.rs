//! Scenarios: a spec, a trigger that an agent runs under it, and what must come of it.
//!
//! The same scenarios run in the test VM and by `agentctl selftest`, against a live agentd and only through
//! `agentctl`: this crate must never know agentd's internals, else it could not catch what they get wrong.
#![forbid(unsafe_code)]

mod embedded;
mod expect;
mod need;
mod report;
mod runner;
mod scenario;
mod spec;
mod table;

pub use embedded::load_all;
pub use expect::{Expect, Protected, RecordPattern, Status};
pub use need::Need;
pub use report::{Outcome, Report, Result as ScenarioResult, Summary};
pub use runner::{Context, ContextError, NoProgress, Progress, Step, run, run_all};
pub use scenario::{Command, Group, LoadError, Scenario, State, User};
pub use table::table;
