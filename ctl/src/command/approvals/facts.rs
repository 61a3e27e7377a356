//! What a person should know of an approval before answering, line by line, for `show` and for `watch`. Decides nothing
//! about how it is laid out.
//!
//! Most of it is the agent's own words. The command line that is to start is never cut: what is not shown would be
//! approved unread. What only surrounds it is.

use std::time::Duration;

use agentguard_api::report::ApprovalView;
use agentguard_core::approval::{Reuse, State, Vote};
use agentguard_core::held::Ancestor;
use agentguard_core::record::{Object, Record};

use crate::describe;
use crate::moment;
use crate::screen::{Tone, cut, printable, quoted};

/// Characters shown of the command line of the process that asks.
const COMMAND_SHOWN: usize = 1000;

/// Characters shown of the command line of a process above it.
const ANCESTOR_SHOWN: usize = 160;

/// Width of the names.
pub(super) const NAME_WIDTH: usize = 12;

/// One line; a line without a name goes on with the one before.
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) words: String,
    pub(super) tone: Tone,
}

/// Everything about one of them, what matters most first. Every text is safe for a terminal.
pub(super) fn facts(one: &ApprovalView) -> Vec<Fact> {
    let record = &one.record;
    let asker = &one.asker.process;
    let mut facts = Facts(Vec::new());
    facts.add("asks", Tone::Strong, asked(record));
    facts.plain("  sha256", printable(&one.asker.sha256));
    if let Object::Exec { cwd, argv, truncated, .. } = &record.object {
        facts.add("command", Tone::Strong, command_line(argv));
        if *truncated {
            facts.add(
                "",
                Tone::Warn,
                "... and more: the command line is longer than what agentd keeps".to_owned(),
            );
        }
        facts.plain("in", quoted_unless_empty(cwd));
    }
    facts.plain("why", printable(&one.reason));
    facts.plain("severity", describe::severity(one.severity).to_owned());
    facts.plain("agent", printable(&record.agent.0));
    let of_whom = if one.needed > 1 { " of different people" } else { "" };
    facts.plain("needs", describe::count(u32::from(one.needed), "approval") + of_whom);
    for vote in &one.votes {
        facts.add("answer", if vote.allow { Tone::Good } else { Tone::Bad }, answer(one.state, vote));
    }
    facts.plain("process", format!("{}, uid {}", describe::process(&record.process), record.process.uid));
    facts.plain("program", record.process.exe.as_deref().map(quoted_unless_empty).unwrap_or_default());
    facts.plain("  sha256", printable(&asker.sha256));
    facts.plain("runs as", cut(&command_line(&asker.argv), COMMAND_SHOWN));
    facts.plain("directory", quoted_unless_empty(&asker.cwd));
    for (depth, ancestor) in one.asker.lineage.iter().enumerate() {
        facts.plain(if depth == 0 { "parents" } else { "" }, of_ancestor(ancestor));
    }
    let rule = record.decision.rule.as_deref().map_or_else(|| "default of the spec".to_owned(), printable);
    facts.plain("rule", rule);
    facts.plain("policy", one.decided_by.as_deref().map(printable).unwrap_or_default());
    facts.plain("since", moment::precise(one.asked_ns));
    facts.plain("deadline", moment::precise(one.deadline_ns));
    facts.add("fingerprint", Tone::Dim, printable(&one.sha256));
    facts.0
}

/// What is asked for, in one line. A program goes by its path and not by the name it is given.
pub(super) fn asked(record: &Record) -> String {
    match &record.object {
        Object::Exec { path, .. } | Object::File { path, other: None, .. } => {
            format!("{} {}", record.call, quoted(path))
        }
        Object::File { path, other: Some(other), .. } => {
            format!("{} {} -> {}", record.call, quoted(path), quoted(other))
        }
        _ => format!("{} {}", record.call, describe::object(record)),
    }
}

/// The same with the arguments of a program, for a table.
pub(super) fn in_short(record: &Record) -> String {
    match &record.object {
        Object::Exec { argv, .. } => {
            let arguments: Vec<_> = argv.iter().skip(1).map(|word| quoted(word)).collect();
            [&[asked(record)][..], &arguments].concat().join(" ")
        }
        _ => asked(record),
    }
}

/// What an answer came to.
pub(super) fn outcome(answered: &ApprovalView) -> String {
    let yes = answered.votes.iter().filter(|vote| vote.allow).count();
    let missing = usize::from(answered.needed).saturating_sub(yes);
    match answered.state {
        State::Pending => format!("{} waits for {missing} more approval", answered.id),
        state => format!("{} {}", answered.id, state.name()),
    }
}

/// One person's answer.
pub(super) fn answer(state: State, vote: &Vote) -> String {
    let yes = match state {
        _ if vote.allow => "approved",
        State::Revoked => "taken back",
        _ => "denied",
    };
    let far = match vote.reuse {
        Reuse::Once => String::new(),
        Reuse::Seconds(seconds) => format!(", for {}", moment::span(Duration::from_secs(seconds.into()))),
        Reuse::Session => ", for this session".to_owned(),
    };
    let because =
        if vote.because.is_empty() { String::new() } else { format!(": {}", printable(&vote.because)) };
    format!("{yes} by {}{far}{because}", printable(&vote.by))
}

/// Arguments, each apart from the next.
fn command_line(argv: &[String]) -> String {
    argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

fn of_ancestor(ancestor: &Ancestor) -> String {
    let command = if ancestor.argv.is_empty() { quoted(&ancestor.exe) } else { command_line(&ancestor.argv) };
    format!("{} {}", ancestor.pid, cut(&command, ANCESTOR_SHOWN))
}

fn quoted_unless_empty(words: &str) -> String {
    if words.is_empty() { String::new() } else { quoted(words) }
}

struct Facts(Vec<Fact>);

impl Facts {
    /// What is not known has no line.
    fn add(&mut self, name: &'static str, tone: Tone, words: String) {
        if !words.is_empty() {
            self.0.push(Fact { name, words, tone });
        }
    }

    fn plain(&mut self, name: &'static str, words: String) {
        self.add(name, Tone::Plain, words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_program_goes_by_its_path_whatever_it_is_called() {
        let mut record = samples::exec(1);
        if let Object::Exec { path, .. } = &mut record.object {
            *path = "/tmp/evil".to_owned();
        }
        assert_eq!(in_short(&record), r#"exec /tmp/evil commit -m "two\nlines""#);
    }

    #[test]
    fn arguments_are_apart_from_each_other() {
        let argv = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert_eq!(command_line(&argv(&["sh", "-c", "rm -rf /"])), r#"sh -c "rm -rf /""#);
        assert_eq!(command_line(&argv(&["sh", "-c rm", ""])), r#"sh "-c rm" """#);
    }

    #[test]
    fn a_command_line_that_is_to_start_is_never_cut() {
        let mut approval = samples::held_exec(1);
        if let Object::Exec { argv, .. } = &mut approval.record.object {
            argv.push("x".repeat(4096));
        }
        assert!(facts(&approval).iter().any(|fact| fact.words.ends_with(&"x".repeat(4096))));
    }
}
