//! regorus, with its limits set and its errors turned into `file:line: what`.
//!
//! The only module that names regorus, but for the coverage report in [`crate::testing`].

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use regorus::Engine;
use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::RegoVM;
use regorus::utils::limits::ExecutionTimerConfig;
use serde_json::{Value, json};

use crate::error::{PolicyError, PolicyErrors};
use crate::files::{DATA_FILE, PolicyFiles};
use crate::input::Input;

/// One evaluation. Shipped packs take milliseconds; a rule that runs away is an error, not a daemon that hangs.
const EVALUATION_LIMIT: Duration = Duration::from_secs(10);
/// Steps between two looks at the clock.
const CLOCK_INTERVAL: NonZeroU32 = match NonZeroU32::new(256) {
    Some(steps) => steps,
    None => NonZeroU32::MIN,
};
const TIMER: ExecutionTimerConfig =
    ExecutionTimerConfig { limit: EVALUATION_LIMIT, check_interval: CLOCK_INTERVAL };

/// Characters of one message of the engine; it may quote whole values.
const MAX_MESSAGE_CHARS: usize = 300;

/// Name ending of files that hold tests.
pub(crate) const TEST_SUFFIX: &str = "_test.rego";

/// Which files an engine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    /// What decides.
    Packs,
    /// The same with the tests beside it.
    PacksAndTests,
}

/// The data document of a policy, an empty object if it has none.
pub(crate) fn data(files: &PolicyFiles) -> Result<Value, PolicyError> {
    let Some(text) = files.get(DATA_FILE) else { return Ok(Value::Object(serde_json::Map::new())) };
    let problem = |line, message: String| PolicyError::new(files.shown(DATA_FILE), line, message);
    let value: Value = serde_json::from_str(text)
        .map_err(|error| problem(u32::try_from(error.line()).unwrap_or(0), format!("is no JSON: {error}")))?;
    match value.as_object() {
        None => Err(problem(1, "must be a JSON object".to_owned())),
        Some(object) if object.contains_key("agentguard") => {
            Err(problem(1, "`agentguard` is where packs live; choose another key".to_owned()))
        }
        Some(_) => Ok(value),
    }
}

/// An engine with every file parsed; each file that does not parse is one error.
pub(crate) fn parse(files: &PolicyFiles, contents: Contents) -> Result<Engine, PolicyErrors> {
    let mut engine = Engine::new();
    engine.set_execution_timer_config(TIMER);
    engine.set_gather_prints(true);
    let mut errors = Vec::new();
    for (path, source) in files.iter().filter(|(path, _)| path.ends_with(".rego")) {
        if contents == Contents::Packs && path.ends_with(TEST_SUFFIX) {
            continue;
        }
        if let Err(error) = engine.add_policy(path.to_owned(), source.to_owned()) {
            errors.push(located(files, &error.to_string(), path, 1));
        }
    }
    match data(files) {
        Ok(data) => {
            if let Err(error) = engine.add_data(regorus::Value::from(data)) {
                errors.push(located(files, &error.to_string(), DATA_FILE, 1));
            }
        }
        Err(error) => errors.push(error),
    }
    if errors.is_empty() { Ok(engine) } else { Err(PolicyErrors(errors)) }
}

/// An [`Input`] as the engine takes it. Turning a spec with thousands of grants takes longer than asking about a request,
/// so whoever asks often keeps this.
#[derive(Debug, Clone)]
pub struct PreparedInput(Vec<(regorus::Value, regorus::Value)>);

impl PreparedInput {
    /// Turns all of it.
    pub fn new(input: &Input) -> Self {
        let parts = [("agent", json!(input.agent)), ("host", json!(input.host))];
        Self(parts.map(|(name, part)| (name.into(), part.into())).into())
    }

    /// With what is asked about besides. What was turned is shared, not copied.
    pub(crate) fn with(&self, parts: impl IntoIterator<Item = (&'static str, Value)>) -> regorus::Value {
        let parts = parts.into_iter().map(|(name, part)| (name.into(), part.into()));
        regorus::Value::from(self.0.iter().cloned().chain(parts).collect::<BTreeMap<_, _>>())
    }
}

/// Rules that regorus has compiled. They evaluate several times as fast as the same rules interpreted; their errors say
/// nothing about where they are.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    program: Arc<regorus::rvm::Program>,
    data: regorus::Value,
}

impl Program {
    /// Compiles rules of an engine. `None` if there are none, or if regorus can not compile them.
    pub(crate) fn compile(engine: &Engine, files: &PolicyFiles, rules: &[String]) -> Option<Self> {
        let data = data(files).ok()?;
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        let policy = engine.clone().compile_with_entrypoint(&(*rules.first()?).into()).ok()?;
        let program = Compiler::compile_from_policy(&policy, &rules).ok()?;
        Some(Self { program, data: data.into() })
    }
}

/// Evaluates rules for one input.
pub(crate) struct Evaluation<'a> {
    machine: Option<RegoVM>,
    engine: &'a Engine,
    input: regorus::Value,
    interpreter: Option<Engine>,
}

impl<'a> Evaluation<'a> {
    pub(crate) fn new(engine: &'a Engine, program: Option<&Program>, input: regorus::Value) -> Self {
        let machine = program.and_then(|program| machine(program, &input));
        Self { machine, engine, input, interpreter: None }
    }

