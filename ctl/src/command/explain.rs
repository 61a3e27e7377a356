//! `explain`: the story of one record, by incident id or number: who, what, why, where that is written, and how to
//! allow it. agentd tells it; this only lays it out.

use std::io;

use agentguard_api::report::{Ancestor, Explanation, LayerView, Remedy};
use agentguard_core::rule::Source;
use agentguard_core::verdict::Layer;
use clap::Args;

use crate::daemon::Daemon;
use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::moment;
use crate::screen::{Format, Screen, Tone, cut, printable};

/// Ancestors shown; the chain up to PID 1 is rarely of interest.
const LINEAGE_SHOWN: usize = 8;

/// Characters of a command line that are shown.
const COMMAND_SHOWN: usize = 90;

/// What was typed after `explain`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Incident id, or number of a record
    id: String,
}

/// Asks for the story and tells it.
pub(crate) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let explanation = daemon.call(async |client| client.explain(&arguments.id).await)?;
    match screen.format() {
        Format::Table => show(screen, &explanation)?,
        Format::Json | Format::Ndjson => screen.document(&explanation)?,
    }
    Ok(Outcome::Done)
}

fn show(screen: &mut Screen<'_>, explanation: &Explanation) -> io::Result<()> {
    let record = &explanation.record;
    let decision = &record.decision;
    let title = match &record.incident {
        Some(incident) => format!("Incident {incident}"),
        None => format!("Record {}", record.seq),
    };
    let verdict = screen.paint(describe::tone(decision), &describe::verdict(decision));
    let title = screen.paint(Tone::Strong, &title);
    let what = format!("{} {}", record.call, describe::object(record));
    screen.line(format!("{title}  {}  {verdict}  {what}", moment::precise(record.time_ns)))?;
    screen.line("")?;
    for sentence in &explanation.story {
        screen.line(printable(sentence))?;
    }

    for (depth, ancestor) in explanation.lineage.iter().take(LINEAGE_SHOWN).enumerate() {
        let words = format!("{}{}", "  ".repeat(depth), cut(&ancestor_words(ancestor), COMMAND_SHOWN));
        if depth == 0 {
            section(screen, "Who", &words)?;
        } else {
            indented(screen, &words)?;
        }
    }
    layers(screen, &explanation.layers)?;
    remedy(screen, &explanation.remedy)
}

/// The layers of a decision, the deciding one not being marked: it is the stricter.
pub(super) fn layers(screen: &mut Screen<'_>, layers: &[LayerView]) -> io::Result<()> {
    for (number, layer) in layers.iter().enumerate() {
        let verdict = screen.paint(Tone::of(layer.verdict), layer.verdict.name());
        let words = format!("{:<9} {verdict}  {}", layer_name(layer.layer), layer_words(layer));
        if number == 0 {
            section(screen, "Layers", &words)?;
        } else {
            indented(screen, &words)?;
        }
        if let Some(source) = &layer.source {
            indented(screen, &format!("          {}", source_words(source)))?;
        }
    }
    Ok(())
}

/// How it could be allowed.
pub(super) fn remedy(screen: &mut Screen<'_>, remedy: &Remedy) -> io::Result<()> {
    section(screen, "To allow", &remedy.text)?;
    for line in remedy.spec.iter().flat_map(|spec| spec.lines()) {
        indented(screen, &format!("  {line}"))?;
    }
    Ok(())
}

/// A headline, and its first words beside it.
pub(super) fn section(screen: &mut Screen<'_>, name: &str, words: &str) -> io::Result<()> {
    screen.line("")?;
    screen.line(format!("{} {words}", screen.paint(Tone::Dim, &format!("{name:<9}"))))
}

fn indented(screen: &mut Screen<'_>, words: &str) -> io::Result<()> {
    screen.line(format!("          {words}"))
}

fn layer_words(layer: &LayerView) -> String {
    let rule = layer.rule.as_deref().unwrap_or("no rule matches: the default");
    let severity =
        layer.severity.map(|severity| format!(" {}", describe::severity(severity))).unwrap_or_default();
    let reason = layer.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{rule}{severity}{reason}")
}

pub(super) const fn layer_name(layer: Layer) -> &'static str {
    match layer {
        Layer::Default => "default",
        Layer::Grant => "grant",
        Layer::Guardrail => "guardrail",
    }
}

pub(super) fn source_words(source: &Source) -> String {
    format!("{}:{}", source.file.display(), source.line)
}

fn ancestor_words(ancestor: &Ancestor) -> String {
    let command = if ancestor.argv.is_empty() {
        ancestor.exe.clone().unwrap_or_else(|| "?".to_owned())
    } else {
        ancestor.argv.join(" ")
    };
    format!("{} {}", ancestor.pid, printable(&command))
}

#[cfg(test)]
mod tests {
    use agentguard_core::verdict::Verdict;

    use super::*;
    use crate::samples::denied_open;

    fn ancestor(pid: u32, argv: &[&str]) -> Ancestor {
        let argv = argv.iter().map(|&word| word.to_owned()).collect();
        Ancestor { pid, start_ns: 0, uid: 1000, exe: Some("/bin/x".to_owned()), argv }
    }

    #[test]
    fn a_denial_reads_as_a_story() {
        let record = denied_open(7);
        let source = record.decision.source.clone();
        let explanation = Explanation {
            lineage: vec![
                ancestor(4242, &["cat", "/home/dev/.ssh/id_ed25519"]),
                ancestor(4000, &["bash", "-i"]),
                ancestor(1, &[]),
            ],
            rule: None,
            layers: vec![
                LayerView {
                    layer: Layer::Guardrail,
                    verdict: Verdict::Deny,
                    rule: record.decision.rule.clone(),
                    reason: Some(record.decision.message.clone()),
                    severity: record.decision.severity,
                    source,
                },
                LayerView {
                    layer: Layer::Default,
                    verdict: Verdict::Deny,
                    rule: None,
                    reason: None,
                    severity: None,
                    source: None,
                },
            ],
            story: vec!["cat wanted to read a private key of user dev and was stopped.".to_owned()],
            remedy: Remedy {
                possible: false,
                text: "no spec can allow it: change the policy".to_owned(),
                spec: Some("[files]\nread = [\"/home/dev/.ssh/id_ed25519\"]".to_owned()),
            },
            record,
        };
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 110), &explanation).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
