//! `selftest`: runs the scenarios on this host, against the agentd that runs here, and counts what became of them.
//!
//! What a scenario is and how it is judged is not said here.

use std::io;
use std::path::PathBuf;

use agentguard_scenarios::{
    Context, ContextError, Group, Outcome as Became, Progress, Scenario, ScenarioResult, State, load_all,
    run_all,
};
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::exit::{Failure, Outcome, chain};
use crate::screen::{Format, Screen, Tone, cell};

/// What was typed after `selftest`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only scenarios of this group, row or id (files, F1, F1a); may be repeated
    #[arg(long, value_name = "GROUP|ID")]
    only: Vec<String>,
    /// No scenario of this group, row or id; may be repeated
    #[arg(long, value_name = "GROUP|ID")]
    skip: Vec<String>,
    /// Only scenarios that are in this state
    #[arg(long, value_name = "STATE", value_parser = PossibleValuesParser::new(["closed", "open"]))]
    state: Option<String>,
    /// List the scenarios, run nothing
    #[arg(long)]
    list: bool,
}

impl Arguments {
    /// The scenarios that are meant. A name of nothing, and no scenario at all, are errors of what was typed.
    fn selection(&self, mut scenarios: Vec<Scenario>) -> Result<Vec<Scenario>, Failure> {
        let groups = Group::ALL.map(Group::name).join(", ");
        let hint = format!("write a group ({groups}), a row or an id; see --list");
        let mut named = self.only.iter().chain(&self.skip);
        if let Some(name) = named.find(|name| !scenarios.iter().any(|scenario| is(scenario, name))) {
            return Err(Failure::Usage(format!("no scenario is {name}; {hint}")));
        }
        scenarios.retain(|scenario| self.is_meant(scenario));
        if scenarios.is_empty() {
            return Err(Failure::Usage(format!("no scenario is left; {hint}")));
        }
        Ok(scenarios)
    }

    fn is_meant(&self, scenario: &Scenario) -> bool {
        let among = |names: &[String]| names.iter().any(|name| is(scenario, name));
        (self.only.is_empty() || among(&self.only))
            && !among(&self.skip)
            && self.state.as_deref().is_none_or(|state| state == state_name(scenario.state))
    }
}

/// Whether a name means a scenario: its group, its row or its id.
fn is(scenario: &Scenario, name: &str) -> bool {
    scenario.group.name() == name
        || scenario.row.eq_ignore_ascii_case(name)
        || scenario.id.eq_ignore_ascii_case(name)
}

/// Runs the scenarios. Negative if any failed, or if none said anything.
pub(crate) fn run(arguments: &Arguments, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    let scenarios = load_all().map_err(|error| Failure::Failed(chain(&error)))?;
    let scenarios = arguments.selection(scenarios)?;
    if arguments.list {
        list(screen, &scenarios)?;
        return Ok(Outcome::Done);
    }
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("agentctl"));
    let context = Context::discover(&program).map_err(|error| match error {
        ContextError::NotRoot => Failure::Permission(error.to_string()),
        ContextError::NoDaemon(_) => Failure::Unreachable(error.to_string()),
        ContextError::NoTrigger | ContextError::NoUser => Failure::Failed(error.to_string()),
    })?;
    let mut lines = Lines { screen, done: 0, of: scenarios.len(), failure: None };
    let report = run_all(&scenarios, &context, &mut lines);
    if let Some(error) = lines.failure {
        return Err(error.into());
    }
    match screen.format() {
        Format::Table => screen.line(report.to_string())?,
        Format::Json => screen.document(&report)?,
        Format::Ndjson => screen.document(&report.summary)?,
    }
    Ok(Outcome::of(report.is_success()))
}

const fn state_name(state: State) -> &'static str {
    match state {
        State::Closed => "closed",
        State::Open => "open",
    }
}

fn list(screen: &mut Screen<'_>, scenarios: &[Scenario]) -> io::Result<()> {
    if screen.format() != Format::Table {
        return screen.documents(scenarios);
    }
    let mut table = screen.new_table(&["id", "row", "group", "state", "title"]);
    for scenario in scenarios {
        let tone = if scenario.state == State::Open { Tone::Warn } else { Tone::Plain };
        table.add_row([
            cell(&scenario.id, Tone::Strong),
            cell(&scenario.row, Tone::Plain),
            cell(scenario.group.name(), Tone::Plain),
            cell(state_name(scenario.state), tone),
            cell(&scenario.title, Tone::Plain),
        ]);
    }
    screen.table(&table)
}

/// One line per scenario as it ends; a person also sees which one runs.
struct Lines<'s, 'o> {
    screen: &'s mut Screen<'o>,
    done: usize,
    of: usize,
    failure: Option<io::Error>,
}

