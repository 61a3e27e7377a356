//! How the model looks: the list above, the selected one below, then what is being answered, the status and the keys.
//! Draws only; says how much of the details was to be seen.

use std::time::Duration;

use agentguard_api::report::ApprovalView;
use agentguard_core::approval::Reuse;
use agentguard_core::verdict::Severity;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::super::facts::{self, Fact, NAME_WIDTH};
use super::model::{Answer, Drawn, Mode, Model};
use crate::describe;
use crate::fullscreen::{Palette, columns, fit, pad};
use crate::moment;
use crate::screen::{Tone, printable};

/// Below this the details of one approval can not be read.
const SMALLEST: (u16, u16) = (40, 12);

/// Of the height, at most this part is the list.
const LIST_SHARE: u16 = 3;

/// From here on time is short.
const SHORT: Duration = Duration::from_secs(30);

const LEFT_WIDTH: usize = 9;
const SEVERITY_WIDTH: usize = 9;
const AGENT_WIDTH: usize = 14;

const HELP: &[(&str, &str)] = &[
    ("up, k", "select the one before"),
    ("down, j", "select the next"),
    ("PgUp, PgDn", "scroll the details"),
    ("a", "approve: then o once, t also what is exactly the same for ten minutes, s for the session"),
    ("d", "deny"),
    ("Enter", "send the answer, with the justification as typed; a CRITICAL request needs one"),
    ("Esc", "go back"),
    ("Ctrl-U", "clear the justification"),
    ("r", "ask agentd now; it is asked every second anyway"),
    ("q, Ctrl-C", "leave; nothing is answered by that"),
];

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, now_ns: u64, palette: Palette) -> Drawn {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let words = format!("too small: needs {} columns and {} lines", SMALLEST.0, SMALLEST.1);
        frame.render_widget(Paragraph::new(words), area);
        return Drawn { shown: false, page: 0, lines: 0 };
    }
    let rows = u16::try_from(model.pending().len()).unwrap_or(u16::MAX).clamp(1, area.height / LIST_SHARE);
    let prompt = if matches!(model.mode(), Mode::Browse | Mode::Help) { 0 } else { 2 };
    let parts: [Rect; 6] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(rows + 1),
        Constraint::Fill(1),
        Constraint::Length(prompt),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(area);
    let [title, list, details, prompt, status, keys] = parts;
    draw_title(frame, title, model, now_ns, palette);
    draw_list(frame, list, model, now_ns, palette);
    let drawn = draw_details(frame, details, model, palette);
    draw_prompt(frame, prompt, model, palette);
    if let Some(said) = model.status() {
        let line = fit(&printable(&said.words), usize::from(status.width));
        frame.render_widget(Paragraph::new(Span::styled(line, palette.style(said.tone))), status);
    }
    frame.render_widget(Paragraph::new(Span::styled(keys_of(model.mode()), palette.style(Tone::Dim))), keys);
    drawn
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, model: &Model, now_ns: u64, palette: Palette) {
    let count = match model.pending().len() {
        0 if !model.known() => "not known yet who waits".to_owned(),
        0 => "nobody waits".to_owned(),
        1 => "1 waits".to_owned(),
        count => format!("{count} wait"),
    };
    let clock = moment::short(now_ns);
    let room = usize::from(area.width).saturating_sub(clock.len());
    let words = fit(&format!("Approvals: {count}"), room.saturating_sub(1));
    let line = Line::from(vec![
        Span::styled(pad(&words, room), palette.style(Tone::Strong)),
        Span::styled(clock, palette.style(Tone::Dim)),
    ]);
    frame.render_widget(Paragraph::new(line), area);
}

