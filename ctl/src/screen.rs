//! Where results go: a table for people, JSON documents or lines for programs. Knows nothing of what it prints.
//!
//! Only results pass here; errors go to stderr in `main.rs`. Colours are decided once, when the screen is made.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table};
use serde::Serialize;

/// The form of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON document per line.
    Ndjson,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What a colour would mean; words carry the same meaning without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// No meaning.
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Denied, failed, missing.
    Bad,
    /// Of little weight.
    Dim,
    /// A heading.
    Strong,
}

impl Tone {
    /// The tone of a verdict.
    pub fn of(verdict: agentguard_core::verdict::Verdict) -> Self {
        use agentguard_core::verdict::Verdict;
        match verdict {
            Verdict::Allow => Self::Good,
            Verdict::Audit | Verdict::Evaluate | Verdict::Hold => Self::Warn,
            Verdict::Deny => Self::Bad,
        }
    }

    fn ansi(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Warn => Some("33"),
            Self::Bad => Some("31"),
            Self::Dim => Some("2"),
            Self::Strong => Some("1"),
        }
    }
}

/// The user's screen, or whatever stdout is.
pub struct Screen<'a> {
    out: &'a mut dyn Write,
    format: Format,
    colors: bool,
    terminal: bool,
    width: Option<u16>,
    height: Option<u16>,
}

impl<'a> Screen<'a> {
    /// The screen on stdout as it is now.
    pub fn on_stdout(out: &'a mut dyn Write, format: Format, choice: ColorChoice) -> Self {
        let terminal = io::stdout().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let colors = match choice {
            ColorChoice::Auto => terminal && !no_color && !dumb,
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        };
        let size = terminal.then(terminal_size::terminal_size).flatten();
        let (width, height) = (size.map(|(width, _)| width.0), size.map(|(_, height)| height.0));
        Self { out, format, colors, terminal: terminal && !dumb, width, height }
    }

    /// A screen for tests: no terminal, no colours, `width` columns.
    #[cfg(test)]
    pub(crate) fn plain(out: &'a mut dyn Write, format: Format, width: u16) -> Self {
        Self { out, format, colors: false, terminal: false, width: Some(width), height: None }
    }

    /// The form of results that the user chose.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether a person looks at it and the cursor can be moved.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether there are colours.
    pub(crate) fn colors(&self) -> bool {
        self.colors
    }

    /// Columns, where there is a limit.
    pub fn width(&self) -> Option<u16> {
        self.width
    }

    /// Lines, where there is a limit.
    pub fn height(&self) -> Option<u16> {
        self.height
    }

    /// Words in the colour of their tone.
    pub fn paint(&self, tone: Tone, words: &str) -> String {
        match tone.ansi() {
            Some(code) if self.colors => format!("\x1b[{code}m{words}\x1b[0m"),
            _ => words.to_owned(),
        }
    }

    /// One line.
    pub fn line(&mut self, words: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.out, "{}", words.as_ref())
    }

    /// Text as it is, at once.
    pub fn raw(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// A whole text that somebody else wrote, such as a spec: as it is for programs and files, and on a terminal such that
    /// it cannot steer it.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        if !self.terminal {
            return self.raw(text);
        }
        text.lines().try_for_each(|line| self.line(printable_line(line)))
    }

    /// Makes what was written visible; for commands that go on for long.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// One document: indented as `json`, on one line as `ndjson`.
    pub fn document(&mut self, value: &impl Serialize) -> io::Result<()> {
        match self.format {
            Format::Ndjson => serde_json::to_writer(&mut self.out, value)?,
            Format::Table | Format::Json => serde_json::to_writer_pretty(&mut self.out, value)?,
        }
        writeln!(self.out)
    }

    /// One document on one line, whatever the format: for streams.
    pub fn line_document(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value)?;
        writeln!(self.out)
    }

    /// A list: one array as `json`, one line each as `ndjson`.
    pub fn documents<T: Serialize>(&mut self, values: &[T]) -> io::Result<()> {
        match self.format {
            Format::Ndjson => values.iter().try_for_each(|value| self.document(value)),
            Format::Table | Format::Json => self.document(&values),
        }
    }

    /// An empty table with these columns.
    pub fn new_table(&self, columns: &[&str]) -> Table {
        let mut table = Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        match self.width {
            Some(width) => table.set_width(width),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        if self.colors {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        if !columns.is_empty() {
            table.set_header(columns.iter().map(|name| cell(name.to_uppercase(), Tone::Dim)));
        }
        table
    }

    /// Prints a table without the spaces at its edges.
    pub fn table(&mut self, table: &Table) -> io::Result<()> {
        for line in table.lines() {
            let line = line.trim_end();
            writeln!(self.out, "{}", line.strip_prefix(' ').unwrap_or(line))?;
        }
        Ok(())
    }
}

/// A cell of a table in the colour of its tone.
pub fn cell(words: impl Into<String>, tone: Tone) -> Cell {
    let cell = Cell::new(printable(&words.into()));
    match tone {
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::DarkGreen),
        Tone::Warn => cell.fg(Color::DarkYellow),
        Tone::Bad => cell.fg(Color::DarkRed),
        Tone::Dim => cell.add_attribute(Attribute::Dim),
        Tone::Strong => cell.add_attribute(Attribute::Bold),
    }
}

