//! The commands that the docs show: each is one that the command line takes.

use std::fs;
use std::path::{Path, PathBuf};

use brush_parser::ast::{AndOr, Command, CommandPrefixOrSuffixItem, SimpleCommand};
use brush_parser::{Parser, ParserOptions, SourceInfo, unquote_str};
use clap::error::ErrorKind;

/// A few less than there are: with fewer the blocks are not read any more as they are written.
const LEAST: usize = 100;

/// `README.md` and everything below `docs`.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut documents = vec![root.join("README.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                documents.push(path);
            }
        }
    }
    documents.sort();
    documents
}

/// Lines of code, fenced or indented, that begin with `agentctl`, perhaps behind a prompt and sudo: their numbers, and they
/// themselves with the lines that a `\` at the end adds.
fn commands(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut is_fenced = false;
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let code = line.trim();
        if code.starts_with("```") || code.starts_with("~~~") {
            is_fenced = !is_fenced;
        }
        let code = code.strip_prefix("$ ").unwrap_or(code);
        let code = code.strip_prefix("sudo ").unwrap_or(code);
        if !code.starts_with("agentctl ") || !(is_fenced || line.starts_with("    ")) {
            continue;
        }
        let mut command = code.to_owned();
        while let Some(begun) = command.strip_suffix('\\') {
            command = format!("{begun}{}", lines.next().map_or("", |(line, _)| line.trim()));
        }
        found.push((number, command));
    }
    found
}

/// A synopsis stands for many commands and is none: one of its words begins with `[`, is `<…>`, has an ellipsis, or has
/// alternatives, as `a|b`.
fn is_synopsis(line: &str) -> bool {
    line.split_whitespace().any(|word| {
        word.starts_with('[')
            || (word.starts_with('<') && word.ends_with('>'))
            || word.contains('…')
            || word.ends_with("...")
            || word.trim_matches('|').contains('|')
    })
}

/// The simple commands of a line as a shell reads it, without comments and redirections.
fn words(line: &str) -> Result<Vec<Vec<String>>, String> {
    let mut parser = Parser::new(line.as_bytes(), &ParserOptions::default(), &SourceInfo::default());
    let program = parser.parse_program().map_err(|error| error.to_string())?;
    let lists = program.complete_commands.iter().flat_map(|list| &list.0).map(|item| &item.0);
    let pipelines = lists.flat_map(|list| {
        let more = list.additional.iter().map(|next| {
            let (AndOr::And(pipeline) | AndOr::Or(pipeline)) = next;
            pipeline
        });
        std::iter::once(&list.first).chain(more)
    });
    let simple = pipelines.flat_map(|pipeline| &pipeline.seq).filter_map(|command| match command {
        Command::Simple(simple) => Some(words_of(simple)),
        _ => None,
    });
    Ok(simple.collect())
}

fn words_of(command: &SimpleCommand) -> Vec<String> {
    let arguments = command.suffix.iter().flat_map(|suffix| &suffix.0).filter_map(|item| match item {
        CommandPrefixOrSuffixItem::Word(word) | CommandPrefixOrSuffixItem::AssignmentWord(_, word) => {
            Some(word)
        }
        CommandPrefixOrSuffixItem::IoRedirect(_) | CommandPrefixOrSuffixItem::ProcessSubstitution(..) => None,
    });
    command.word_or_name.iter().chain(arguments).map(|word| unquote_str(&word.value)).collect()
}

/// What the command line has against a line.
fn mistake(line: &str) -> Option<String> {
    let commands = match words(line) {
        Ok(commands) => commands,
        Err(why) => return Some(why),
    };
    let own = commands.iter().filter(|words| words.first().is_some_and(|name| name == "agentctl"));
    let mut refused = own.filter_map(|words| agentctl::typed::command().try_get_matches_from(words).err());
    refused
        .find(|error| !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion))
        .map(|error| error.to_string())
}

#[test]
fn every_command_in_the_docs_is_taken() {
    let mut found = 0;
    let mut wrong = String::new();
    for path in documents() {
        for (number, line) in commands(&fs::read_to_string(&path).unwrap()) {
            found += 1;
            if let Some(why) = mistake(&line).filter(|_| !is_synopsis(&line)) {
                wrong += &format!("\n{}:{number}: {line}\n{why}", path.display());
            }
        }
    }
    assert!(found >= LEAST, "only {found} commands were found in the docs");
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn commands_are_found_and_read_as_a_shell_reads_them() {
    let text = "agentctl prose\n\n    agentctl top # screen\n```text\n$ sudo agentctl a \\\n    'b c' >f && agentctl d | jq\n```\n    ls\n";
    let found = commands(text);
    assert_eq!(
        found,
        [(3, "agentctl top # screen".to_owned()), (5, "agentctl a 'b c' >f && agentctl d | jq".to_owned())]
    );
    assert_eq!(words(&found[0].1).unwrap(), [["agentctl", "top"]]);
    assert_eq!(words(&found[1].1).unwrap(), [&["agentctl", "a", "b c"][..], &["agentctl", "d"], &["jq"]]);
    assert_eq!(mistake("agentctl top"), None);
    assert!(mistake("agentctl top && agentctl fly").unwrap().contains("fly"));
    let synopses = ["agentctl x [y]", "agentctl x a|b", "agentctl x …", "agentctl x <Y>"];
    assert!(synopses.into_iter().all(is_synopsis));
    assert!(!["agentctl x | y", "agentctl x 'y' >z"].into_iter().any(is_synopsis));
}
