//! Runs scenarios against a live agentd, only through `agentctl` and as root.
//!
//! One scenario is: a place of its own, the setup, the accomplices, the trigger under its spec, and then the proofs:
//! how it ended, what it printed, that the protected files are as they were, and the records.

mod agent;
mod context;
mod judge;
mod place;
mod process;
mod snapshot;

use std::time::Instant;

use crate::report::{Outcome, Report, Result as ScenarioResult};
use crate::scenario::{Scenario, State};

pub use context::{Context, ContextError};

use agent::Agent;
use judge::Evidence;
use place::Place;
use process::Limit;

/// Setup, verify and teardown are a few commands.
const SCRIPT_LIMIT: Limit = Limit::from_secs(60);

/// Steps of one scenario, for who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Prepares the place.
    Setup,
    /// The agent tries.
    Trigger,
    /// Looks at what came of it.
    Verify,
}

/// Who watches a run.
pub trait Progress {
    /// A scenario begins.
    fn begin(&mut self, scenario: &Scenario);
    /// It goes on.
    fn step(&mut self, _scenario: &Scenario, _step: Step) {}
    /// It is over.
    fn end(&mut self, result: &ScenarioResult);
}

/// Nobody watches.
#[derive(Debug, Clone, Copy)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn begin(&mut self, _scenario: &Scenario) {}
    fn end(&mut self, _result: &ScenarioResult) {}
}

/// Why a scenario has no verdict of its own.
#[derive(Debug)]
enum Stop {
    Failed(String),
    Skipped(String),
}

impl Stop {
    fn failed(step: &str, why: impl std::fmt::Display) -> Self {
        Self::Failed(format!("{step}: {why}"))
    }
}

/// Runs scenarios one after the other.
pub fn run_all(scenarios: &[Scenario], context: &Context, progress: &mut dyn Progress) -> Report {
    let mut report = Report::default();
    for scenario in scenarios {
        let started = Instant::now();
        progress.begin(scenario);
        let outcome = run(scenario, context, progress);
        let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let result = ScenarioResult::new(scenario, outcome, elapsed_ms);
        progress.end(&result);
        report.add(result);
    }
    report
}

/// Runs one scenario.
pub fn run(scenario: &Scenario, context: &Context, progress: &mut dyn Progress) -> Outcome {
    if let Some(missing) = context.missing(scenario) {
        return Outcome::Skipped { missing };
    }
    let outcome = match attempt(scenario, context, progress) {
        Ok(()) => Ok(()),
        Err(Stop::Skipped(missing)) => return Outcome::Skipped { missing },
        Err(Stop::Failed(why)) => Err(why),
    };
    match (scenario.state, outcome) {
        (State::Closed, Ok(())) => Outcome::Passed,
        (State::Open, Ok(())) => Outcome::Open,
        (State::Closed, Err(why)) => Outcome::Failed { why },
        (State::Open, Err(why)) => Outcome::Failed {
            why: format!("this way around is marked open and no longer works: mark it closed ({why})"),
        },
    }
}

fn attempt(scenario: &Scenario, context: &Context, progress: &mut dyn Progress) -> Result<(), Stop> {
    let place = Place::new(scenario, context).map_err(|error| Stop::failed("place", error))?;
    let judged = in_place(scenario, context, &place, progress);
    if let Some(teardown) = &scenario.teardown {
        // What the scenario has shown stands, but a host must not be left changed unnoticed.
        let ended = place.script(teardown).run(SCRIPT_LIMIT).and_then(process::Ended::success);
        if let Err(why) = ended {
            judged?;
            return Err(Stop::failed("teardown", why));
        }
    }
    judged
}

fn in_place(
    scenario: &Scenario,
    context: &Context,
    place: &Place,
    progress: &mut dyn Progress,
) -> Result<(), Stop> {
    progress.step(scenario, Step::Setup);
    if let Some(setup) = &scenario.setup {
        let ended = place.script(setup).run(SCRIPT_LIMIT).map_err(|why| Stop::failed("setup", why))?;
        if ended.code == process::STATUS_MISSING {
            return Err(Stop::Skipped(ended.last_line()));
        }
        ended.success().map_err(|why| Stop::failed("setup", why))?;
    }
    place.hand_over().map_err(|error| Stop::failed("setup", error))?;
    let before = snapshot::take(&place.protected).map_err(|error| Stop::failed("snapshot", error))?;
    let _helper = match &scenario.helper {
        Some(helper) => Some(place.start_helper(helper).map_err(|why| Stop::failed("helper", why))?),
        None => None,
    };

    progress.step(scenario, Step::Trigger);
    let agent = Agent::new(scenario, context, place).map_err(|why| Stop::failed("spec", why))?;
    let meanwhile = match &scenario.meanwhile {
        Some(script) => Some(place.script(script).start().map_err(|why| Stop::failed("meanwhile", why))?),
        None => None,
    };
    let ended = agent.run(Limit::from_secs(scenario.limit_sec)).map_err(|why| Stop::failed("trigger", why));
    if let Some(meanwhile) = meanwhile {
        let limit = if ended.is_ok() { SCRIPT_LIMIT } else { Limit::from_secs(0) };
        let other = meanwhile.wait(limit).and_then(process::Ended::success);
        if ended.is_ok() {
            other.map_err(|why| Stop::failed("meanwhile", why))?;
        }
    }
    let ended = ended?;
    if ended.code == process::STATUS_MISSING {
        return Err(Stop::Skipped(ended.last_line()));
    }

    progress.step(scenario, Step::Verify);
    let record_limit_sec = context.record_limit_sec;
    let evidence =
        Evidence { scenario, place, agent: &agent, ended: &ended, before: &before, record_limit_sec };
    let judged = evidence.judge().map_err(Stop::Failed);
    drop(agent);
    judged?;
    match &scenario.verify {
        Some(verify) => place
            .script(verify)
            .run(SCRIPT_LIMIT)
            .and_then(process::Ended::success)
            .map_err(|why| Stop::failed("verify", why)),
        None => Ok(()),
    }
}