/// Text that came from a governed process, safe for a terminal: what is not seen, or steers what is seen, is written as
/// an escape.
pub fn printable(words: &str) -> String {
    if !words.chars().any(is_unseen) {
        return words.to_owned();
    }
    words.chars().fold(String::with_capacity(words.len() + 8), |mut out, character| {
        if is_unseen(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
        out
    })
}

/// One line of a text, the same way. A tab is indentation and no escape.
pub(crate) fn printable_line(line: &str) -> String {
    printable(&line.replace('\t', TAB))
}

/// As wide as most editors show it.
const TAB: &str = "    ";

/// One word of a command line, or a path, such that its beginning, its end and every character of it are seen: plain
/// words as they are, all others in quotes and with escapes.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "_@%+=:,./-".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut out = String::with_capacity(word.len() + 8);
    out.push('"');
    for character in word.chars() {
        if is_unseen(character) || character == '"' || character == '\\' {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out.push('"');
    out
}

/// Control characters; what has no width, or the width of a space that it is not; what turns the direction of text, so
/// that it reads otherwise than it is.
fn is_unseen(character: char) -> bool {
    character.is_control()
        || (character.is_whitespace() && character != ' ')
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// At most so many characters, the last an ellipsis where something is missing.
pub(crate) fn cut(words: &str, room: usize) -> String {
    if words.chars().count() <= room {
        return words.to_owned();
    }
    words.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_could_steer_a_terminal() {
        assert_eq!(printable("/tmp/\x1b[31mred\n"), "/tmp/\\u{1b}[31mred\\n");
        assert_eq!(printable("/tmp/ünïcode"), "/tmp/ünïcode");
    }

    #[test]
    fn escapes_what_is_not_seen_or_turns_the_text_around() {
        assert_eq!(printable("a\u{202e}txt.sh\u{200b}"), "a\\u{202e}txt.sh\\u{200b}");
        assert_eq!(printable("a b\u{a0}c\u{2028}"), "a b\\u{a0}c\\u{2028}");
    }

    #[test]
    fn a_quoted_word_can_be_told_from_its_neighbours() {
        assert_eq!(quoted("--path=/srv/a_b.rs"), "--path=/srv/a_b.rs");
        assert_eq!(quoted("two words"), r#""two words""#);
        assert_eq!(quoted(""), r#""""#);
        assert_eq!(quoted("a\" \\n \n\x1b"), r#""a\" \\n \n\u{1b}""#);
    }

    #[test]
    fn prints_one_line_per_document_as_ndjson() {
        let mut out = Vec::new();
        Screen::plain(&mut out, Format::Ndjson, 80).documents(&[1, 2]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "1\n2\n");
    }

    #[test]
    fn prints_one_array_as_json() {
        let mut out = Vec::new();
        Screen::plain(&mut out, Format::Json, 80).documents(&[1, 2]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "[\n  1,\n  2\n]\n");
    }

    #[test]
    fn a_text_of_others_is_exact_for_programs_and_harmless_on_a_terminal() {
        let print = |terminal| {
            let mut out = Vec::new();
            let mut screen = Screen { terminal, ..Screen::plain(&mut out, Format::Table, 80) };
            screen.text("a\t\x1b[2J\nb").unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(print(false), "a\t\x1b[2J\nb");
        assert_eq!(print(true), "a    \\u{1b}[2J\nb\n");
    }

    #[test]
    fn paints_nothing_without_colours() {
        let mut out = Vec::new();
        let screen = Screen::plain(&mut out, Format::Table, 80);
        assert_eq!(screen.paint(Tone::Bad, "deny"), "deny");
    }

    #[test]
    fn a_long_line_ends_in_an_ellipsis() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcd", 4), "abcd");
    }
}