fn draw_list(frame: &mut Frame<'_>, area: Rect, model: &Model, now_ns: u64, palette: Palette) {
    let width = usize::from(area.width);
    let shown = usize::from(area.height.saturating_sub(1));
    let selected = model.selected().map(|(place, _)| place);
    // The one that is or was selected is always among those that are shown.
    let skipped = (selected.unwrap_or_else(|| model.place()) + 1)
        .saturating_sub(shown)
        .min(model.pending().len().saturating_sub(shown));
    let hidden = model.pending().len().saturating_sub(shown);
    let more = if hidden > 0 { format!(" ({hidden} more)") } else { String::new() };
    let heading = format!(
        "  {:<LEFT_WIDTH$}{:<SEVERITY_WIDTH$}{:<AGENT_WIDTH$}ASKS{more}",
        "LEFT", "SEVERITY", "AGENT"
    );
    let mut lines = vec![Line::styled(fit(&heading, width), palette.style(Tone::Dim))];
    for (place, one) in model.pending().iter().enumerate().skip(skipped).take(shown) {
        lines.push(row(one, selected == Some(place), now_ns, width, palette));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn row(one: &ApprovalView, selected: bool, now_ns: u64, width: usize, palette: Palette) -> Line<'static> {
    let left = Duration::from_nanos(one.deadline_ns.saturating_sub(now_ns));
    let urgent = palette.style(Tone::Bad).add_modifier(Modifier::REVERSED);
    let severity = match one.severity {
        Severity::Medium => Tone::Plain,
        Severity::High => Tone::Warn,
        Severity::Critical => Tone::Bad,
    };
    let column = |words: &str, width: usize| pad(&fit(words, width.saturating_sub(1)), width);
    let words = fit(&moment::span(left), LEFT_WIDTH.saturating_sub(1));
    let gap = " ".repeat(LEFT_WIDTH.saturating_sub(Span::raw(words.as_str()).width()));
    let room = width.saturating_sub(2 + LEFT_WIDTH + SEVERITY_WIDTH + AGENT_WIDTH);
    let asks = fit(&facts::in_short(&one.record), room);
    let style = if selected { palette.style(Tone::Strong) } else { Style::new() };
    Line::from(vec![
        Span::styled(if selected { "> " } else { "  " }, style),
        Span::styled(words, if left < SHORT { urgent } else { style }),
        Span::raw(gap),
        Span::styled(column(describe::severity(one.severity), SEVERITY_WIDTH), palette.style(severity)),
        Span::styled(column(&printable(&one.record.agent.0), AGENT_WIDTH), style),
        Span::styled(asks, style),
    ])
}

fn draw_details(frame: &mut Frame<'_>, area: Rect, model: &Model, palette: Palette) -> Drawn {
    let [rule, body]: [Rect; 2] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let width = usize::from(area.width);
    let (title, lines) = match (model.mode(), model.selected()) {
        (Mode::Help, _) => ("Keys".to_owned(), help(width, palette)),
        (_, Some((_, one))) => (
            printable(&one.id.0),
            facts::facts(one).iter().flat_map(|fact| laid_out(fact, width, palette)).collect(),
        ),
        (_, None) if model.pending().is_empty() => (String::new(), Vec::new()),
        (_, None) => ("nothing is selected: j or k selects".to_owned(), Vec::new()),
    };
    let page = usize::from(body.height);
    let last = lines.len().saturating_sub(page);
    let scroll = model.scroll().min(last);
    let drawn = Drawn { shown: page > 0, page, lines: lines.len() };
    let more = match (scroll, last - scroll) {
        (0, 0) => String::new(),
        (_, 0) => " the end: PgUp ".to_owned(),
        (_, below) => format!(" {}: PgDn ", describe::count(below as u64, "more line")),
    };
    let title = if title.is_empty() { title } else { format!(" {title} ") };
    let title = fit(&title, width.saturating_sub(more.len() + 4));
    let dashes = width.saturating_sub(Span::raw(title.as_str()).width() + more.len() + 4);
    let line = Line::from(vec![
        Span::styled("──", palette.style(Tone::Dim)),
        Span::styled(title, palette.style(Tone::Strong)),
        Span::styled("─".repeat(dashes), palette.style(Tone::Dim)),
        Span::styled(more, palette.style(Tone::Warn).add_modifier(Modifier::REVERSED)),
        Span::styled("──", palette.style(Tone::Dim)),
    ]);
    frame.render_widget(Paragraph::new(line), rule);
    let seen: Vec<_> = lines.into_iter().skip(scroll).take(page).collect();
    frame.render_widget(Paragraph::new(seen), body);
    drawn
}

fn laid_out(fact: &Fact, width: usize, palette: Palette) -> Vec<Line<'static>> {
    entry(fact.name, NAME_WIDTH, &fact.words, fact.tone, width, palette)
}

fn help(width: usize, palette: Palette) -> Vec<Line<'static>> {
    HELP.iter().flat_map(|(keys, what)| entry(keys, NAME_WIDTH, what, Tone::Plain, width, palette)).collect()
}

