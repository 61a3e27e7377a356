//! The permissions of Claude Code's `settings.json` as a spec: what may be done without asking is granted, what is
//! asked about is held for a person, what is denied is denied.
//!
//! In Claude Code a denial always wins, and a question wins over what is allowed. Here the more specific rule wins, so
//! [`stricter`] holds what is granted against what is denied and asked about.

use agentguard_core::pattern::Pattern;
use agentguard_core::rule::Protocol;
use agentguard_core::spec::{Peer, Role};
use serde::Deserialize;

use super::glob;
use super::rule::{self, Rule};
use super::stricter::{self, COVERED, DENIED, DIRECTORIES, RULES};
use crate::draft::Note;
use crate::program::{self, Work};
use crate::{AuthoringError, Draft, Identity, List, Source, SpecDraft, base, workflow};

const OWN: &str = "Claude Code itself.";

#[derive(Debug, Deserialize)]
pub(super) struct Settings {
    pub(super) permissions: Permissions,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Permissions {
    allow: Vec<String>,
    ask: Vec<String>,
    deny: Vec<String>,
    #[serde(rename = "additionalDirectories")]
    directories: Vec<String>,
    #[serde(rename = "defaultMode")]
    mode: Option<String>,
}

/// What a list of rules says; the greatest comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Allow,
    Ask,
    Deny,
}

/// What rules without a specifier say: nothing that the tool does is answered less strictly.
struct Whole {
    read: Answer,
    edit: Answer,
    fetch: Answer,
}

pub(super) fn draft(
    source: Source<'_>,
    permissions: &Permissions,
    identity: &Identity,
) -> Result<Draft, AuthoringError> {
    let whole = Whole { read: Answer::Allow, edit: Answer::Allow, fetch: Answer::Allow };
    let mut maker = Maker { spec: SpecDraft::new(Role::Ideation), notes: Vec::new(), whole };
    maker.spec.head = vec![
        format!("Made of the permissions in {}.", source.file),
        "Allowed is granted, asked is held for a person, denied is denied. Of a command that is allowed, the program is".to_owned(),
        "granted with any arguments: what must not run is written in commands_hold and commands_deny.".to_owned(),
    ];
    maker.spec.anatomy.inputs = vec!["repository".to_owned(), "prompts".to_owned()];
    base::grant(&mut maker.spec);
    maker.own();
    maker.mode(permissions.mode.as_deref());
    // First what is denied and asked about: it says what may not be granted.
    for (answer, rules) in [
        (Answer::Deny, &permissions.deny),
        (Answer::Ask, &permissions.ask),
        (Answer::Allow, &permissions.allow),
    ] {
        rules.iter().for_each(|text| maker.remember(answer, text));
        rules.iter().for_each(|text| maker.rule(answer, text));
    }
    permissions.directories.iter().for_each(|directory| maker.directory(directory));
    stricter::files(&mut maker.spec.files, &mut maker.notes);
    stricter::peers(&mut maker.spec.network, &mut maker.notes);
    maker.spec.finish(identity, maker.notes)
}

struct Maker {
    spec: SpecDraft,
    notes: Vec<Note>,
    whole: Whole,
}

impl Maker {
    /// What Claude Code needs to run at all.
    fn own(&mut self) {
        for path in [
            "/usr/bin/{node,claude}",
            "/usr/local/bin/{node,claude}",
            "${home}/.local/bin/claude",
            "${home}/.local/share/claude/**",
        ] {
            self.spec.run(OWN, path);
        }
        self.spec.files.read.add_under(OWN, "${home}/.local/share/claude/**");
        self.spec.exec.anonymous = Some(agentguard_core::verdict::Verdict::Allow);
        self.spec.change_tree(OWN, "${home}/.claude");
        let files = &mut self.spec.files;
        for list in [&mut files.read, &mut files.write, &mut files.create, &mut files.delete] {
            list.add_under(OWN, "${home}/.claude.json*");
        }
        program::temporary(&mut self.spec);
        self.spec.network.connect.add_under(OWN, program::peer("api.anthropic.com", 443));
        program::work(&mut self.spec, Work::Read);
    }

