//! `--from import`: what another tool's file says, as a spec; of a file with several MCP servers one for each.

use agentguard_authoring::{Identity, import};
use agentguard_core::spec::MAX_AGENT_NAME_BYTES;

use super::source::{ImportFormat, SourceArguments, needed};
use super::{From, Made, not_made};
use crate::exit::Failure;
use crate::spec_text::SpecText;

pub(super) fn make(source: &SourceArguments, identity: &Identity) -> Result<Vec<Made>, Failure> {
    let file = needed(source.file.as_ref(), From::Import, "--file FILE")?;
    let SpecText { file, text } = SpecText::read(file)?;
    let servers = import::servers(&file, &text).map_err(not_made)?;
    check(source.format, &file, &text, &servers)?;
    let one = |name: String, server: Option<&str>| {
        let identity = Identity { name: name.clone(), ..identity.clone() };
        let arguments = import::Import { file: &file, text: &text, identity, server };
        let draft = import::draft(&arguments).map_err(not_made)?;
        let server = server.map(|server| format!(", server {server}")).unwrap_or_default();
        Ok(Made { name, draft, origin: format!("import {file}{server}"), file: file.clone() })
    };
    match (servers.as_slice(), &source.server) {
        ([_, _, ..], None) => {
            servers.iter().map(|server| one(name_of(&identity.name, server), Some(server))).collect()
        }
        (_, server) => Ok(vec![one(identity.name.clone(), server.as_deref())?]),
    }
}

/// Whether the file is what it must be.
fn check(wanted: Option<ImportFormat>, file: &str, text: &str, servers: &[String]) -> Result<(), Failure> {
    let (found, name) = found(text, servers);
    match wanted {
        None | Some(ImportFormat::Auto) => Ok(()),
        Some(wanted) if wanted == found => Ok(()),
        Some(_) => {
            Err(Failure::Failed(format!("{file}: this is {name}; leave --format out to take it as that")))
        }
    }
}

/// As `agentguard_authoring` tells them apart.
fn found(text: &str, servers: &[String]) -> (ImportFormat, &'static str) {
    let whole: Option<serde_json::Value> = Some(text)
        .filter(|text| text.trim_start().starts_with('{'))
        .and_then(|text| serde_json::from_str(text).ok());
    match whole {
        _ if !servers.is_empty() => (ImportFormat::Mcp, "a list of MCP servers"),
        Some(whole) if whole.get("permissions").is_some() => {
            (ImportFormat::ClaudeSettings, "a list of permissions")
        }
        Some(_) => (ImportFormat::Json, "a spec as JSON"),
        None => (ImportFormat::Toml, "a spec as TOML"),
    }
}

/// `NAME-server`, of the letters that a name may have.
fn name_of(prefix: &str, server: &str) -> String {
    let letter = |letter: char| match letter.to_ascii_lowercase() {
        letter @ ('a'..='z' | '0'..='9' | '-' | '_' | '.') => letter,
        _ => '-',
    };
    format!("{prefix}-").chars().chain(server.chars().map(letter)).take(MAX_AGENT_NAME_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_server_becomes_part_of_a_name() {
        assert_eq!(name_of("tools", "My Files"), "tools-my-files");
        assert_eq!(name_of("tools", &"x".repeat(100)).len(), MAX_AGENT_NAME_BYTES);
    }

    #[test]
    fn a_file_that_is_something_else_is_refused() {
        let said = check(Some(ImportFormat::Mcp), "a.toml", "[agent]\n", &[]).unwrap_err().to_string();
        assert_eq!(said, "a.toml: this is a spec as TOML; leave --format out to take it as that");
        assert!(check(Some(ImportFormat::ClaudeSettings), "a", "{\"permissions\": {}}", &[]).is_ok());
        assert!(check(Some(ImportFormat::Mcp), "a", "{}", &["files".to_owned()]).is_ok());
        assert!(check(Some(ImportFormat::Auto), "a", "", &[]).is_ok());
    }
}
