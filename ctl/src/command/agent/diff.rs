//! `agent diff`: how two specs of an agent differ, line by line, and whether that is a difference for its proof.

use std::path::{Path, PathBuf};

use agentguard_api::v1::AgentRevisionRequest;
use agentguard_core::spec::Spec;
use clap::Args;
use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen, Tone, printable, printable_line};
use crate::spec_text::SpecText;

/// Lines around a change.
const CONTEXT: usize = 3;

/// What was typed after `agent diff`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The agent
    name: String,
    /// Revision to compare; otherwise the one before the other
    #[arg(long, value_name = "REV", value_parser = clap::value_parser!(u32).range(1..))]
    from: Option<u32>,
    /// Revision to compare it with; otherwise the newest
    #[arg(long, value_name = "REV", value_parser = clap::value_parser!(u32).range(1..))]
    to: Option<u32>,
    /// Compare with this file instead of another revision; --from is then the newest
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    with: Option<PathBuf>,
}

/// A spec, and what its proof would be over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Side {
    /// `coder, revision 2`, or a file.
    label: String,
    #[serde(skip)]
    text: String,
    /// Absent if it cannot be read as a spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    from: &'a Side,
    to: &'a Side,
    /// A proof of the one is no proof of the other.
    hash_differs: bool,
    diff: String,
}

impl Side {
    fn new(label: String, text: String) -> Self {
        let sha256 = Spec::parse(&text, Path::new(&label)).ok().map(|spec| spec.sha256());
        Self { label, text, sha256 }
    }

    fn of_revision(name: &str, revision: u32, daemon: &mut Daemon) -> Result<Self, Failure> {
        let request = AgentRevisionRequest { name: name.to_owned(), revision };
        let text = daemon.call(async |client| client.agent_revision(request).await)?;
        let label = if revision == 0 { "newest".to_owned() } else { revision.to_string() };
        Ok(Self::new(format!("{name}, revision {label}"), text))
    }
}

pub(super) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let name = &arguments.name;
    let (from, to) = match &arguments.with {
        Some(file) => {
            let SpecText { file, text } = SpecText::read(file)?;
            (Side::of_revision(name, arguments.from.unwrap_or(0), daemon)?, Side::new(file, text))
        }
        None => {
            let (from, to) = revisions(arguments, daemon)?;
            (Side::of_revision(name, from, daemon)?, Side::of_revision(name, to, daemon)?)
        }
    };
    match screen.format() {
        Format::Table => show(screen, &from, &to)?,
        Format::Json | Format::Ndjson => screen.document(&Document {
            diff: unified(&from, &to),
            hash_differs: hash_differs(&from, &to),
            from: &from,
            to: &to,
        })?,
    }
    Ok(Outcome::of(from.text == to.text))
}

/// Which two: as typed, else the last two.
fn revisions(arguments: &Arguments, daemon: &mut Daemon) -> Result<(u32, u32), Failure> {
    let to = match arguments.to {
        Some(to) => to,
        None => super::show::ask(&arguments.name, daemon)?.agent.revision,
    };
    match arguments.from.unwrap_or(to.saturating_sub(1)) {
        0 => Err(Failure::Usage(format!(
            "{} has no spec before revision {to}; compare with a file: --with FILE",
            printable(&arguments.name)
        ))),
        from => Ok((from, to)),
    }
}

/// What cannot be read has no proof either.
fn hash_differs(from: &Side, to: &Side) -> bool {
    from.sha256.is_none() || from.sha256 != to.sha256
}

fn unified(from: &Side, to: &Side) -> String {
    let diff = TextDiff::from_lines(&from.text, &to.text);
    diff.unified_diff().context_radius(CONTEXT).header(&from.label, &to.label).to_string()
}

fn show(screen: &mut Screen<'_>, from: &Side, to: &Side) -> Result<(), Failure> {
    let diff = TextDiff::from_lines(&from.text, &to.text);
    if from.text != to.text {
        screen.line(screen.paint(Tone::Strong, &format!("--- {}", printable(&from.label))))?;
        screen.line(screen.paint(Tone::Strong, &format!("+++ {}", printable(&to.label))))?;
    }
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        screen.line(screen.paint(Tone::Dim, &hunk.header().to_string()))?;
        for change in hunk.iter_changes() {
            let (sign, tone) = match change.tag() {
                ChangeTag::Delete => ('-', Tone::Bad),
                ChangeTag::Insert => ('+', Tone::Good),
                ChangeTag::Equal => (' ', Tone::Plain),
            };
            let line = change.value().trim_end_matches(['\n', '\r']);
            screen.line(screen.paint(tone, &format!("{sign}{}", printable_line(line))))?;
        }
    }
    let words = match (hash_differs(from, to), from.text == to.text) {
        (_, true) => "no difference".to_owned(),
        (false, false) => "hash: the same; a proof of one is a proof of the other".to_owned(),
        (true, false) => {
            let hash = |side: &Side| {
                side.sha256.as_deref().map_or_else(|| "none".to_owned(), crate::standing::short)
            };
            format!("hash: {} -> {}; the agent has to be promoted again", hash(from), hash(to))
        }
    };
    screen.line(words)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[agent]\nname = \"coder\"\ndescription = \"x\"\nrole = \"ideation\"\ntier = 2\nmode = \"enforce\"\n\n";

    fn side(label: &str, rest: &str) -> Side {
        Side::new(label.to_owned(), format!("{HEAD}{rest}"))
    }

    fn text(from: &Side, to: &Side) -> String {
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 100), from, to).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_new_grant_is_a_line_and_another_hash() {
        let from = side("coder, revision 1", "[files]\ndefault = \"deny\"\nread = [\"/srv/**\"]\n");
        let to =
            side("coder, revision 2", "[files]\ndefault = \"deny\"\nread = [\"/srv/**\", \"/opt/**\"]\n");
        insta::assert_snapshot!(text(&from, &to));
    }

    #[test]
    fn a_comment_leaves_the_hash_as_it_is() {
        let (from, to) = (side("a", ""), side("b", "# for people\n"));
        assert!(!hash_differs(&from, &to));
        assert!(text(&from, &to).ends_with("hash: the same; a proof of one is a proof of the other\n"));
        assert_eq!(text(&from, &from), "no difference\n");
    }

    #[test]
    fn the_document_has_a_diff_that_patch_takes() {
        let (from, to) = (side("a", ""), side("b", "[files]\n"));
        assert!(unified(&from, &to).starts_with("--- a\n+++ b\n@@ -"));
    }
}
