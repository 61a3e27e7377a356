//! `--from conversation`: questions as data, and a spec out of the answers. Who asks, on a terminal or with a file, is
//! the caller's.
//!
//! ```no_run
//! # use agentguard_authoring::conversation::Answers;
//! # fn ask(_: &agentguard_authoring::conversation::Question) -> String { String::new() }
//! let mut answers = Answers::default();
//! while let Some(question) = answers.next_question() {
//!     if let Err(error) = answers.set(question.key, &ask(&question)) {
//!         eprintln!("{error}");
//!     }
//! }
//! ```

mod answers;
mod questions;

pub use answers::Answers;
pub use questions::{Kind, Question};

use agentguard_core::spec::{Memory, Role};

use crate::import::rule;
use crate::program::{self, Work};
use crate::{AuthoringError, Draft, Identity, SpecDraft, base, workflow};

/// What a spec is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversation<'a> {
    /// The new agent; what it says goes before the answers.
    pub identity: Identity,
    /// What was answered. What is missing is taken as its question's default.
    pub answers: &'a Answers,
}

/// Makes the spec.
pub fn draft(arguments: &Conversation<'_>) -> Result<Draft, AuthoringError> {
    let answers = &arguments.answers.clone().with_defaults();
    let role = match answers.text("role") {
        "compliance" => Role::Compliance,
        "ideation" => Role::Ideation,
        _ => Role::Analysis,
    };
    let mut spec = SpecDraft::new(role);
    let mut notes = Vec::new();
    spec.head =
        vec!["Made of answers to questions. Add and take away as the work shows what it needs.".to_owned()];
    base::grant(&mut spec);
    program::work(&mut spec, work(answers.text("workspace")));
    for name in answers.list("programs") {
        program::grant(&mut spec, &mut notes, name);
    }
    let about = |key: &str, problem: String| AuthoringError::value(key, problem);
    for path in answers.list("reads") {
        let pattern = workflow::checked_pattern(path).map_err(|problem| about("reads", problem))?;
        spec.read_tree(NAMED, &pattern);
    }
    for path in answers.list("writes") {
        let pattern = workflow::checked_pattern(path).map_err(|problem| about("writes", problem))?;
        spec.change_tree(NAMED, &pattern);
    }
    for peer in answers.list("connects") {
        spec.network
            .connect
            .add_under(NAMED, workflow::peer_of(peer).map_err(|problem| about("connects", problem))?);
    }
    if answers.is_yes("serves") {
        let port = answers::port(answers.text("port")).map_err(|problem| about("port", problem))?;
        spec.network.listen.add(program::peer("127.0.0.1", port));
        spec.containment.loopback = true;
    }
    let lines = |key: &str| answers.list(key).iter().flat_map(|entry| command_lines(entry));
    lines("asks").for_each(|line| spec.exec.commands_hold.add(line));
    lines("never").for_each(|line| spec.exec.commands_deny.add(line));
    if [&answers.list("reads"), &answers.list("writes")]
        .into_iter()
        .flat_map(|list| list.iter())
        .any(|path| !path.starts_with(['/', '~']))
    {
        base::workspace(&mut spec);
    }
    spec.finish(&identity(&arguments.identity, answers), notes)
}

const NAMED: &str = "Named in the answers.";

/// Command lines that are meant by an answer: the program may also be called by its path. What begins with a path or a
/// wildcard says itself how.
fn command_lines(entry: &str) -> Vec<String> {
    if entry.is_empty() || entry.starts_with(['/', '*', '{']) {
        return vec![entry.to_owned()];
    }
    rule::pattern_lines(entry)
}

fn work(word: &str) -> Work {
    match word {
        "read" => Work::Read,
        "change" => Work::Change,
        "run" => Work::Run,
        _ => Work::None,
    }
}

/// What the caller said, and else what was answered.
fn identity(said: &Identity, answers: &Answers) -> Identity {
    let text = |key: &str| Some(answers.text(key)).filter(|text| !text.is_empty()).map(str::to_owned);
    let number = |key: &str| answers.number(key).and_then(|number| number.parse::<f64>().ok());
    let list = |key: &str| Some(answers.list(key).to_vec()).filter(|list| !list.is_empty());
    let memory = match answers.text("memory") {
        "session" => Some(Memory::Session),
        "persistent" => Some(Memory::Persistent),
        _ => None,
    };
    Identity {
        name: said.name.clone(),
        role: said.role,
        description: said.description.clone().or_else(|| text("purpose")),
        tier: said.tier.or_else(|| answers.text("tier").parse().ok()),
        owner: said.owner.clone().or_else(|| text("owner")),
        version: said.version.clone(),
        expires: said.expires.clone().or_else(|| text("expires")),
        capabilities: said.capabilities.clone(),
        inputs: said.inputs.clone().or_else(|| list("inputs")),
        actions: said.actions.clone().or_else(|| list("actions")),
        memory: said.memory.or(memory),
        model: said.model.clone().or_else(|| text("model")),
        temperature: said.temperature.or_else(|| number("temperature")),
        monthly_budget_usd: said.monthly_budget_usd.or_else(|| number("budget")),
    }
}
