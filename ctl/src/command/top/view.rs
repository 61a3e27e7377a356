//! How `top` looks, from 80 columns and 24 lines on. Draws only.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::model::{Look, Model, Row};
use crate::describe;
use crate::fullscreen::{Palette, fit, pad};
use crate::moment;
use crate::screen::{Tone, printable};

/// Below this a row has no room.
const SMALLEST: (u16, u16) = (60, 10);

const MODE_WIDTH: usize = 9;
const GOVERNANCE_WIDTH: usize = 12;
const NUMBER_WIDTH: usize = 8;
const FACT_WIDTH: usize = 9;
/// After the name: mode, governance, and five numbers.
const COLUMNS_WIDTH: usize = MODE_WIDTH + GOVERNANCE_WIDTH + 5 * NUMBER_WIDTH;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, palette: Palette) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let words = format!("too small: needs {} columns and {} lines", SMALLEST.0, SMALLEST.1);
        frame.render_widget(Paragraph::new(words), area);
        return;
    }
    let width = usize::from(area.width);
    let head = match model.shown() {
        Some(look) => head(model, look, width, palette),
        None => vec![Line::raw("agentd was not heard yet")],
    };
    let head_height = u16::try_from(head.len()).unwrap_or(u16::MAX);
    let parts: [Rect; 4] = Layout::vertical([
        Constraint::Length(head_height),
        Constraint::Fill(1),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(area);
    let [top, list, state, keys] = parts;
    frame.render_widget(Paragraph::new(head), top);
    draw_rows(frame, list, model, palette);
    let (tone, words) = match model.away() {
        Some(why) => (Tone::Bad, why.to_owned()),
        None if model.paused() => (Tone::Warn, "paused; p goes on".to_owned()),
        None => (Tone::Plain, String::new()),
    };
    let line = fit(&printable(&words), width);
    frame.render_widget(Paragraph::new(Span::styled(line, palette.style(tone))), state);
    let words = format!("q quit   p pause   s sort (now by {})   j k scroll", model.sort().name());
    frame.render_widget(Paragraph::new(Span::styled(words, palette.style(Tone::Dim))), keys);
}

fn head(model: &Model, look: &Look, width: usize, palette: Palette) -> Vec<Line<'static>> {
    let status = &look.status;
    let up = moment::span(Duration::from_secs(status.uptime_sec));
    let clock = moment::short(look.time_ns);
    let room = width.saturating_sub(clock.len());
    let title = format!("agentd {}, back end {}, up {up}", status.version, status.backend);
    let mut lines = vec![Line::from(vec![
        Span::styled(
            pad(&fit(&printable(&title), room.saturating_sub(1)), room),
            palette.style(Tone::Strong),
        ),
        Span::styled(clock, palette.style(Tone::Dim)),
    ])];
    let age = moment::span(Duration::from_millis(status.canary.age_ms));
    let (tone, canary) = match (&status.canary.problem, status.canary.ok) {
        (None, true) => (Tone::Good, format!("denied {age} ago")),
        (Some(problem), true) => (Tone::Warn, problem.clone()),
        (Some(problem), false) => (Tone::Bad, problem.clone()),
        (None, false) => (Tone::Bad, "was NOT denied".to_owned()),
    };
    lines.push(fact("canary", &canary, tone, width, palette));
    let waiting = look.waiting.len();
    let rates = match model.totals() {
        Some((records, denials)) => format!("{} records/s, {} denials/s", number(records), number(denials)),
        None => "rates from the next look on".to_owned(),
    };
    let words =
        format!("policy {}, {}, {rates}", status.policy.version, describe::count(status.agents, "agent"));
    lines.push(fact("now", &words, Tone::Plain, width, palette));
    let tone = if waiting > 0 { Tone::Warn } else { Tone::Plain };
    let words = match waiting {
        0 => "nobody waits for a person".to_owned(),
        1 => "1 request waits for a person: agentctl approvals watch".to_owned(),
        waiting => format!("{waiting} requests wait for a person: agentctl approvals watch"),
    };
    lines.push(fact("holds", &words, tone, width, palette));
    let lost = model.lost();
    let words: Vec<_> = lost.iter().map(|(stage, count)| format!("{stage} {count}")).collect();
    let (tone, words) =
        if lost.is_empty() { (Tone::Plain, "nothing".to_owned()) } else { (Tone::Bad, words.join(", ")) };
    lines.push(fact("lost", &words, tone, width, palette));
    for problem in &status.problems {
        lines.push(fact("problem", problem, Tone::Bad, width, palette));
    }
    lines.push(Line::raw(""));
    lines
}

fn fact(name: &str, words: &str, tone: Tone, width: usize, palette: Palette) -> Line<'static> {
    let name = pad(name, FACT_WIDTH);
    let words = fit(&printable(words), width.saturating_sub(name.len()));
    Line::from(vec![Span::styled(name, palette.style(Tone::Dim)), Span::styled(words, palette.style(tone))])
}

fn draw_rows(frame: &mut Frame<'_>, area: Rect, model: &Model, palette: Palette) {
    let rows = model.rows();
    let width = usize::from(area.width);
    let room = usize::from(area.height.saturating_sub(1));
    let first = model.first(rows.len(), room);
    let hidden = rows.len().saturating_sub(room);
    let more = if hidden > 0 { format!(" ({hidden} more)") } else { String::new() };
    let name_width = width.saturating_sub(COLUMNS_WIDTH);
    let right = |words: &str| format!("{:>NUMBER_WIDTH$}", fit(words, NUMBER_WIDTH - 1));
    let heading = format!(
        "{}{}{}{}{}{}{}{}",
        pad(&fit(&format!("AGENT{more}"), name_width.saturating_sub(1)), name_width),
        pad("MODE", MODE_WIDTH),
        pad("STATE", GOVERNANCE_WIDTH),
        right("PROCS"),
        right("REC/S"),
        right("DENY/S"),
        right("DENIED"),
        right("WAITING"),
    );
    let mut lines = vec![Line::styled(heading, palette.style(Tone::Dim))];
    for row in rows.iter().skip(first).take(room) {
        lines.push(line(row, name_width, &right, palette));
    }
    if rows.is_empty() && model.shown().is_some() {
        lines.push(Line::raw("no agent runs"));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn line(row: &Row, name_width: usize, right: &dyn Fn(&str) -> String, palette: Palette) -> Line<'static> {
    let rate = |rate: Option<f64>| right(&rate.map_or_else(|| "-".to_owned(), number));
    let tone = |tone, is: bool| if is { palette.style(tone) } else { Style::new() };
    let column = |words: &str, width: usize| pad(&fit(&printable(words), width.saturating_sub(1)), width);
    let governance = row.governance.trim_start_matches("GOVERNED_").to_lowercase();
    Line::from(vec![
        Span::raw(column(&row.name, name_width)),
        Span::styled(column(&row.mode, MODE_WIDTH), tone(Tone::Warn, row.mode != "enforce")),
        Span::raw(column(&governance, GOVERNANCE_WIDTH)),
        Span::raw(right(&row.processes.to_string())),
        Span::raw(rate(row.records)),
        Span::styled(rate(row.denials), tone(Tone::Bad, row.denials.is_some_and(|rate| rate > 0.0))),
        Span::raw(right(&row.denied.to_string())),
        Span::styled(right(&row.waiting.to_string()), tone(Tone::Warn, row.waiting > 0)),
    ])
}

/// Three digits are enough to see what grows.
fn number(rate: f64) -> String {
    if rate < 10.0 && rate > 0.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}
