//! `--from conversation`: asks on the terminal, or takes the answers of a file.
//!
//! Questions go to stderr, so that the spec of `--dry-run` is all that stdout gets.

use std::io::{self, BufRead, Write};

use agentguard_authoring::Identity;
use agentguard_authoring::conversation::{self, Answers, Kind, Question};

use super::source::SourceArguments;
use super::{Made, not_made};
use crate::exit::Failure;
use crate::spec_text::SpecText;

pub(super) fn make(source: &SourceArguments, identity: Identity) -> Result<Made, Failure> {
    let name = identity.name.clone();
    let (answers, origin) = match &source.answers {
        Some(file) => {
            let SpecText { file, text } = SpecText::read(file)?;
            (Answers::parse(&file, &text).map_err(not_made)?, format!("answers {file}"))
        }
        None => {
            let answers = ask(said(&identity)?, &mut io::stdin().lock(), &mut io::stderr())?;
            (answers, "conversation".to_owned())
        }
    };
    let arguments = conversation::Conversation { identity, answers: &answers };
    let draft = conversation::draft(&arguments).map_err(not_made)?;
    Ok(Made { file: format!("{name}.toml"), name, draft, origin })
}

/// What was typed as an option is not asked again.
fn said(identity: &Identity) -> Result<Answers, Failure> {
    let mut answers = Answers::default();
    for (key, value) in [
        ("purpose", identity.description.clone()),
        ("role", identity.role.map(|role| role.name().to_owned())),
        ("tier", identity.tier.map(|tier| tier.to_string())),
        ("owner", identity.owner.clone()),
        ("model", identity.model.clone()),
        ("temperature", identity.temperature.map(|value| value.to_string())),
        ("budget", identity.monthly_budget_usd.map(|value| value.to_string())),
        ("expires", identity.expires.clone()),
    ] {
        if let Some(value) = value {
            answers.set(key, &value).map_err(not_made)?;
        }
    }
    Ok(answers)
}

/// Asks until there are no more questions. A bad answer is told, and the question asked again.
fn ask(mut answers: Answers, input: &mut impl BufRead, output: &mut impl Write) -> Result<Answers, Failure> {
    while let Some(question) = answers.next_question() {
        write!(output, "{}", prompt(&question))?;
        output.flush()?;
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            writeln!(output)?;
            return Err(Failure::Failed(format!(
                "the answers ended before `{}`; an empty line takes the default",
                question.key
            )));
        }
        if let Err(error) = answers.set(question.key, &line) {
            writeln!(output, "  {error}")?;
        }
    }
    Ok(answers)
}

fn prompt(question: &Question) -> String {
    let Question { text, help, kind, default, .. } = question;
    let choices = match kind {
        Kind::Choice(words) => format!(" ({})", words.join(", ")),
        Kind::List => " (with commas between)".to_owned(),
        Kind::YesNo => " (yes, no)".to_owned(),
        Kind::Text | Kind::Number | Kind::Port => String::new(),
    };
    let default = if default.is_empty() { String::new() } else { format!("[{default}] ") };
    format!("{text}{choices}\n  {help}\n  {default}> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(identity: &Identity, typed: &str) -> (Result<Answers, Failure>, String) {
        let mut shown = Vec::new();
        let answers = ask(said(identity).unwrap(), &mut typed.as_bytes(), &mut shown);
        (answers, String::from_utf8(shown).unwrap())
    }

    #[test]
    fn a_bad_answer_is_told_and_the_question_asked_again() {
        let typed = format!("writes reports\nboss\nanalysis\n{}", "\n".repeat(30));
        let (answers, shown) = asked(&Identity::named("x"), &typed);
        assert!(answers.is_ok());
        assert!(shown.contains("  role: `boss` is none of compliance, analysis, ideation\n"), "{shown}");
        assert_eq!(
            shown.matches("What kind of work does it do? (compliance, analysis, ideation)").count(),
            2
        );
        assert!(shown.contains("  [analysis] > "), "{shown}");
    }

    #[test]
    fn what_was_typed_as_an_option_is_not_asked() {
        let identity = Identity { tier: Some(2), ..Identity::named("x") };
        let (_, shown) = asked(&identity, &"\n".repeat(40));
        assert!(!shown.contains("How much is it trusted?"), "{shown}");
    }

    #[test]
    fn answers_that_end_too_early_are_no_answers() {
        let (answers, _) = asked(&Identity::named("x"), "writes reports\n");
        let words = answers.unwrap_err().to_string();
        assert_eq!(words, "the answers ended before `role`; an empty line takes the default");
    }
}
