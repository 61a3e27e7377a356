//! Servers of an MCP client: `mcpServers` as Claude Desktop, Claude Code and Cursor write it, `servers` as VS Code does.
//! Of `env` and `headers` only the names are read: their values are secrets.

use std::collections::BTreeMap;

use agentguard_core::pattern::Pattern;
use agentguard_core::spec::Role;
use serde::Deserialize;
use serde_json::Value;

use crate::draft::Note;
use crate::{AuthoringError, Draft, Identity, Source, SpecDraft, base, program, workflow};

/// A service behind a server, by a part of the package's name.
const SERVICES: [(&str, &str); 10] = [
    ("server-github", "api.github.com"),
    ("github-mcp-server", "api.github.com"),
    ("server-gitlab", "gitlab.com"),
    ("server-slack", "slack.com"),
    ("server-brave-search", "api.search.brave.com"),
    ("server-google-maps", "maps.googleapis.com"),
    ("server-gdrive", "www.googleapis.com"),
    ("mcp-server-sentry", "sentry.io"),
    ("notion-mcp-server", "api.notion.com"),
    ("figma", "api.figma.com"),
];
/// What a script of an interpreter ends with.
const SCRIPTS: [&str; 6] = [".js", ".mjs", ".cjs", ".ts", ".py", ".jar"];
const HEADING: &str = "Named by the server's arguments.";

/// One server and its name.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) name: String,
    server: Server,
}

#[derive(Debug, Deserialize)]
struct Server {
    command: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, Value>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, Value>,
    cwd: Option<String>,
}

pub(super) fn read(source: Source<'_>, servers: &Value) -> Result<Vec<Named>, AuthoringError> {
    let Some(servers) = servers.as_object().filter(|servers| !servers.is_empty()) else {
        return Err(AuthoringError::file(source.file, "names no MCP server; add one below `mcpServers`"));
    };
    let server = |(name, value): (&String, &Value)| {
        let wrong = |why: String| AuthoringError::file(source.file, format!("server \"{name}\": {why}"));
        let server: Server = Server::deserialize(value).map_err(|error| wrong(error.to_string()))?;
        if server.command.is_none() == server.url.is_none() {
            return Err(wrong(
                "says not just one of `command` and `url`; keep the one that is used".to_owned(),
            ));
        }
        Ok(Named { name: name.clone(), server })
    };
    servers.iter().map(server).collect()
}

pub(super) fn choose<'s>(
    source: Source<'_>,
    servers: &'s [Named],
    wanted: Option<&str>,
) -> Result<&'s Named, AuthoringError> {
    let names = || servers.iter().map(|server| server.name.as_str()).collect::<Vec<_>>().join(", ");
    match (wanted, servers) {
        (None, [only]) => Ok(only),
        (None, _) => {
            Err(AuthoringError::file(source.file, format!("has several servers; choose one of {}", names())))
        }
        (Some(wanted), _) => servers.iter().find(|server| server.name == wanted).ok_or_else(|| {
            AuthoringError::file(source.file, format!("has no server `{wanted}`; choose one of {}", names()))
        }),
    }
}

pub(super) fn draft(source: Source<'_>, named: &Named, identity: &Identity) -> Result<Draft, AuthoringError> {
    let mut maker = Maker { spec: SpecDraft::new(Role::Analysis), notes: Vec::new() };
    maker.spec.head = vec![
        format!("Made of the MCP server \"{}\" in {}.", named.name, source.file),
        "What the server does when its tools are called is not in that file: let it run in observe mode and compare.".to_owned(),
    ];
    maker.spec.description = Some(format!("MCP server {}.", crate::text::one_line(&named.name)));
    maker.spec.anatomy.inputs = vec!["tool calls".to_owned()];
    maker.spec.anatomy.actions = vec!["answer tool calls".to_owned()];
    maker.spec.capability("mcp.serve");
    base::grant(&mut maker.spec);
    maker.server(&named.server);
    maker.spec.finish(identity, maker.notes)
}

