//! The live view: counts per call and verdict and the last denials, redrawn in place. Keeps only these counts.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::time::{Duration, Instant};

use agentguard_api::report::EventLine;
use agentguard_core::record::Record;
use agentguard_core::verdict::Verdict;

use crate::daemon::{Next, Stream};
use crate::describe;
use crate::exit::Failure;
use crate::moment;
use crate::screen::{Screen, Tone, cut, printable};

/// Often enough to follow, seldom enough to read.
const REDRAW: Duration = Duration::from_millis(150);

/// Denials that stay on the screen.
const DENIALS_SHOWN: usize = 8;

/// Calls that stay on the screen; with the denials this fits into 24 lines. Shown are those with most denials and then most records.
const CALLS_SHOWN: usize = 10;

/// Where the terminal does not say.
const WIDTH: u16 = 100;

/// Moves up so many lines and clears from there.
fn home(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\x1b[J") }
}

/// Draws until the stream or the user ends it.
pub(super) fn run(mut stream: Stream<'_, EventLine>, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let mut view = View::default();
    let mut drawn = draw(screen, &view, 0)?;
    let mut next_draw = Instant::now() + REDRAW;
    let mut changed = false;
    loop {
        match stream.wait_at_most(next_draw.saturating_duration_since(Instant::now()))? {
            Next::Document(EventLine::Record(record)) => {
                view.add(*record);
                changed = true;
            }
            Next::Document(EventLine::Skipped { skipped }) => view.skipped += skipped,
            Next::Quiet => {}
            Next::End => break,
        }
        if Instant::now() >= next_draw {
            if changed {
                drawn = draw(screen, &view, drawn)?;
                changed = false;
            }
            next_draw = Instant::now() + REDRAW;
        }
    }
    draw(screen, &view, drawn)?;
    Ok(())
}

fn draw(screen: &mut Screen<'_>, view: &View, drawn: usize) -> Result<usize, Failure> {
    let mut lines = view.lines(screen);
    // What has scrolled away cannot be redrawn.
    lines.truncate(usize::from(screen.height().unwrap_or(u16::MAX)).saturating_sub(1));
    let mut frame = home(drawn);
    for line in &lines {
        frame.push_str(line);
        frame.push('\n');
    }
    screen.raw(&frame)?;
    Ok(lines.len())
}

/// What is on the screen.
#[derive(Default)]
struct View {
    /// By call: records by verdict, in the order of [`Verdict::ALL`].
    calls: BTreeMap<String, [u64; Verdict::ALL.len()]>,
    denials: VecDeque<Record>,
    records: u64,
    skipped: u64,
}

impl View {
    fn add(&mut self, record: Record) {
        self.records += 1;
        let counts = self.calls.entry(record.call.clone()).or_default();
        for (count, verdict) in counts.iter_mut().zip(Verdict::ALL) {
            *count += u64::from(verdict == record.decision.verdict);
        }
        if record.decision.verdict.stops() {
            self.denials.truncate(DENIALS_SHOWN - 1);
            self.denials.push_front(record);
        }
    }

    fn count_of(&self, verdict: Verdict) -> u64 {
        self.calls.values().map(|counts| counts.get(verdict as usize).copied().unwrap_or(0)).sum()
    }

    /// The whole picture, no line wider than the screen.
    fn lines(&self, screen: &Screen<'_>) -> Vec<String> {
        let width = usize::from(screen.width().unwrap_or(WIDTH)).saturating_sub(1);
        let denied = format!("{} denied", self.count_of(Verdict::Deny));
        let tone = if self.count_of(Verdict::Deny) > 0 { Tone::Bad } else { Tone::Good };
        let skipped = if self.skipped > 0 { format!(", {} left out", self.skipped) } else { String::new() };
        let mut lines = vec![format!("{} records, {}{skipped}", self.records, screen.paint(tone, &denied))];

        let heading =
            Verdict::ALL.map(Verdict::name).iter().fold(format!("{:<12}", "CALL"), |mut line, verdict| {
                let _written = write!(line, "{:>9}", verdict.to_uppercase());
                line
            });
        lines.push(screen.paint(Tone::Dim, &heading));
        for (call, counts) in self.busiest() {
            let cells = counts.iter().zip(Verdict::ALL).map(|(count, verdict)| match count {
                0 => screen.paint(Tone::Dim, &format!("{:>9}", "-")),
                count if verdict.stops() => screen.paint(Tone::of(verdict), &format!("{count:>9}")),
                count => format!("{count:>9}"),
            });
            lines.push(format!("{call:<12}{}", cells.collect::<String>()));
        }
        if !self.denials.is_empty() {
            lines.push(String::new());
            lines.push(screen.paint(Tone::Dim, "LAST DENIALS"));
            let rules = self.denials.iter().map(|record| describe::rule(&record.decision).chars().count());
            let column = rules.max().unwrap_or_default();
            lines.extend(self.denials.iter().map(|record| denial(screen, record, column, width)));
        }
        lines
    }

    fn busiest(&self) -> Vec<(&str, &[u64; Verdict::ALL.len()])> {
        let mut calls: Vec<_> = self.calls.iter().map(|(call, counts)| (call.as_str(), counts)).collect();
        let weight = |counts: &[u64; Verdict::ALL.len()]| {
            let stopped = counts.iter().zip(Verdict::ALL).filter(|(_, verdict)| verdict.stops());
            (stopped.map(|(count, _)| count).sum::<u64>(), counts.iter().sum::<u64>())
        };
        calls.sort_by_key(|(_, counts)| std::cmp::Reverse(weight(counts)));
        calls.truncate(CALLS_SHOWN);
        // By name, so that lines do not jump about.
        calls.sort_by_key(|(call, _)| *call);
        calls
    }
}

/// The rule comes before the object: a long path may be cut, the reason may not.
fn denial(screen: &Screen<'_>, record: &Record, column: usize, width: usize) -> String {
    let time = moment::of_day(record.time_ns);
    let words = format!(
        "{:<12} {:<8} {:<column$}  {}",
        printable(&record.process.comm),
        record.call,
        describe::rule(&record.decision),
        describe::object(record),
    );
    let room = width.saturating_sub(time.len() + 2);
    format!("{}  {}", screen.paint(Tone::Dim, &time), cut(&words, room))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use crate::screen::Format;

    fn view() -> View {
        let mut view = View::default();
        for seq in 0..40 {
            view.add(samples::allowed_open(seq));
        }
        view.add(samples::exec(40));
        view.add(samples::denied_open(41));
        view.add(samples::denied_connect(42));
        view
    }

    fn lines(view: &View, width: u16) -> Vec<String> {
        let mut out = Vec::new();
        view.lines(&Screen::plain(&mut out, Format::Table, width))
    }

    #[test]
    fn counts_by_call_and_verdict_and_keeps_the_last_denials() {
        insta::assert_snapshot!(lines(&view(), 100).join("\n"));
    }

    #[test]
    fn no_line_is_wider_than_the_screen() {
        assert!(lines(&view(), 60).iter().all(|line| line.chars().count() < 60));
    }

    #[test]
    fn only_the_last_denials_stay() {
        let mut view = View::default();
        (0..100).for_each(|seq| view.add(samples::denied_open(seq)));
        assert_eq!(view.denials.len(), DENIALS_SHOWN);
        assert_eq!(view.denials.front().map(|record| record.seq), Some(99));
        assert_eq!(view.count_of(Verdict::Deny), 100);
    }
}
