//! `--from import`: what another tool's file says, as a spec. Which file it is, its own words tell: a spec as TOML or as
//! JSON, the servers of an MCP client, the permissions of Claude Code.

mod claude;
mod document;
mod glob;
mod mcp;
mod meet;
pub(crate) mod rule;
mod stricter;

use serde_json::Value;

use crate::edit::{self, Version};
use crate::{AuthoringError, Draft, Identity, Source};

/// What a spec is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Import<'a> {
    /// Name of the file.
    pub file: &'a str,
    /// Its text: TOML or JSON.
    pub text: &'a str,
    /// The new agent; what is not said comes from the file.
    pub identity: Identity,
    /// Which server of a file with several MCP servers.
    pub server: Option<&'a str>,
}

/// What a file turned out to be.
enum Kind {
    TomlSpec,
    JsonSpec,
    Servers(Vec<mcp::Named>),
    ClaudeSettings(claude::Permissions),
}

/// Makes the spec. A file with several MCP servers needs one to be chosen.
pub fn draft(arguments: &Import<'_>) -> Result<Draft, AuthoringError> {
    let source = Source { file: arguments.file, text: arguments.text };
    match kind(source)? {
        Kind::TomlSpec => edit::rewrite(source, &arguments.identity, Version::Kept),
        Kind::JsonSpec => document::draft(source, &arguments.identity),
        Kind::Servers(servers) => {
            let server = mcp::choose(source, &servers, arguments.server)?;
            mcp::draft(source, server, &arguments.identity)
        }
        Kind::ClaudeSettings(permissions) => claude::draft(source, &permissions, &arguments.identity),
    }
}

/// The servers that a file of an MCP client names, in its order; nothing for any other file.
pub fn servers(file: &str, text: &str) -> Result<Vec<String>, AuthoringError> {
    match kind(Source { file, text })? {
        Kind::Servers(servers) => Ok(servers.into_iter().map(|server| server.name).collect()),
        Kind::TomlSpec | Kind::JsonSpec | Kind::ClaudeSettings(_) => Ok(Vec::new()),
    }
}

fn kind(source: Source<'_>) -> Result<Kind, AuthoringError> {
    crate::text::check_length(source)?;
    if !source.text.trim_start().starts_with('{') {
        return Ok(Kind::TomlSpec);
    }
    let json = |error: serde_json::Error| AuthoringError::json(source.file, &error);
    let whole: Value = serde_json::from_str(source.text).map_err(json)?;
    let nested = whole.get("mcp").and_then(|mcp| mcp.get("servers"));
    if let Some(servers) = whole.get("mcpServers").or_else(|| whole.get("servers")).or(nested) {
        return mcp::read(source, servers).map(Kind::Servers);
    }
    if whole.get("permissions").is_some() {
        let settings: claude::Settings = serde_json::from_str(source.text).map_err(json)?;
        return Ok(Kind::ClaudeSettings(settings.permissions));
    }
    if whole.get("agent").is_some() {
        return Ok(Kind::JsonSpec);
    }
    let known = "`agent` (a spec), `mcpServers` or `servers` (an MCP client), `permissions` (Claude Code)";
    Err(AuthoringError::file(source.file, format!("says none of {known}; give a file that does")))
}