impl Lines<'_, '_> {
    fn write(&mut self, write: impl FnOnce(&mut Screen<'_>) -> io::Result<()>) {
        if self.failure.is_none() {
            self.failure = write(self.screen).and_then(|()| self.screen.flush()).err();
        }
    }
}

impl Progress for Lines<'_, '_> {
    fn begin(&mut self, scenario: &Scenario) {
        let words = format!("[{}/{}] {} {} ...", self.done + 1, self.of, scenario.id, scenario.title);
        if self.screen.is_terminal() && self.screen.format() == Format::Table {
            self.write(|screen| screen.raw(&format!("{}\r", fitting(&words, screen.width()))));
        }
    }

    fn end(&mut self, result: &ScenarioResult) {
        self.done += 1;
        let counter = format!("[{}/{}]", self.done, self.of);
        self.write(|screen| match screen.format() {
            Format::Table => {
                let clear = if screen.is_terminal() { "\x1b[2K" } else { "" };
                let words = words(screen, result);
                screen.line(format!("{clear}{counter} {words}"))
            }
            Format::Ndjson => screen.document(result),
            Format::Json => Ok(()),
        });
    }
}

fn words(screen: &Screen<'_>, result: &ScenarioResult) -> String {
    let (word, tone, why) = match &result.outcome {
        Became::Passed => ("passed", Tone::Good, ""),
        Became::Failed { why } => ("FAILED", Tone::Bad, why.as_str()),
        Became::Open => ("open", Tone::Warn, ""),
        Became::Skipped { missing } => ("skipped", Tone::Dim, missing.as_str()),
    };
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    let word = screen.paint(tone, &format!("{word:<7}"));
    format!("{word} {:<5} {} ({} ms){why}", result.id, result.title, result.elapsed_ms)
}

/// So that the line can be written over.
fn fitting(words: &str, width: Option<u16>) -> String {
    let room = usize::from(width.unwrap_or(80)).saturating_sub(1);
    words.chars().take(room).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(only: &[&str], skip: &[&str], state: Option<&str>) -> Arguments {
        let [only, skip] = [only, skip].map(|names| names.iter().copied().map(str::to_owned).collect());
        Arguments { only, skip, state: state.map(str::to_owned), list: false }
    }

    fn scenario(group: &str, id: &str, row: &str) -> Scenario {
        let text = format!(
            "id = \"{id}\"\nrow = \"{row}\"\ntitle = \"reads a key through a symlink\"\ntrigger = \"true\"\n\
             [expect]\nstatus = \"ok\"\n"
        );
        Scenario::parse(group, "x.toml", &text).unwrap()
    }

    fn all() -> Vec<Scenario> {
        vec![scenario("files", "F1a", "F1"), scenario("files", "F1b", "F1"), scenario("exec", "E1", "E1")]
    }

    fn result(id: &str, outcome: Became) -> ScenarioResult {
        ScenarioResult::new(&scenario("files", id, "F1"), outcome, 12)
    }

    #[test]
    fn a_group_a_row_and_an_id_select_scenarios() {
        let chosen = |only: &[&str], skip: &[&str]| {
            let chosen = arguments(only, skip, None).selection(all()).unwrap();
            chosen.into_iter().map(|scenario| scenario.id).collect::<Vec<_>>()
        };
        assert_eq!(chosen(&[], &[]), ["F1a", "F1b", "E1"]);
        assert_eq!(chosen(&["files"], &[]), ["F1a", "F1b"]);
        assert_eq!(chosen(&["f1"], &[]), ["F1a", "F1b"]);
        assert_eq!(chosen(&["F1b", "exec"], &[]), ["F1b", "E1"]);
        assert_eq!(chosen(&["files"], &["F1b"]), ["F1a"]);
        assert_eq!(chosen(&[], &["files"]), ["E1"]);
    }

    #[test]
    fn a_selection_of_nothing_is_an_error_that_names_the_groups() {
        let nothing = [
            arguments(&["files", "nothing"], &[], None),
            arguments(&[], &["nothing"], None),
            arguments(&["F1"], &["files"], None),
            arguments(&[], &[], Some("open")),
        ];
        for arguments in nothing {
            let error = arguments.selection(all()).unwrap_err();
            assert!(
                matches!(&error, Failure::Usage(words) if words.contains("files, exec, identity")),
                "{error}"
            );
        }
    }

    #[test]
    fn every_scenario_ends_in_one_line() {
        let mut out = Vec::new();
        let mut screen = Screen::plain(&mut out, Format::Table, 110);
        let mut lines = Lines { screen: &mut screen, done: 0, of: 4, failure: None };
        lines.end(&result("F1a", Became::Passed));
        lines.end(&result("F1b", Became::Failed { why: "the secret got out".to_owned() }));
        lines.end(&result("F1c", Became::Open));
        lines.end(&result("F1d", Became::Skipped { missing: "kernel >= 6.2".to_owned() }));
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