    fn mode(&mut self, mode: Option<&str>) {
        match mode {
            None | Some("default" | "plan" | "dontAsk" | "auto") => {}
            Some("acceptEdits") => program::work(&mut self.spec, Work::Change),
            Some(mode) => {
                let why = "only what the rules name is granted, whatever mode Claude Code runs in";
                self.notes.push(Note::left_out(format!("permissions.defaultMode {mode}"), why));
            }
        }
    }

    /// Remembers a rule that is about everything that its tool does.
    fn remember(&mut self, answer: Answer, text: &str) {
        let said = match rule::parse(text) {
            Rule::Read(None) => &mut self.whole.read,
            Rule::Edit(None) => &mut self.whole.edit,
            Rule::Fetch(None) => &mut self.whole.fetch,
            Rule::Command(_) | Rule::Read(_) | Rule::Edit(_) | Rule::Fetch(_) | Rule::Other(_) => return,
        };
        *said = answer.max(*said);
    }

    fn rule(&mut self, answer: Answer, text: &str) {
        match rule::parse(text) {
            Rule::Command(specifier) => self.command(answer, text, specifier),
            Rule::Read(path) => self.files(answer, text, path, false),
            Rule::Edit(path) => self.files(answer, text, path, true),
            Rule::Fetch(domain) => self.fetch(answer, text, domain),
            Rule::Other(why) => self.left_out(answer, text, why),
        }
    }

    fn left_out(&mut self, answer: Answer, text: &str, why: &str) {
        let list = match answer {
            Answer::Deny => "deny",
            Answer::Ask => "ask",
            Answer::Allow => "allow",
        };
        self.notes.push(Note::left_out(format!("{list} {text}"), why));
    }

    fn command(&mut self, answer: Answer, text: &str, specifier: Option<&str>) {
        let lines = specifier.map_or_else(|| vec!["*".to_owned()], rule::command_lines);
        let exec = &mut self.spec.exec;
        match answer {
            Answer::Deny => return lines.into_iter().for_each(|line| exec.commands_deny.add(line)),
            Answer::Ask if lines.iter().any(|line| stricter::wins_over_denied(line, &exec.commands_deny)) => {
                lines.into_iter().for_each(|line| exec.commands_deny.add(line));
                return self.notes.push(Note::unsure(format!("ask {text}"), DENIED));
            }
            Answer::Ask => lines.into_iter().for_each(|line| exec.commands_hold.add(line)),
            Answer::Allow => {}
        }
        let Some(specifier) = specifier else {
            return self.left_out(
                answer,
                text,
                "every program of the host is more than a spec should grant; name them",
            );
        };
        let command = specifier.strip_suffix(":*").unwrap_or(specifier).replace('*', " ");
        match workflow::granted_by(&mut self.spec, &command) {
            Some(notes) => self.notes.extend(notes),
            None => {
                return self.left_out(
                    answer,
                    text,
                    "no shell takes this command; grant the program in exec.allow",
                );
            }
        }
        if answer == Answer::Allow && command.trim().contains(' ') {
            let program = command.split_whitespace().next().unwrap_or_default();
            let why = "the program runs with any arguments; hold or deny those that must not run";
            self.notes.push(Note::unsure(format!("exec.allow {program}"), why));
        }
    }

