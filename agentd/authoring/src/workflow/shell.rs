//! Commands and redirections of a shell script, by a parser for bash. Nothing is run and nothing is looked up: what a
//! variable holds is not known here.

use brush_parser::ast::{
    AndOr, Command, CommandPrefixOrSuffixItem, CompoundCommand, CompoundList, IoFileRedirectKind,
    IoFileRedirectTarget, IoRedirect, Pipeline, RedirectList, SimpleCommand, Word as RawWord,
};
use brush_parser::word::{Parameter, ParameterExpr, WordPiece, WordPieceWithSource};
use brush_parser::{Parser, ParserOptions, SourceInfo};

/// Longest script that is read: one step of a workflow.
const MAX_SCRIPT_BYTES: usize = 64 * 1024;
/// Most places where a script may begin something nested: the parser goes as deep as they do. Real ones have some
/// hundreds when they are long.
const MAX_OPENINGS: usize = 1_000;
/// Deepest nesting of brackets, as far as it can be told without parsing: the parser tries what is in them more than once.
const MAX_DEPTH: usize = 50;
/// Words that begin something nested.
const OPENING_WORDS: [&str; 8] = ["if", "while", "until", "for", "case", "select", "function", "coproc"];
/// For that many levels of the parser, which asks nobody how deep it is. Only what is used is really taken.
const STACK_BYTES: usize = 256 * 1024 * 1024;

/// What a script runs.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) commands: Vec<Vec<Word>>,
    pub(crate) redirects: Vec<Redirect>,
    /// Functions that it defines: their names are no programs.
    pub(crate) functions: Vec<String>,
}

/// A word of a command, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// Quotes taken out; `${home}` where `~` or `$HOME` stands, `${workspace}` for `$PWD`.
    pub(crate) text: String,
    /// Whether a part of it is known only when it runs.
    pub(crate) is_open: bool,
}

/// A file that the shell opens for a command.
#[derive(Debug)]
pub(crate) struct Redirect {
    pub(crate) file: Word,
    pub(crate) writes: bool,
    pub(crate) reads: bool,
}

