//! From commands to grants: which program is really run, and what its arguments name.

use agentguard_core::pattern::Pattern;
use agentguard_core::spec::Peer;
use url::Url;

use super::shell::{Script, Word};
use crate::draft::Note;
use crate::program::{self, Work};
use crate::{SpecDraft, base};

/// What the shell does itself.
const BUILT_IN: [&str; 36] = [
    ":", ".", "[", "[[", "alias", "break", "cd", "continue", "declare", "echo", "eval", "exit", "export",
    "false", "hash", "kill", "let", "local", "popd", "printf", "pushd", "pwd", "read", "readonly", "return",
    "set", "shift", "shopt", "source", "test", "trap", "true", "type", "ulimit", "umask", "unset",
];
const WAITING: [&str; 2] = ["wait", "jobs"];
/// What runs the rest of its words: how many words of its own stand before them that are no options, and which of its
/// options have the next word as their value.
const WRAPPERS: [(&str, usize, &[&str]); 9] = [
    ("env", 0, &["-u", "-C", "--unset", "--chdir"]),
    ("exec", 0, &["-a"]),
    ("command", 0, &[]),
    ("time", 0, &["-f", "-o", "--format", "--output"]),
    ("nohup", 0, &[]),
    ("nice", 0, &["-n", "--adjustment"]),
    (
        "xargs",
        0,
        &[
            "-n",
            "-I",
            "-P",
            "-L",
            "-s",
            "-d",
            "-E",
            "-a",
            "--max-args",
            "--max-procs",
            "--max-chars",
            "--delimiter",
            "--arg-file",
        ],
    ),
    ("timeout", 1, &["-k", "-s", "--kill-after", "--signal"]),
    (
        "sudo",
        0,
        &[
            "-u", "-g", "-h", "-p", "-C", "-D", "-R", "-T", "-U", "--user", "--group", "--host", "--prompt",
            "--chdir", "--chroot",
        ],
    ),
];
/// Long options of shells whose value is the next word.
const SHELL_OPTIONS_WITH_VALUE: [&str; 2] = ["--rcfile", "--init-file"];
const SHELLS: [&str; 3] = ["bash", "sh", "dash"];
/// Deepest nesting of wrappers and `sh -c`.
const MAX_DEPTH: usize = 8;
/// Above what is named in a command, and by the keys of a step.
const COMMANDS: &str = "Named in the commands.";
const WORKFLOW: &str = "Named by the workflow.";
const POSTGRES_PORT: u16 = 5432;
const HTTPS_PORT: u16 = 443;
const SSH_PORT: u16 = 22;

/// Grants for commands, put into a draft.
pub(super) struct Grants<'d> {
    spec: &'d mut SpecDraft,
    notes: Vec<Note>,
}

impl<'d> Grants<'d> {
    pub(super) fn new(spec: &'d mut SpecDraft) -> Self {
        Self { spec, notes: Vec::new() }
    }

    pub(super) fn finish(self) -> Vec<Note> {
        self.notes
    }

    /// Grants what a script runs and what it redirects to.
    pub(super) fn script(&mut self, step: &str, script: &Script) {
        self.nested(step, script, 0);
    }

    fn nested(&mut self, step: &str, script: &Script, depth: usize) {
        for words in &script.commands {
            self.command(step, words, &script.functions, depth);
        }
        for redirect in &script.redirects {
            if redirect.file.is_open {
                let about = format!("step \"{step}\": a redirection to {}", shown(&redirect.file));
                self.notes.push(Note::left_out(about, "which file it is, is known only when it runs"));
                continue;
            }
            let Some(pattern) = file_pattern(&redirect.file.text) else {
                let about = format!("step \"{step}\": a redirection to `{}`", redirect.file.text);
                self.notes
                    .push(Note::left_out(about, "it leaves the workspace by `..`; name the file in full"));
                continue;
            };
            self.workspace_of(&pattern);
            if redirect.reads || !redirect.writes {
                self.spec.files.read.add_under(COMMANDS, pattern.clone());
            }
            if redirect.writes && !pattern.starts_with("/dev/") {
                self.spec.files.write.add_under(COMMANDS, pattern.clone());
                self.spec.files.create.add_under(COMMANDS, pattern);
            }
        }
    }