struct Maker {
    spec: SpecDraft,
    notes: Vec<Note>,
}

impl Maker {
    fn server(&mut self, server: &Server) {
        if let Some(url) = &server.url {
            self.url(url);
        }
        if let Some(command) = &server.command {
            self.command(command);
            let files = server.args.iter().any(|argument| argument.contains("server-filesystem"));
            server.args.iter().for_each(|argument| self.argument(argument, files));
        }
        if let Some(directory) = &server.cwd {
            self.path(directory, false);
        }
        for (what, names) in [("env", &server.env), ("header", &server.headers)] {
            for name in names.keys() {
                let why = "its value is not copied; hand it to the server when it starts";
                self.notes.push(Note::left_out(format!("{what} {name}"), why));
            }
        }
    }

    fn url(&mut self, url: &str) {
        match workflow::peer_of(url) {
            Ok(peer) => self.spec.network.connect.add_under("The remote server.", peer),
            Err(_) => {
                let why = "no host can be read out of it; grant the host in network.connect";
                self.notes.push(Note::left_out("url", why));
            }
        }
    }

    fn command(&mut self, command: &str) {
        let short = command.rsplit('/').next().unwrap_or(command);
        if command.contains("${") {
            let why = "its path has a variable of the client; grant the program in exec.allow";
            self.notes.push(Note::left_out(format!("command {command}"), why));
        } else if program::known(short).is_some() {
            program::grant_without_work(&mut self.spec, &mut self.notes, short);
            if command.starts_with('/') {
                self.spec.run("The server.", &Pattern::escape(command));
            }
        } else {
            program::grant_without_work(&mut self.spec, &mut self.notes, command);
        }
    }

    fn argument(&mut self, argument: &str, files: bool) {
        for (part, host) in SERVICES {
            if argument.contains(part) {
                self.spec
                    .network
                    .connect
                    .add_under("The service behind the server.", program::peer(host, 443));
            }
        }
        let value = argument
            .split_once('=')
            .filter(|_| argument.starts_with('-'))
            .map_or(argument, |(_, value)| value);
        if value.contains("://") {
            // Its user, password and path stay where they are.
            if let Ok(peer) = workflow::peer_of(value) {
                self.spec.network.connect.add_under(HEADING, peer);
            }
        } else {
            self.path(value, files);
        }
    }

    /// A file or directory that an argument names.
    fn path(&mut self, text: &str, changes: bool) {
        let known =
            [("${workspaceFolder}", "${workspace}"), ("${userHome}", "~"), ("${HOME}", "~"), ("$HOME", "~")];
        let text = known.iter().fold(text.to_owned(), |text, (from, to)| text.replacen(from, to, 1));
        if !text.starts_with('/') && !text.starts_with("~/") && !text.starts_with("${workspace}") {
            return;
        }
        let Some(pattern) = workflow::checked_pattern(&text).ok().filter(|_| !text.contains("${input"))
        else {
            self.notes
                .push(Note::left_out(format!("argument {text}"), "it names no file that can be granted"));
            return;
        };
        if pattern.starts_with(base::WORKSPACE) {
            base::workspace(&mut self.spec);
        }
        let script = SCRIPTS.iter().any(|ending| pattern.ends_with(ending));
        let above =
            pattern.rsplit_once('/').map(|(above, _)| above).filter(|above| script && !above.is_empty());
        match above {
            Some(above) => self.spec.read_tree("The server's own files.", above),
            None if changes => self.spec.change_tree(HEADING, &pattern),
            None => {
                if pattern.rsplit('/').next().is_some_and(workflow::is_like_a_file) {
                    self.spec.files.read.add_under(HEADING, pattern.clone());
                } else {
                    self.spec.read_tree(HEADING, &pattern);
                }
                let why = "granted for reading; whether the server changes it is not in the file";
                self.notes.push(Note::unsure(format!("files.read {pattern}"), why));
            }
        }
    }
}
