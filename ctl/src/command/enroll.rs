//! `enroll`: puts what already runs under a spec: a unit, a cgroup, or a process with its children.

use agentguard_api::report::Enrolled;
use agentguard_api::v1::EnrollRequest;
use agentguard_api::v1::enroll_request::Target;
use clap::Args;

use crate::daemon::Daemon;
use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen};
use crate::spec_text::{SpecText, Variable};

/// What was typed after `enroll`.
#[derive(Debug, Args)]
#[group(id = "whose", required = true, multiple = false, args = ["spec", "agent"])]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: TargetArguments,
    /// Spec: a file, or the name of one in /etc/agentguard/specs or /usr/share/agentguard/specs
    #[arg(long, value_name = "FILE|NAME")]
    spec: Option<String>,
    /// A registered agent, with its own spec
    #[arg(long, value_name = "NAME", conflicts_with_all = ["name", "observe", "enforce"])]
    agent: Option<String>,
    /// Set a variable of the spec
    #[arg(long = "set", value_name = "NAME=VALUE")]
    variables: Vec<Variable>,
    /// Name of the agent; otherwise the name in the spec, with a number if it is taken
    #[arg(long)]
    name: Option<String>,
    /// Block nothing, and record what would have been blocked
    #[arg(long, conflicts_with = "enforce")]
    observe: bool,
    /// Block, whatever mode the spec says
    #[arg(long)]
    enforce: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct TargetArguments {
    /// A systemd unit, all its processes now and later
    #[arg(long)]
    unit: Option<String>,
    /// A cgroup (version 2), all its processes now and later
    #[arg(long, value_name = "PATH")]
    cgroup: Option<String>,
    /// A process and its children, where they are
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,
}

impl Arguments {
    fn target(&self) -> Option<Target> {
        let TargetArguments { unit, cgroup, pid } = &self.target;
        let unit = unit.clone().map(Target::Unit);
        unit.or_else(|| cgroup.clone().map(Target::Cgroup)).or_else(|| pid.map(Target::Pid))
    }

    fn request(&self, spec: SpecText) -> Result<EnrollRequest, Failure> {
        let variables = spec.variables(&self.variables)?;
        Ok(EnrollRequest {
            spec_toml: spec.text,
            spec_file: spec.file,
            name: self.name.clone().unwrap_or_default(),
            variables,
            mode: super::run::mode(self.observe, self.enforce),
            target: self.target(),
            ..EnrollRequest::default()
        })
    }
}

/// Enrolls, and says what is governed now.
pub(crate) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let request = match (&arguments.agent, &arguments.spec) {
        (Some(agent), _) => {
            let request = super::agent::start::request(agent, &arguments.variables, daemon)?;
            EnrollRequest { target: arguments.target(), ..request }
        }
        (None, Some(spec)) => arguments.request(SpecText::find(spec)?)?,
        (None, None) => return Err(Failure::Usage("give --spec or --agent".to_owned())),
    };
    let enrolled = daemon.call(async |client| client.enroll(request).await)?;
    for warning in &enrolled.warnings {
        eprintln!("agentctl: {warning}");
    }
    if let Some(line) = super::run::sandbox_line(&enrolled) {
        eprintln!("agentctl: {line}");
    }
    match screen.format() {
        Format::Table => screen.line(words(&enrolled))?,
        Format::Json | Format::Ndjson => screen.document(&enrolled)?,
    }
    Ok(Outcome::Done)
}

fn words(enrolled: &Enrolled) -> String {
    let agent = &enrolled.agent;
    let tasks = describe::count(enrolled.tasks, "task");
    format!("{}: {tasks} governed, mode {}, {}", agent.name, agent.mode, describe::count(agent.rules, "rule"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::command::agents::tests::agent;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        enroll: Arguments,
    }

    fn target(words: &[&str]) -> Result<Option<Target>, String> {
        let words = [&["x", "--spec", "s"], words].concat();
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        let spec = SpecText { file: "s.toml".to_owned(), text: String::new() };
        line.enroll.request(spec).map(|request| request.target).map_err(|failure| failure.to_string())
    }

    #[test]
    fn takes_exactly_one_target() {
        assert_eq!(target(&["--unit", "x.service"]), Ok(Some(Target::Unit("x.service".to_owned()))));
        assert_eq!(target(&["--cgroup", "/a"]), Ok(Some(Target::Cgroup("/a".to_owned()))));
        assert_eq!(target(&["--pid", "7"]), Ok(Some(Target::Pid(7))));
        assert!(target(&[]).is_err());
        assert!(target(&["--pid", "7", "--unit", "x.service"]).is_err());
        assert!(target(&["--pid", "0"]).is_err());
    }

    #[test]
    fn takes_a_spec_or_a_registered_agent() {
        let parses = |words: &[&str]| Line::try_parse_from([&["x", "--pid", "7"], words].concat()).is_ok();
        assert!(parses(&["--spec", "s"]) && parses(&["--agent", "coder", "--set", "workspace=/srv"]));
        assert!(!parses(&[]) && !parses(&["--spec", "s", "--agent", "coder"]));
        assert!(!parses(&["--agent", "coder", "--observe"]));
    }

    #[test]
    fn says_how_much_is_governed() {
        let enrolled =
            Enrolled { agent: agent("coder"), cgroup: None, scratch: None, tasks: 5, warnings: Vec::new() };
        assert_eq!(words(&enrolled), "coder: 5 tasks governed, mode enforce, 64 rules");
    }
}