    fn command(&mut self, step: &str, words: &[Word], functions: &[String], depth: usize) {
        let Some((name, arguments)) = words.split_first() else { return };
        if name.is_open {
            let about = format!("step \"{step}\": a program named by {}", shown(name));
            self.notes.push(Note::left_out(about, "which one it is, is known only when it runs"));
            return;
        }
        let path = name.text.as_str();
        let short = path.rsplit('/').next().unwrap_or(path);
        if path == short && (functions.contains(&name.text) || WAITING.contains(&short)) {
            return;
        }
        if let Some((_, own, valued)) = WRAPPERS.iter().find(|(wrapper, ..)| *wrapper == short) {
            if !matches!(short, "exec" | "command" | "time") {
                program::grant(self.spec, &mut self.notes, short);
            }
            if depth < MAX_DEPTH {
                self.command(step, wrapped(arguments, *own, valued), functions, depth + 1);
            }
            return;
        }
        if BUILT_IN.contains(&short) {
            return;
        }
        if SHELLS.contains(&short) && self.shell(step, arguments, depth) {
            return;
        }
        // A path in the workspace is a program of the work itself.
        if path.contains('/') && !path.starts_with('/') {
            program::work(self.spec, Work::Run);
            return;
        }
        if path.starts_with('/') && program::known(short).is_none() {
            program::grant(self.spec, &mut self.notes, path);
        } else {
            program::grant(self.spec, &mut self.notes, short);
        }
        self.arguments(short, arguments);
    }

    /// `sh -c SCRIPT` and `sh FILE`.
    fn shell(&mut self, step: &str, arguments: &[Word], depth: usize) -> bool {
        let Some(script) = script_of(arguments) else { return false };
        match super::shell::parse(&script.text) {
            Ok(script) if depth < MAX_DEPTH => self.nested(step, &script, depth + 1),
            Ok(_) | Err(_) => {
                let about = format!("step \"{step}\": a script for {}", shown(script));
                self.notes.push(Note::left_out(about, "it could not be read; grant what it needs by hand"));
            }
        }
        true
    }

    /// Peers that arguments name.
    fn arguments(&mut self, program: &str, arguments: &[Word]) {
        let known = arguments.iter().filter(|word| !word.is_open).map(|word| word.text.as_str());
        for text in known {
            let peer = match program {
                "curl" | "wget" | "git" | "pip" | "pip3" | "npm" | "helm" | "psql" | "pg_dump" => {
                    url_peer(text)
                }
                _ => None,
            };
            let peer = peer.or_else(|| (program == "git").then(|| ssh_peer(text)).flatten());
            if let Some(peer) = peer {
                self.spec.network.connect.add_under(COMMANDS, peer);
            }
        }
        let after = |flag: &str| {
            let at = arguments.iter().position(|word| word.text == flag)?;
            arguments.get(at + 1).filter(|word| !word.is_open).map(|word| word.text.as_str())
        };
        match program {
            "psql" | "pg_dump" | "pg_restore" => {
                if let Some(host) = after("-h").or_else(|| after("--host")).filter(|host| is_host(host)) {
                    let port = after("-p").or_else(|| after("--port")).and_then(|port| port.parse().ok());
                    let peer = program::peer(host, port.unwrap_or(POSTGRES_PORT));
                    self.spec.network.connect.add_under(COMMANDS, peer);
                }
            }
            "curl" | "wget" => {
                let file = after("-o").or_else(|| after("--output")).or_else(|| after("-O"));
                let file = file.filter(|file| !file.starts_with("http") && *file != "-");
                if let Some(pattern) = file.and_then(file_pattern) {
                    self.workspace_of(&pattern);
                    self.spec.files.write.add_under(COMMANDS, pattern.clone());
                    self.spec.files.create.add_under(COMMANDS, pattern);
                }
            }
            _ => {}
        }
    }

    pub(super) fn reads(&mut self, path: &str) -> Result<(), String> {
        let pattern = checked_pattern(path)?;
        self.workspace_of(&pattern);
        self.spec.files.read.add_under(WORKFLOW, pattern.clone());
        self.spec.files.read.add_under(WORKFLOW, format!("{pattern}/**"));
        Ok(())
    }