fn entry(
    name: &str,
    name_width: usize,
    words: &str,
    tone: Tone,
    width: usize,
    palette: Palette,
) -> Vec<Line<'static>> {
    let lines = wrap(words, width.saturating_sub(name_width));
    lines
        .into_iter()
        .enumerate()
        .map(|(number, words)| {
            let name = pad(if number == 0 { name } else { "" }, name_width);
            Line::from(vec![
                Span::styled(name, palette.style(Tone::Dim)),
                Span::styled(words, palette.style(tone)),
            ])
        })
        .collect()
}

fn draw_prompt(frame: &mut Frame<'_>, area: Rect, model: &Model, palette: Palette) {
    let width = usize::from(area.width);
    let critical = model.selected().is_some_and(|(_, one)| one.severity == Severity::Critical);
    let (question, input) = match model.mode() {
        Mode::Browse | Mode::Help => return,
        Mode::Dropped => ("Nothing is being answered".to_owned(), "Enter or Esc goes on"),
        Mode::HowFar { on } => {
            (format!("Approve {}: how far?", on.id), "o once   t for ten minutes   s for this session")
        }
        Mode::Because { on, answer, text } => {
            let what = match answer {
                Answer::Approve(Reuse::Once) => format!("Approve {} once", on.id),
                Answer::Approve(Reuse::Seconds(seconds)) => {
                    let span = moment::span(Duration::from_secs(u64::from(*seconds)));
                    format!("Approve {} and what is the same for {span}", on.id)
                }
                Answer::Approve(Reuse::Session) => {
                    format!("Approve {} and what is the same for the session", on.id)
                }
                Answer::Deny => format!("Deny {}", on.id),
            };
            let need = if critical { "required" } else { "may be empty" };
            (format!("{what}. Why ({need})?"), text.as_str())
        }
    };
    let typed = matches!(model.mode(), Mode::Because { .. });
    let mark = if typed { "> " } else { "  " };
    // The end of a long text, for that is where it is typed; one column is the cursor's.
    let input = tail(&printable(input), width.saturating_sub(mark.len() + 1));
    if typed {
        let column = u16::try_from(mark.len() + Span::raw(input.as_str()).width()).unwrap_or(u16::MAX);
        frame.set_cursor_position(Position::new(area.x.saturating_add(column), area.y.saturating_add(1)));
    }
    let lines = vec![
        Line::styled(
            pad(&fit(&printable(&question), width), width),
            Style::new().add_modifier(Modifier::REVERSED),
        ),
        Line::from(vec![Span::styled(mark, palette.style(Tone::Strong)), Span::raw(input)]),
    ];
    frame.render_widget(Paragraph::new(lines), area);
}

const fn keys_of(mode: &Mode) -> &'static str {
    match mode {
        Mode::Browse => "j k select   a approve   d deny   PgDn more   r refresh   ? help   q quit",
        Mode::Help => "any key: back",
        Mode::Dropped => "Enter Esc go on   Ctrl-C quit",
        Mode::HowFar { .. } => "o t s choose   Esc back   PgDn more   Ctrl-C quit",
        Mode::Because { .. } => "Enter send   Esc back   PgDn more   Ctrl-C quit",
    }
}

/// Lines of at most so many columns that together are the text, every character of it: broken after a space where there
/// is one in the latter half, else where the line is full.
fn wrap(words: &str, room: usize) -> Vec<String> {
    let room = room.max(2);
    let mut lines = Vec::new();
    let (mut line, mut used) = (String::new(), 0);
    for character in words.chars() {
        let width = columns(character);
        if used + width > room {
            let rest = match line.rfind(' ') {
                Some(place) if place + 1 >= line.len() / 2 => line.split_off(place + 1),
                _ => String::new(),
            };
            lines.push(std::mem::replace(&mut line, rest));
            used = Span::raw(line.as_str()).width();
        }
        line.push(character);
        used += width;
    }
    lines.push(line);
    lines
}

/// The last so many columns.
fn tail(words: &str, room: usize) -> String {
    let mut used = 0;
    let kept: Vec<char> = words
        .chars()
        .rev()
        .take_while(|character| {
            used += columns(*character);
            used <= room
        })
        .collect();
    kept.into_iter().rev().collect()
}