/// Reads a script; the error is one line.
pub(crate) fn parse(text: &str) -> Result<Script, String> {
    std::thread::scope(|scope| {
        let read = || -> Result<Script, String> {
            let mut script = Script::default();
            script.read(text)?;
            Ok(script)
        };
        let reader = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, read);
        let reader = reader.map_err(|error| format!("no thread to read a script in: {error}"))?;
        reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// How deep a script can be nested at most. What closes is not counted, nor whether it stands in quotes or comments: that is
/// the parser's to know.
fn openings(text: &str) -> usize {
    // A line that goes on after `\` may split a word.
    let marks = text.bytes().filter(|byte| matches!(byte, b'(' | b'{' | b'!')).count();
    let split = text.matches("\\\n").count();
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(|letter| !is_letter(letter)).filter(|word| OPENING_WORDS.contains(word)).count();
    marks + split + words
}

fn depth(text: &str) -> usize {
    let depths = text.bytes().scan(0_usize, |depth, byte| {
        match byte {
            b'(' | b'{' => *depth += 1,
            b')' | b'}' => *depth = depth.saturating_sub(1),
            _ => {}
        }
        Some(*depth)
    });
    depths.max().unwrap_or(0)
}

impl Script {
    fn read(&mut self, text: &str) -> Result<(), String> {
        if text.len() > MAX_SCRIPT_BYTES {
            return Err(format!("a script of {} bytes, the limit is {MAX_SCRIPT_BYTES}", text.len()));
        }
        let openings = openings(text);
        if openings > MAX_OPENINGS {
            return Err(format!(
                "{openings} places where something nested may begin, the limit is {MAX_OPENINGS}; split the script"
            ));
        }
        if depth(text) > MAX_DEPTH {
            return Err(format!("brackets more than {MAX_DEPTH} deep"));
        }
        let mut parser = Parser::new(text.as_bytes(), &ParserOptions::default(), &SourceInfo::default());
        let program = parser.parse_program().map_err(|error| error.to_string().replace('\n', " "))?;
        program.complete_commands.iter().for_each(|list| self.list(list));
        Ok(())
    }

    fn list(&mut self, list: &CompoundList) {
        for item in &list.0 {
            self.pipeline(&item.0.first);
            for next in &item.0.additional {
                let (AndOr::And(pipeline) | AndOr::Or(pipeline)) = next;
                self.pipeline(pipeline);
            }
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline) {
        for command in &pipeline.seq {
            match command {
                Command::Simple(simple) => self.simple(simple),
                Command::Compound(compound, redirects) => {
                    self.compound(compound);
                    self.redirects(redirects.as_ref());
                }
                Command::Function(function) => {
                    self.functions.push(function.fname.to_string());
                    self.compound(&function.body.0);
                    self.redirects(function.body.1.as_ref());
                }
                Command::ExtendedTest(_) => {}
            }
        }
    }

    fn compound(&mut self, compound: &CompoundCommand) {
        match compound {
            CompoundCommand::Arithmetic(_) => {}
            CompoundCommand::ArithmeticForClause(clause) => self.list(&clause.body.list),
            CompoundCommand::BraceGroup(group) => self.list(&group.list),
            CompoundCommand::Subshell(subshell) => self.list(&subshell.list),
            CompoundCommand::ForClause(clause) => {
                clause.values.iter().flatten().for_each(|word| {
                    self.word(word);
                });
                self.list(&clause.body.list);
            }
            CompoundCommand::CaseClause(clause) => {
                clause.cases.iter().filter_map(|case| case.cmd.as_ref()).for_each(|list| self.list(list));
            }
            CompoundCommand::IfClause(clause) => {
                self.list(&clause.condition);
                self.list(&clause.then);
                for other in clause.elses.iter().flatten() {
                    other.condition.iter().for_each(|list| self.list(list));
                    self.list(&other.body);
                }
            }
            CompoundCommand::WhileClause(clause) | CompoundCommand::UntilClause(clause) => {
                self.list(&clause.0);
                self.list(&clause.1.list);
            }
        }
    }

    fn simple(&mut self, simple: &SimpleCommand) {
        let mut words = Vec::new();
        for item in simple.prefix.iter().flat_map(|prefix| &prefix.0) {
            // Environment for the command: its substitutions run, it is no word of it.
            self.item(item);
        }
        if let Some(name) = &simple.word_or_name {
            words.push(self.word(name));
        }
        for item in simple.suffix.iter().flat_map(|suffix| &suffix.0) {
            words.extend(self.item(item));
        }
        if !words.is_empty() {
            self.commands.push(words);
        }
    }

    fn item(&mut self, item: &CommandPrefixOrSuffixItem) -> Option<Word> {
        match item {
            CommandPrefixOrSuffixItem::Word(word) | CommandPrefixOrSuffixItem::AssignmentWord(_, word) => {
                Some(self.word(word))
            }
            CommandPrefixOrSuffixItem::IoRedirect(redirect) => {
                self.redirect(redirect);
                None
            }
            CommandPrefixOrSuffixItem::ProcessSubstitution(_, subshell) => {
                self.list(&subshell.list);
                None
            }
        }
    }

    fn redirects(&mut self, redirects: Option<&RedirectList>) {
        redirects.into_iter().flat_map(|list| &list.0).for_each(|redirect| self.redirect(redirect));
    }

    fn redirect(&mut self, redirect: &IoRedirect) {
        match redirect {
            IoRedirect::File(_, kind, IoFileRedirectTarget::Filename(name)) => {
                let reads = matches!(kind, IoFileRedirectKind::Read | IoFileRedirectKind::ReadAndWrite);
                let writes = !matches!(kind, IoFileRedirectKind::Read);
                let file = self.word(name);
                self.redirects.push(Redirect { file, writes, reads });
            }
            IoRedirect::File(_, _, IoFileRedirectTarget::ProcessSubstitution(_, subshell)) => {
                self.list(&subshell.list);
            }
            IoRedirect::OutputAndError(name, _) => {
                let file = self.word(name);
                self.redirects.push(Redirect { file, writes: true, reads: false });
            }
            IoRedirect::File(..) | IoRedirect::HereDocument(..) | IoRedirect::HereString(..) => {}
        }
    }

    fn word(&mut self, raw: &RawWord) -> Word {
        let mut word = Word { text: String::new(), is_open: false };
        match brush_parser::word::parse(&raw.value, &ParserOptions::default()) {
            Ok(pieces) => self.pieces(&pieces, &mut word),
            Err(_) => word = Word { text: raw.value.clone(), is_open: true },
        }
        word
    }

    fn pieces(&mut self, pieces: &[WordPieceWithSource], word: &mut Word) {
        for piece in pieces {
            match &piece.piece {
                WordPiece::Text(text) => word.text.push_str(text),
                WordPiece::SingleQuotedText(text) | WordPiece::AnsiCQuotedText(text) => {
                    word.text.push_str(text)
                }
                WordPiece::EscapeSequence(text) => {
                    word.text.push_str(text.strip_prefix('\\').unwrap_or(text))
                }
                WordPiece::DoubleQuotedSequence(inner) | WordPiece::GettextDoubleQuotedSequence(inner) => {
                    self.pieces(inner, word);
                }
                WordPiece::TildePrefix(user) if user.is_empty() => word.text.push_str("${home}"),
                WordPiece::ParameterExpansion(ParameterExpr::Parameter {
                    parameter: Parameter::Named(name),
                    indirect: false,
                }) if name == "HOME" || name == "PWD" || name == "GITHUB_WORKSPACE" => {
                    word.text.push_str(if name == "HOME" { "${home}" } else { "${workspace}" });
                }
                WordPiece::CommandSubstitution(script) | WordPiece::BackquotedCommandSubstitution(script) => {
                    word.is_open = true;
                    // Its own syntax is checked when the whole is; what is odd here is only not known.
                    let _ = self.read(script);
                }
                WordPiece::TildePrefix(_)
                | WordPiece::ParameterExpansion(_)
                | WordPiece::ArithmeticExpression(_) => {
                    word.is_open = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(text: &str) -> Vec<String> {
        let words =
            |words: &Vec<Word>| words.iter().map(|word| word.text.clone()).collect::<Vec<_>>().join(" ");
        parse(text).expect(text).commands.iter().map(words).collect()
    }

    #[test]
    fn commands_are_found_wherever_the_shell_would_run_them() {
        for (text, wanted) in [
            ("a 1 | b && c; d & e", vec!["a 1", "b", "c", "d", "e"]),
            ("X=1 a 'b c' \"d $X\"", vec!["a b c d "]),
            ("if a; then b; else c; fi", vec!["a", "b", "c"]),
            ("for x in $(a); do b; done", vec!["a", "b"]),
            ("while a; do (b; { c; }); done", vec!["a", "b", "c"]),
            ("case $x in y) a;; esac", vec!["a"]),
            ("a \\\n  b\nc # d", vec!["a b", "c"]),
            ("a < <(b)", vec!["b", "a"]),
            ("cat <<END\nrm -rf /\nEND\n", vec!["cat"]),
            ("x=\"$(a \"$(b)\")\"", vec!["b", "a "]),
        ] {
            let mut found = commands(text);
            let mut wanted: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
            found.sort();
            wanted.sort();
            assert_eq!(found, wanted, "{text}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 512, ..Default::default() })]

        #[test]
        fn no_text_makes_the_parser_panic(text in "[a-c $(){}\\[\\]<>|&;'\"`=#*?!~0-9\\\\\n-]{0,40}") {
            let _ = parse(&text);
        }
    }

    #[test]
    fn no_depth_overflows_the_stack() {
        for text in ["(#)\n", "if ", "i\\\nf ", "! ", "{ ", "case a in b) ", "$(", "f() "] {
            assert!(parse(&text.repeat(4_000)).is_err(), "{text}");
        }
    }

    #[test]
    fn files_of_redirections_are_found() {
        let script = parse("a > out.txt 2>&1 < in.txt >> ~/log").expect("script");
        let files: Vec<_> = script.redirects.iter().map(|one| (one.file.text.as_str(), one.writes)).collect();
        assert_eq!(files, [("out.txt", true), ("in.txt", false), ("${home}/log", true)]);
    }

    #[test]
    fn what_no_shell_takes_is_an_error_of_one_line() {
        for text in ["a | | b", "if a; then", "a 'b", &"(".repeat(2000), &"a".repeat(MAX_SCRIPT_BYTES + 1)] {
            let error = parse(text).expect_err(text);
            assert!(!error.contains('\n') && !error.is_empty());
        }
    }
}
