//! What a spec is made of, as it is typed: options that belong to some ways of making one and to no other.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::From;
use crate::exit::Failure;

/// The options of the ways.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "What it is made of")]
pub(super) struct SourceArguments {
    /// template: the name of a spec in /etc/agentguard/specs or /usr/share/agentguard/specs, or a file
    #[arg(long, value_name = "FILE|NAME")]
    pub(super) template: Option<String>,
    /// clone: the registered agent; event: the name of the run
    #[arg(long, value_name = "NAME")]
    pub(super) agent: Option<String>,
    /// workflow, import: the file
    #[arg(long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// conversation: take the answers from a file (TOML or JSON) and ask nothing
    #[arg(long, value_name = "FILE")]
    pub(super) answers: Option<PathBuf>,
    /// event: records since then: 10m, 2h, 1d ago, or 2026-03-01T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<String>,
    /// event: records until then
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<String>,
    /// event: where the run worked; becomes ${workspace}
    #[arg(long, value_name = "DIR")]
    pub(super) workspace: Option<String>,
    /// event: home of its user, otherwise as the users of this host say; becomes ${home}
    #[arg(long, value_name = "DIR")]
    pub(super) home: Option<String>,
    /// import: what the file must be; otherwise what it says that it is
    #[arg(long, value_enum, value_name = "FORM")]
    pub(super) format: Option<ImportFormat>,
    /// import: one of the servers of a file; otherwise one agent for each, with NAME- before the name of its server
    #[arg(long, value_name = "SERVER")]
    pub(super) server: Option<String>,
}

/// What an imported file can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ImportFormat {
    /// What it says that it is
    Auto,
    /// A spec as JSON
    Json,
    /// A spec as TOML
    Toml,
    /// The servers of an MCP client
    Mcp,
    /// The permissions of Claude Code
    ClaudeSettings,
}

impl SourceArguments {
    /// Whether every option belongs to this way. One that would be left unread is a mistake of whoever typed it.
    pub(super) fn check(&self, from: From) -> Result<(), Failure> {
        use From::{Clone, Conversation, Event, Import, Template, Workflow};
        let options: [(&str, bool, &[From]); 10] = [
            ("template", self.template.is_some(), &[Template]),
            ("agent", self.agent.is_some(), &[Clone, Event]),
            ("file", self.file.is_some(), &[Workflow, Import]),
            ("answers", self.answers.is_some(), &[Conversation]),
            ("since", self.since.is_some(), &[Event]),
            ("until", self.until.is_some(), &[Event]),
            ("workspace", self.workspace.is_some(), &[Event]),
            ("home", self.home.is_some(), &[Event]),
            ("format", self.format.is_some(), &[Import]),
            ("server", self.server.is_some(), &[Import]),
        ];
        for (option, given, ways) in options {
            if given && !ways.contains(&from) {
                let ways: Vec<_> = ways.iter().map(|way| format!("--from {}", way.name())).collect();
                let ways = ways.join(" and ");
                return Err(Failure::Usage(format!(
                    "--{option} belongs to {ways}, not to --from {}",
                    from.name()
                )));
            }
        }
        Ok(())
    }
}

/// An option that this way cannot do without.
pub(super) fn needed<'a, T>(option: Option<&'a T>, from: From, usage: &str) -> Result<&'a T, Failure> {
    option.ok_or_else(|| Failure::Usage(format!("--from {} needs {usage}", from.name())))
}
