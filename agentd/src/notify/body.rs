//! What a receiver reads. Words of agents are shown as text and never do anything: no link, no mention, no format.

use std::time::{Duration, UNIX_EPOCH};

use agentguard_api::report::ApprovalView;
use agentguard_core::approval::State;
use agentguard_core::record::{Object, Record};
use serde::Serialize;
use serde_json::json;

use super::Event;
use crate::act;
use crate::config::notify::Format;

/// Characters that Slack takes in a header, and in a text (less than its 3000: not all of them are ours).
const MAX_HEADER: usize = 150;
const MAX_TEXT: usize = 2900;

#[derive(Serialize)]
struct Json<'a> {
    event: Event,
    host: &'a str,
    approval: &'a ApprovalView,
}

pub(super) fn write(
    format: Format,
    host: &str,
    event: Event,
    view: &ApprovalView,
) -> serde_json::Result<Vec<u8>> {
    match format {
        Format::Json => serde_json::to_vec(&Json { event, host, approval: view }),
        Format::Slack => serde_json::to_vec(&slack(host, event, view)),
    }
}

/// Words of agents only stand in blocks of `plain_text`, which has no mark-up.
fn slack(host: &str, event: Event, view: &ApprovalView) -> serde_json::Value {
    let plain =
        |words: &str, room| json!({"type": "plain_text", "emoji": false, "text": escaped(words, room)});
    let section = |text: serde_json::Value| json!({"type": "section", "text": text});
    let marked = |words: String| json!({"type": "mrkdwn", "text": words});
    let headline = format!("{}: {} {}", view.severity.name(), view.record.agent, became(event, view.state));
    let mut blocks = vec![
        json!({"type": "header", "text": plain(&headline, MAX_HEADER)}),
        section(plain(&format!("asks: {}", request(&view.record)), MAX_TEXT)),
        section(plain(&format!("why: {}", view.reason), MAX_TEXT)),
    ];
    if let (Event::Settled, Some(vote)) = (event, view.votes.last()) {
        let because = if vote.because.is_empty() { String::new() } else { format!(": {}", vote.because) };
        blocks.push(section(plain(&format!("answer: {}{because}", vote.by), MAX_TEXT)));
    }
    blocks.push(json!({"type": "section", "fields": [
        marked(format!("*Deadline*\n{}", moment(view.deadline_ns))),
        marked(format!("*Host*\n{}", escaped(host, MAX_HEADER))),
    ]}));
    let id = escaped(&view.id.0, MAX_HEADER);
    blocks.push(section(marked(format!("`agentctl approvals show {id}`"))));
    json!({"text": escaped(&headline, MAX_TEXT), "blocks": blocks})
}

const fn became(event: Event, state: State) -> &'static str {
    match (event, state) {
        (Event::Asked, _) | (Event::Settled, State::Pending) => "waits for a person",
        (Event::Settled, State::Approved) => "was approved",
        (Event::Settled, State::Denied) => "was denied",
        (Event::Settled, State::Expired) => "was denied: nobody answered in time",
        (Event::Settled, State::Withdrawn) => "waits no more: the task is gone",
        (Event::Settled, State::Revoked) => "was approved, and that is taken back",
    }
}

fn request(record: &Record) -> String {
    let object = match &record.object {
        Object::File { path, other: Some(other), .. } => format!("{path} -> {other}"),
        Object::Exec { path, argv, .. } if !argv.is_empty() => format!("{path} ({})", argv.join(" ")),
        object => act::object(object),
    };
    format!("{} {object}", record.call)
}

/// In the reader's own time zone; in UTC where Slack can not tell.
fn moment(time_ns: u64) -> String {
    let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_nanos(time_ns));
    format!("<!date^{}^{{date_short_pretty}} {{time_secs}}|{text}>", time_ns / 1_000_000_000)
}

/// One line in at most so many characters, an ellipsis at the end of what is cut. Slack's three characters become
/// entities, none of them cut in two; what would move or hide other characters is spelled out.
fn escaped(words: &str, room: usize) -> String {
    let (mut out, mut used) = (String::new(), 0);
    for character in words.chars() {
        let piece = match character {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            hidden if hidden.is_control() || is_invisible(hidden) => hidden.escape_default().to_string(),
            shown => shown.to_string(),
        };
        used += piece.chars().count();
        if used >= room {
            out.push('…');
            break;
        }
        out.push_str(&piece);
    }
    out
}

/// Without width, or changing the direction of others.
const fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_slack_would_follow_is_escaped() {
        assert_eq!(escaped("<!channel> & <https://x|y>", 200), "&lt;!channel&gt; &amp; &lt;https://x|y&gt;");
        assert_eq!(escaped("a\nb\u{202e}c", 200), "a\\nb\\u{202e}c");
    }

    #[test]
    fn a_cut_leaves_entities_whole() {
        assert_eq!(escaped("ab&cd", 8), "ab&amp;…");
        assert_eq!(escaped("ab&cd", 7), "ab…");
        assert_eq!(escaped(&"x".repeat(5000), MAX_TEXT).chars().count(), MAX_TEXT);
    }
}
