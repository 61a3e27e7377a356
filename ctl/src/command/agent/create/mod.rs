//! `agent create`: seven ways to a spec, and one to a registered agent: the draft is checked here, what its author
//! should look at is printed, and agentd registers it in the sandbox. How a spec is made is `agentguard_authoring`'s.

mod clone;
mod conversation;
mod event;
mod identity;
mod import;
mod scratch;
mod source;
mod template;
mod workflow;

use std::path::Path;

use agentguard_api::report::RegisteredAgent;
use agentguard_api::v1::AgentSpecRequest;
use agentguard_authoring::{AuthoringError, Draft};
use agentguard_core::spec::Spec;
use clap::{Args, ValueEnum};

use self::identity::IdentityArguments;
use self::source::SourceArguments;
use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::moment;
use crate::screen::{Format, Screen, Tone, cell, printable};
use crate::spec_text::{self, Variable};

/// What was typed after `agent create`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Name of the new agent
    #[arg(required_unless_present = "list_templates")]
    name: Option<String>,
    /// What its spec is made of
    #[arg(long, value_enum, value_name = "WAY", required_unless_present = "list_templates")]
    from: Option<From>,
    /// Value of a variable that a start does not have to give
    #[arg(long = "set", value_name = "NAME=VALUE")]
    variables: Vec<Variable>,
    /// How long it may stay in the sandbox; otherwise as the configuration of agentd says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    sandbox_days: Option<u32>,
    /// Print the spec, and register nothing
    #[arg(long)]
    dry_run: bool,
    /// List the templates, and register nothing
    #[arg(long, conflicts_with_all = ["name", "from"])]
    list_templates: bool,
    #[command(flatten)]
    source: SourceArguments,
    #[command(flatten)]
    identity: IdentityArguments,
}

/// A way of making a spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    /// A spec that ships, or one of yours
    Template,
    /// What a shell needs to run, and nothing else
    Scratch,
    /// The spec of a registered agent
    Clone,
    /// The commands of a workflow: YAML of steps, or of GitHub Actions
    Workflow,
    /// Your answers to questions
    Conversation,
    /// What was recorded of a run
    Event,
    /// A file of another tool: a spec, servers of an MCP client, permissions of Claude Code
    Import,
}

/// A spec that was made, and of what.
#[derive(Debug)]
struct Made {
    /// Of the new agent.
    name: String,
    draft: Draft,
    /// The file, or what stands for one in messages.
    file: String,
    /// How it was made, for people: `template coding-agent`.
    origin: String,
}

impl From {
    const fn name(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::Scratch => "scratch",
            Self::Clone => "clone",
            Self::Workflow => "workflow",
            Self::Conversation => "conversation",
            Self::Event => "event",
            Self::Import => "import",
        }
    }
}

pub(super) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    if arguments.list_templates {
        return template::list(screen);
    }
    let (Some(name), Some(from)) = (&arguments.name, arguments.from) else {
        return Err(Failure::Usage("give NAME and --from".to_owned()));
    };
    arguments.source.check(from)?;
    if !arguments.dry_run {
        // Nobody answers twenty questions to learn then that agentd is not there.
        daemon.connect()?;
    }
    let made = arguments.make(name, from, daemon)?;
    if arguments.dry_run {
        print(screen, &made)?;
        return Ok(Outcome::Done);
    }
    // What is registered is shown, also if it ends before the last one.
    let mut agents = Vec::new();
    let mut failure = None;
    for made in made {
        match arguments.register(made, daemon) {
            Ok(agent) => agents.push(agent),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    match (screen.format(), agents.as_slice()) {
        (_, []) => {}
        (Format::Table, agents) => registered(screen, agents)?,
        (_, [agent]) => screen.document(agent)?,
        (_, agents) => screen.documents(agents)?,
    }
    screen.flush()?;
    failure.map_or(Ok(Outcome::Done), Err)
}

impl Arguments {
    fn make(&self, name: &str, from: From, daemon: &mut Daemon) -> Result<Vec<Made>, Failure> {
        let identity = self.identity.meaning(name);
        let source = &self.source;
        let made = match from {
            From::Template => vec![template::make(source, identity)?],
            From::Scratch => vec![scratch::make(identity)?],
            From::Clone => vec![clone::make(source, identity, daemon)?],
            From::Workflow => vec![workflow::make(source, identity)?],
            From::Conversation => vec![conversation::make(source, identity)?],
            From::Event => vec![event::make(source, identity, daemon)?],
            From::Import => import::make(source, &identity)?,
        };
        for made in &made {
            // By the same reader as agentd's, before anything is asked of agentd.
            Spec::parse(&made.draft.text, Path::new(&made.file))
                .map_err(|error| Failure::Failed(error.to_string()))?;
            for note in &made.draft.notes {
                eprintln!("look at: {}", printable(&note.to_string()));
            }
        }
        Ok(made)
    }

    fn register(&self, made: Made, daemon: &mut Daemon) -> Result<RegisteredAgent, Failure> {
        let request = AgentSpecRequest {
            name: made.name,
            spec_toml: made.draft.text,
            spec_file: made.file,
            origin: made.origin,
            variables: spec_text::values(&self.variables)?,
            sandbox_days: self.sandbox_days.unwrap_or_default(),
        };
        daemon.call(async |client| client.agent_create(request).await)
    }
}

/// A draft that was not made is the fault of what was typed, or of a file.
fn not_made(error: AuthoringError) -> Failure {
    match error {
        AuthoringError::Value { .. } => Failure::Usage(error.to_string()),
        AuthoringError::Line { .. } | AuthoringError::File { .. } | AuthoringError::Spec(_) => {
            Failure::Failed(error.to_string())
        }
    }
}

fn print(screen: &mut Screen<'_>, made: &[Made]) -> Result<(), Failure> {
    match screen.format() {
        Format::Table => {
            for (number, made) in made.iter().enumerate() {
                screen.raw(if number > 0 { "\n" } else { "" })?;
                screen.text(&made.draft.text)?;
            }
        }
        Format::Json | Format::Ndjson => {
            let documents: Vec<_> = made.iter().map(document).collect();
            screen.documents(&documents)?;
        }
    }
    Ok(())
}

fn document(made: &Made) -> serde_json::Value {
    let notes: Vec<_> = made
        .draft
        .notes
        .iter()
        .map(|note| serde_json::json!({"kind": note.kind.name(), "about": note.about, "why": note.why}))
        .collect();
    serde_json::json!({"name": made.name, "origin": made.origin, "spec": made.draft.text, "notes": notes})
}

/// Where it stands now; also for another spec.
pub(super) fn in_sandbox(agent: &RegisteredAgent) -> String {
    let RegisteredAgent { name, revision, expires_ns, .. } = agent;
    let state = agent.standing.state;
    format!("{name}: {state}, revision {revision}, until {}", moment::short(*expires_ns))
}

fn registered(screen: &mut Screen<'_>, agents: &[RegisteredAgent]) -> Result<(), Failure> {
    for agent in agents {
        screen.line(in_sandbox(agent))?;
    }
    if let Some(agent) = agents.first() {
        let mut table = screen.new_table(&[]);
        for (what, command) in [
            ("try it:", format!("agentctl agent start {} -- COMMAND", agent.name)),
            ("what stands against it:", format!("agentctl agent validate {}", agent.name)),
            ("let it out of the sandbox:", format!("agentctl agent promote {}", agent.name)),
        ] {
            table.add_row([cell(what, Tone::Dim), cell(command, Tone::Plain)]);
        }
        screen.table(&table)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