    fn files(&mut self, answer: Answer, text: &str, path: Option<&str>, edits: bool) {
        let patterns = match glob::patterns(path.unwrap_or("**")) {
            Ok(patterns) => patterns,
            Err(why) => return self.left_out(answer, text, why),
        };
        let whole = if edits { self.whole.edit.max(self.whole.read) } else { self.whole.read };
        if whole == Answer::Deny && answer != Answer::Deny {
            return self.left_out(answer, text, COVERED);
        }
        let answer = answer.max(whole);
        if patterns.iter().any(|pattern| pattern.starts_with(base::WORKSPACE)) {
            base::workspace(&mut self.spec);
        }
        for pattern in patterns {
            // A denial of a name is also one of a directory of that name; a grant of a file is not.
            if answer == Answer::Allow && is_below_a_file(&pattern) {
                continue;
            }
            let files = &mut self.spec.files;
            match answer {
                Answer::Deny => files.deny.add(pattern),
                Answer::Ask => files.hold.add(pattern),
                Answer::Allow if covered(files, &pattern) => {
                    self.left_out(answer, text, COVERED);
                }
                Answer::Allow if edits => {
                    for list in [&mut files.read, &mut files.write, &mut files.create, &mut files.delete] {
                        list.add_under(RULES, pattern.clone());
                    }
                }
                Answer::Allow => files.read.add_under(RULES, pattern),
            }
        }
        if edits && answer != Answer::Allow {
            let why = "a spec denies and holds every operation on a file, reading too";
            self.notes.push(Note::unsure(text, why));
        }
    }

    fn fetch(&mut self, answer: Answer, text: &str, domain: Option<&str>) {
        let Some(domain) = domain else {
            let why = "every host is more than a spec should name; what is not granted is denied";
            return self.left_out(answer, text, why);
        };
        // In lower case and without a last dot, as names are compared.
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        let Ok(peer) = workflow::peer_of(&domain) else {
            return self.left_out(answer, text, "this is no name of a host; write domain:example.com");
        };
        let network = &mut self.spec.network;
        let covers =
            |list: &List<Peer>| list.iter().any(|entry| stricter::peer_covers(&entry.value.to, &peer.to));
        let denied = self.whole.fetch == Answer::Deny || covers(&network.deny);
        let held = answer == Answer::Allow && covers(&network.hold);
        if answer != Answer::Deny && (denied || held) {
            return self.left_out(answer, text, COVERED);
        }
        match answer.max(self.whole.fetch) {
            // A denied name takes no ports.
            Answer::Deny => {
                network.deny.add(Peer { to: peer.to, ports: Vec::new(), protocol: Protocol::Any })
            }
            Answer::Ask => network.hold.add(peer),
            Answer::Allow => network.connect.add_under(RULES, peer),
        }
    }

    fn directory(&mut self, text: &str) {
        let path = text.strip_prefix("../").map_or(text, |_| "..");
        let about = || format!("permissions.additionalDirectories {text}");
        match workflow::checked_pattern(path) {
            Ok(pattern) => {
                let below = format!("{pattern}/**");
                if self.whole.read == Answer::Deny || covered(&self.spec.files, &below) {
                    return self.notes.push(Note::left_out(about(), COVERED));
                }
                if self.whole.read == Answer::Ask {
                    return [pattern, below].into_iter().for_each(|path| self.spec.files.hold.add(path));
                }
                self.spec.read_tree(DIRECTORIES, &pattern);
                self.notes.push(Note::unsure(
                    format!("files.read {pattern}"),
                    "granted for reading; add write if it is edited",
                ));
            }
            Err(_) => {
                self.notes.push(Note::left_out(
                    about(),
                    "where it is depends on where Claude Code starts; write the whole path",
                ));
            }
        }
    }
}

/// Whether this stands for what is below something that is named like a file.
fn is_below_a_file(pattern: &str) -> bool {
    let name = pattern.strip_suffix("/**").and_then(|path| path.rsplit('/').next());
    name.is_some_and(workflow::is_like_a_file)
}

/// Whether what is denied or held already speaks about this pattern.
fn covered(files: &crate::FilesPart, pattern: &str) -> bool {
    let text = glob::with_roots(pattern);
    files.deny.iter().chain(files.hold.iter()).any(|entry| {
        Pattern::parse(&glob::with_roots(&entry.value))
            .is_ok_and(|stricter| stricter.matches(text.as_bytes()))
    })
}