    pub(super) fn writes(&mut self, path: &str) -> Result<(), String> {
        self.reads(path)?;
        let pattern = checked_pattern(path)?;
        let files = &mut self.spec.files;
        for list in [&mut files.write, &mut files.create, &mut files.delete] {
            list.add_under(WORKFLOW, pattern.clone());
            list.add_under(WORKFLOW, format!("{pattern}/**"));
        }
        Ok(())
    }

    pub(super) fn connects(&mut self, text: &str) -> Result<(), String> {
        let peer = peer_of(text)?;
        self.spec.network.connect.add_under(WORKFLOW, peer);
        Ok(())
    }

    fn workspace_of(&mut self, pattern: &str) {
        if pattern.starts_with(base::WORKSPACE) {
            base::workspace(self.spec);
        }
    }
}

/// Grants what one command line needs, as if a step ran it. Nothing if no shell takes it.
pub(crate) fn granted_by(spec: &mut SpecDraft, command: &str) -> Option<Vec<Note>> {
    let script = super::shell::parse(command).ok()?;
    let mut grants = Grants::new(spec);
    grants.script(command, &script);
    Some(grants.finish())
}

/// A peer as people write it: `host`, `host:port`, an address, or a URL.
pub(crate) fn peer_of(text: &str) -> Result<Peer, String> {
    if let Some(peer) = url_peer(text) {
        return Ok(peer);
    }
    let wrong = || format!("`{text}` is no peer; write host:port, such as api.example.com:443");
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if text.parse::<std::net::Ipv6Addr>().is_err() => {
            (host, port.parse().map_err(|_| wrong())?)
        }
        Some(_) | None => (text, HTTPS_PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if is_host(host) { Ok(program::peer(host, port)) } else { Err(wrong()) }
}

fn is_host(host: &str) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let numeric = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_network = host.parse::<agentguard_core::rule::Network>().is_ok();
    is_network || (!numeric && agentguard_core::address::is_name(name))
}

fn url_peer(text: &str) -> Option<Peer> {
    let url = Url::parse(text).ok().filter(|_| text.contains("://"))?;
    let port = url.port_or_known_default().or(match url.scheme() {
        "ssh" | "git+ssh" => Some(SSH_PORT),
        "postgres" | "postgresql" => Some(POSTGRES_PORT),
        "git" => Some(9418),
        _ => None,
    })?;
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    is_host(&host).then(|| program::peer(&host, port))
}

/// `git@host:path`.
fn ssh_peer(text: &str) -> Option<Peer> {
    let (_, rest) = text.split_once('@')?;
    let (host, _) = rest.split_once(':')?;
    (is_host(host) && !text.contains("://")).then(|| program::peer(host, SSH_PORT))
}

/// The words that a wrapper runs: without its options, settings of the environment and own words.
fn wrapped<'w>(mut arguments: &'w [Word], own: usize, valued: &[&str]) -> &'w [Word] {
    while let Some((word, rest)) = arguments.split_first() {
        let text = word.text.as_str();
        let is_setting = text.split_once('=').is_some_and(|(name, _)| !name.contains('/'));
        arguments = match () {
            () if valued.contains(&text) => rest.get(1..).unwrap_or_default(),
            () if text.starts_with('-') || is_setting => rest,
            () => break,
        };
    }
    arguments.get(own..).unwrap_or_default()
}

/// What a shell runs after `-c`, which may stand among other options, but only before the first word that is none.
fn script_of(mut arguments: &[Word]) -> Option<&Word> {
    let mut takes_script = false;
    while let Some((word, rest)) = arguments.split_first() {
        let text = word.text.as_str();
        let options = text.strip_prefix(['-', '+']).filter(|options| !options.is_empty());
        let Some(options) = options.filter(|_| text != "--") else { break };
        let is_long = text.starts_with("--");
        takes_script |= !is_long && text.starts_with('-') && options.contains('c');
        // The value of `-o` and `-O` is the name of a setting.
        let has_value =
            if is_long { SHELL_OPTIONS_WITH_VALUE.contains(&text) } else { options.contains(['o', 'O']) };
        arguments = if has_value { rest.get(1..).unwrap_or_default() } else { rest };
    }
    let ended = arguments.split_first().filter(|(word, _)| matches!(word.text.as_str(), "-" | "--"));
    ended.map_or(arguments, |(_, rest)| rest).first().filter(|_| takes_script)
}

