//! `--from workflow`: what the commands of a workflow need. Reads a small format of its own (see [`file`]) and the
//! commands of GitHub Actions workflows.

mod commands;
mod file;
mod shell;

use agentguard_core::spec::Role;

use crate::draft::Note;
use crate::{AuthoringError, Draft, Identity, Source, SpecDraft, base};
use commands::Grants;
use file::{Step, Workflow as Steps};

/// What a spec is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow<'a> {
    /// Name of the file.
    pub file: &'a str,
    /// YAML.
    pub text: &'a str,
    /// The new agent; what is not said comes from the file.
    pub identity: Identity,
}

/// Makes the spec.
pub fn draft(arguments: &Workflow<'_>) -> Result<Draft, AuthoringError> {
    let source = Source { file: arguments.file, text: arguments.text };
    let steps = file::read(source)?;
    let mut spec = SpecDraft::new(steps.role.unwrap_or(Role::Ideation));
    spec.head = vec![
        format!("Made of the commands in {}: what they need to run, as far as it can be told from the text.", arguments.file),
        String::new(),
        "Programs that the commands start in turn are not in the text. Let it run in observe mode, and look at what is".to_owned(),
        "missing: agentctl run --observe --spec FILE -- COMMAND".to_owned(),
    ];
    spec.description.clone_from(&steps.description);
    spec.tier = steps.tier.unwrap_or(spec.tier);
    base::grant(&mut spec);
    let mut grants = Grants::new(&mut spec);
    for step in &steps.steps {
        grant_step(&mut grants, source, step)?;
    }
    let mut notes = grants.finish();
    notes.extend(steps.notes.iter().cloned());
    describe(&mut spec, &steps);
    spec.finish(&arguments.identity, notes)
}

fn grant_step(grants: &mut Grants<'_>, source: Source<'_>, step: &Step) -> Result<(), AuthoringError> {
    if let Some(run) = &step.run {
        let script = shell::parse(run).map_err(|problem| {
            AuthoringError::file(
                source.file,
                format!("step \"{}\": {problem}; write it as bash takes it", step.name),
            )
        })?;
        grants.script(&step.name, &script);
    }
    let problem =
        |problem: String| AuthoringError::file(source.file, format!("step \"{}\": {problem}", step.name));
    step.reads.iter().try_for_each(|path| grants.reads(path)).map_err(problem)?;
    step.writes.iter().try_for_each(|path| grants.writes(path)).map_err(problem)?;
    step.connects.iter().try_for_each(|peer| grants.connects(peer)).map_err(problem)
}

/// What it works on and what it does, in the words of the file.
fn describe(spec: &mut SpecDraft, steps: &Steps) {
    spec.anatomy.inputs = vec!["workspace".to_owned()];
    spec.anatomy.actions =
        steps.steps.iter().map(|step| crate::text::one_line(&step.name)).take(ACTIONS_NAMED).collect();
    spec.anatomy.actions.dedup();
}

/// A person reads them.
const ACTIONS_NAMED: usize = 16;

/// A note that a step is not in the spec.
fn left_out(step: &str, what: &str, why: &str) -> Note {
    Note::left_out(format!("step \"{step}\": {what}"), why)
}

pub(crate) use commands::{checked_pattern, granted_by, is_like_a_file, peer_of};