    /// The value of one rule, `None` if it is undefined. What the compiled rules can not evaluate the interpreter does, and
    /// its text says why not, and where.
    pub(crate) fn value(&mut self, rule: &str) -> Result<Option<Value>, String> {
        if let Some(machine) = &mut self.machine
            && let Ok(value) = machine.execute_entry_point_by_name(rule)
        {
            return plain(&value);
        }
        let input = || {
            let mut engine = self.engine.clone();
            engine.set_input(self.input.clone());
            engine
        };
        value(self.interpreter.get_or_insert_with(input), rule)
    }
}

fn machine(program: &Program, input: &regorus::Value) -> Option<RegoVM> {
    let mut machine = RegoVM::new();
    machine.load_program(Arc::clone(&program.program));
    machine.set_data(program.data.clone()).ok()?;
    machine.set_input(input.clone());
    // As the interpreter does: what would be an error is none of the answers.
    machine.set_strict_builtin_errors(true);
    // The interpreter's limit is one of time, too.
    machine.set_max_instructions(usize::MAX);
    machine.set_execution_timer_config(Some(TIMER));
    Some(machine)
}

/// The value of one rule, `None` if it is undefined; the error is regorus' own text.
pub(crate) fn value(engine: &mut Engine, rule: &str) -> Result<Option<Value>, String> {
    match engine.eval_rule(rule.to_owned()) {
        Ok(value) => plain(&value),
        Err(error) => Err(error.to_string()),
    }
}

fn plain(value: &regorus::Value) -> Result<Option<Value>, String> {
    match value {
        regorus::Value::Undefined => Ok(None),
        value => serde_json::to_value(value).map(Some).map_err(|error| error.to_string()),
    }
}

/// Turns regorus' picture of an error into one line. `file` and `line` are for errors without a place.
pub(crate) fn located(files: &PolicyFiles, text: &str, file: &str, line: u32) -> PolicyError {
    let place = text.lines().find_map(|row| row.trim_start().strip_prefix("--> ")).and_then(place);
    let message = text
        .lines()
        .find_map(|row| row.trim_start().strip_prefix("error: "))
        .or_else(|| text.lines().map(str::trim).find(|row| !row.is_empty()))
        .unwrap_or("cannot be evaluated");
    // Behind an unsafe variable regorus prints all its scopes.
    let message = message.split(" (path [").next().unwrap_or(message).trim().trim_end_matches('.');
    let message: String = message.chars().take(MAX_MESSAGE_CHARS).collect();
    match place {
        Some((file, line)) => PolicyError::new(files.shown(file), line, message),
        None => PolicyError::new(files.shown(file), line, message),
    }
}

/// `file:line:column`.
fn place(text: &str) -> Option<(&str, u32)> {
    let mut parts = text.trim().rsplitn(3, ':');
    let _column = parts.next()?;
    let line = parts.next()?.parse().ok()?;
    Some((parts.next()?, line))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn files(source: &str) -> PolicyFiles {
        PolicyFiles::from_contents(Path::new("p"), [("a/a.rego".to_owned(), source.to_owned())]).unwrap()
    }

    fn error_of(source: &str, rule: &str) -> String {
        let files = files(source);
        match parse(&files, Contents::Packs) {
            Err(errors) => errors.to_string(),
            Ok(mut engine) => {
                engine.set_input(regorus::Value::new_object());
                located(&files, &value(&mut engine, rule).unwrap_err(), "a/a.rego", 1).to_string()
            }
        }
    }

    #[test]
    fn an_error_is_one_line_with_file_and_line() {
        let sources = [
            ("package agentguard.a\nx := {", "syntax"),
            ("package agentguard.a\nx := 1 if { y := }", "syntax"),
            ("package agentguard.a\nx := no_such_function(1)", "unknown function"),
            ("package agentguard.a\nx := y", "unknown variable"),
            ("package agentguard.a\nx := y if y := x", "recursion"),
            ("package agentguard.a\nx := 1 + \"a\"", "types"),
            ("package agentguard.a\nx := regex.match(\"(\", \"a\")", "regex"),
        ];
        for (source, what) in sources {
            let error = error_of(source, "data.agentguard.a.x");
            assert!(error.starts_with("p/a/a.rego:") && error.lines().count() == 1, "{what}: {error}");
            let line = error.split(':').nth(1).and_then(|line| line.parse::<u32>().ok());
            assert!(matches!(line, Some(2..=3)), "{what}: {error}");
        }
    }

    #[test]
    fn a_rule_that_runs_away_is_stopped() {
        let source = "package agentguard.a\nn := numbers.range(1, 30000)\nx := count([1 | some i in n; some j in n; i * j < 0])";
        let error = error_of(source, "data.agentguard.a.x");
        assert!(error.contains("time"), "{error}");
    }

    #[test]
    fn the_data_document_is_checked() {
        let with_data = |data: &str| {
            let files = [("a/a.rego", "package agentguard.a"), ("data.json", data)];
            let files = files.map(|(path, content)| (path.to_owned(), content.to_owned()));
            parse(&PolicyFiles::from_contents(Path::new("p"), files).unwrap(), Contents::Packs).map(|_| ())
        };
        assert!(with_data("{\"ports\": [1]}").is_ok());
        let broken = with_data("{\n\"ports\": }").unwrap_err().to_string();
        assert!(broken.starts_with("p/data.json:2: is no JSON"), "{broken}");
        assert!(with_data("[]").is_err() && with_data("{\"agentguard\": {}}").is_err());
    }
}