/// A file as the shell names it, as a pattern: relative ones are in the workspace. None if it goes up by `..`.
fn file_pattern(text: &str) -> Option<String> {
    let (root, rest) = ["${home}", "${workspace}"]
        .into_iter()
        .find_map(|root| text.strip_prefix(root).map(|rest| (root, rest)))
        .unwrap_or_else(|| if text.starts_with('/') { ("", text) } else { (base::WORKSPACE, text) });
    let parts: Vec<&str> = rest.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return None;
    }
    let below: String = parts.iter().map(|part| format!("/{}", Pattern::escape(part))).collect();
    Some(if below.is_empty() && root.is_empty() { "/".to_owned() } else { format!("{root}{below}") })
}

/// A file or directory as people name it in a file of this tool's own.
pub(crate) fn checked_pattern(path: &str) -> Result<String, String> {
    let expanded = path.strip_prefix('~').map_or_else(|| path.to_owned(), |rest| format!("${{home}}{rest}"));
    let usable = !path.is_empty() && !path.contains(char::is_control);
    let pattern = file_pattern(&expanded).filter(|pattern| usable && pattern != "/");
    pattern.ok_or_else(|| {
        format!("`{path}` is no file or directory that can be granted; name one below `/`, without `..`")
    })
}

/// Whether a name has an ending, as directories seldom have.
pub(crate) fn is_like_a_file(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, ending)| !stem.is_empty() && !ending.is_empty())
}

fn shown(word: &Word) -> String {
    if word.text.is_empty() { "a variable".to_owned() } else { format!("`{}` and a variable", word.text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentguard_core::spec::Role;

    fn programs(command: &str) -> Vec<String> {
        let mut spec = SpecDraft::new(Role::Analysis);
        granted_by(&mut spec, command).expect(command);
        spec.exec.allow.iter().map(|entry| entry.value.path.clone()).collect()
    }

    #[test]
    fn what_a_wrapper_runs_is_granted_too() {
        for (command, wanted) in [
            ("timeout -k 5 30 jq .", "/usr/bin/jq"),
            ("sudo -u postgres wc x", "/usr/bin/wc"),
            ("env -i A=b wc x", "/usr/bin/wc"),
            ("ls | xargs -n 1 wc", "/usr/bin/wc"),
            ("bash -ec 'cd x && wc y'", "/usr/bin/wc"),
            ("bash --norc -euo pipefail -c 'wc y' name", "/usr/bin/wc"),
            ("sh -c -- 'wc y'", "/usr/bin/wc"),
            ("sudo -n wc x", "/usr/bin/wc"),
            ("sudo -n -g wheel env -u A wc x", "/usr/bin/wc"),
            ("exec /opt/tool/bin/run", "/opt/tool/bin/run"),
            ("./build.sh", "${workspace}/**"),
        ] {
            assert!(
                programs(command).iter().any(|path| path == wanted),
                "{command}: {:?}",
                programs(command)
            );
        }
        for command in ["bash deploy.sh --sync wc", "bash deploy.sh -c wc", "bash --sync wc"] {
            assert!(!programs(command).iter().any(|path| path == "/usr/bin/wc"), "{command}");
        }
        assert!(programs("cd x; f() { :; }; f; export A=b; wait").is_empty());
    }

    #[test]
    fn peers_are_read_as_people_write_them() {
        for (text, to, port) in [
            ("api.example.com", "api.example.com", 443),
            ("api.example.com:8443", "api.example.com", 8443),
            ("*.example.com", "*.example.com", 443),
            ("10.0.0.0/8:5432", "10.0.0.0/8", 5432),
            ("[::1]:80", "::1", 80),
            ("::1", "::1", 443),
            ("http://example.com/x", "example.com", 80),
            ("postgres://u:p@db/x", "db", 5432),
        ] {
            let peer = peer_of(text).expect(text);
            assert_eq!((peer.to.as_str(), peer.ports.as_slice()), (to, [(port, port)].as_slice()), "{text}");
        }
        for text in ["", "a b", "1.2.3", "a:b", "http://", "*"] {
            assert!(peer_of(text).is_err(), "{text}");
        }
    }
}
