//! The two formats of workflow files.
//!
//! Own format, every other key is an error:
//!
//! ```yaml
//! name: nightly-report
//! description: Builds the report and mails it
//! role: analysis            # compliance, analysis or ideation
//! tier: 3
//! steps:
//!   - name: test
//!     run: cargo test
//!     needs: [checkout]     # names of earlier steps
//!     reads: [/srv/data]    # files or directories; without a first / in the workspace
//!     writes: [out]
//!     connects: ["db.example.com:5432"]
//! ```
//!
//! A file with `jobs` is a GitHub Actions workflow: of it, the names and the `run` of the steps are read.

use agentguard_core::spec::Role;
use serde::Deserialize;
use yaml_serde::{Mapping, Value};

use super::left_out;
use crate::draft::Note;
use crate::{AuthoringError, Source};

/// A workflow is written by hand; more steps than this are made by a program.
const MAX_STEPS: usize = 1_000;

/// What is taken from a file of either format.
#[derive(Debug, Default)]
pub(super) struct Workflow {
    pub(super) description: Option<String>,
    pub(super) role: Option<Role>,
    pub(super) tier: Option<u8>,
    pub(super) steps: Vec<Step>,
    pub(super) notes: Vec<Note>,
}

/// One step.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    #[serde(default)]
    pub(super) name: String,
    pub(super) run: Option<String>,
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default)]
    pub(super) reads: Vec<String>,
    #[serde(default)]
    pub(super) writes: Vec<String>,
    #[serde(default)]
    pub(super) connects: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    name: Option<String>,
    description: Option<String>,
    role: Option<Role>,
    tier: Option<u8>,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
struct Actions {
    name: Option<String>,
    jobs: Mapping,
}

#[derive(Debug, Deserialize)]
struct Job {
    #[serde(default)]
    steps: Vec<ActionStep>,
    container: Option<Value>,
    services: Option<Value>,
    uses: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ActionStep {
    name: Option<String>,
    run: Option<String>,
    uses: Option<String>,
    shell: Option<String>,
}

/// Reads either format.
pub(super) fn read(source: Source<'_>) -> Result<Workflow, AuthoringError> {
    crate::text::check_length(source)?;
    let yaml = |error: yaml_serde::Error| AuthoringError::yaml(source.file, &error);
    let whole: Value = yaml_serde::from_str(source.text).map_err(yaml)?;
    let is_actions = whole.get("jobs").is_some();
    let workflow = if is_actions {
        actions(source, yaml_serde::from_str(source.text).map_err(yaml)?)?
    } else {
        own(source, yaml_serde::from_str(source.text).map_err(yaml)?)?
    };
    if workflow.steps.is_empty() {
        return Err(AuthoringError::file(source.file, "no step runs a command; add steps with `run`"));
    }
    if workflow.steps.len() > MAX_STEPS {
        let problem = format!("{} steps, the limit is {MAX_STEPS}; split the workflow", workflow.steps.len());
        return Err(AuthoringError::file(source.file, problem));
    }
    Ok(workflow)
}

fn own(source: Source<'_>, own: Own) -> Result<Workflow, AuthoringError> {
    let mut workflow = Workflow {
        description: own.description.or(own.name),
        role: own.role,
        tier: own.tier,
        ..Workflow::default()
    };
    for (position, mut step) in own.steps.into_iter().enumerate() {
        if step.name.is_empty() {
            step.name = format!("step {}", position + 1);
        }
        let missing = step.needs.iter().find(|need| !workflow.steps.iter().any(|known| known.name == **need));
        if let Some(missing) = missing {
            let problem =
                format!("step \"{}\" needs `{missing}`, but no earlier step has that name", step.name);
            return Err(AuthoringError::file(source.file, problem));
        }
        workflow.steps.push(step);
    }
    Ok(workflow)
}

fn actions(source: Source<'_>, actions: Actions) -> Result<Workflow, AuthoringError> {
    let mut workflow = Workflow { description: actions.name, ..Workflow::default() };
    for (key, value) in actions.jobs {
        let job_name = key.as_str().unwrap_or_default().to_owned();
        let job: Job = yaml_serde::from_value(value)
            .map_err(|error| AuthoringError::file(source.file, format!("job \"{job_name}\": {error}")))?;
        if job.container.is_some() || job.services.is_some() {
            let why = "containers and services are not in the spec; grant the ports that are used of them";
            workflow.notes.push(Note::left_out(format!("job \"{job_name}\": container or services"), why));
        }
        if let Some(uses) = job.uses {
            let why = "a workflow in another file; make a spec of that one too";
            workflow.notes.push(Note::left_out(format!("job \"{job_name}\": uses {uses}"), why));
        }
        for (position, step) in job.steps.into_iter().enumerate() {
            let name = step.name.clone().unwrap_or_else(|| format!("{job_name} {}", position + 1));
            action_step(&mut workflow, name, step);
        }
    }
    Ok(workflow)
}

fn action_step(workflow: &mut Workflow, name: String, step: ActionStep) {
    if let Some(uses) = step.uses {
        let action = uses.split('@').next().unwrap_or_default();
        if action == "actions/checkout" {
            let run = Some("git fetch".to_owned());
            workflow.steps.push(Step { name, run, ..Step::default() });
            return;
        }
        let why = "what an action does is not in the workflow; grant what it needs by hand";
        workflow.notes.push(left_out(&name, &format!("uses {uses}"), why));
        return;
    }
    let Some(run) = step.run else { return };
    let is_bash =
        step.shell.as_deref().is_none_or(|shell| matches!(shell.split(' ').next(), Some("bash" | "sh")));
    if !is_bash {
        let shell = step.shell.unwrap_or_default();
        let why = "only commands for bash and sh are read";
        workflow.notes.push(left_out(&name, &format!("shell {shell}"), why));
        return;
    }
    let run = Some(without_expressions(&run));
    workflow.steps.push(Step { name, run, ..Step::default() });
}

/// `${{ … }}` is replaced before the shell sees it, by something that is not known here.
fn without_expressions(script: &str) -> String {
    let mut text = String::with_capacity(script.len());
    let mut rest = script;
    while let Some((before, after)) = rest.split_once("${{") {
        text.push_str(before);
        text.push_str("${GITHUB_EXPRESSION}");
        rest = after.split_once("}}").map_or("", |(_, behind)| behind);
    }
    text.push_str(rest);
    text
}
