//! The examples of the how-to are what is made.

mod common;

use agentguard_authoring::conversation::{self, Answers, Conversation};
use agentguard_authoring::import::{self, Import};
use agentguard_authoring::scratch::{self, Scratch};
use agentguard_authoring::template::{self, Template};
use agentguard_authoring::workflow::{self, Workflow};
use agentguard_authoring::{AuthoringError, Draft, Identity};

const HOW_TO: &str = include_str!("../../../docs/how-to/create-an-agent.md");

/// Fenced blocks: what stands behind the fence, and the text.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let fenced = HOW_TO.split("```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').unwrap()).collect()
}

fn made(kind: &str, text: &str) -> Result<Draft, AuthoringError> {
    let (file, identity) = ("example", Identity::named("new-agent"));
    match kind {
        "toml template" => template::draft(&Template { file, text, identity }),
        "yaml workflow" => workflow::draft(&Workflow { file, text, identity }),
        "toml answers" => {
            conversation::draft(&Conversation { identity, answers: &Answers::parse(file, text)? })
        }
        "json import" => import::draft(&Import { file, text, identity, server: None }),
        other => panic!("`{other}` is no kind of example"),
    }
}

#[test]
fn every_excerpt_is_of_the_spec_that_its_example_makes() {
    let (mut last, mut checked) = (None, 0);
    for (kind, text) in blocks() {
        let draft = match kind {
            "toml excerpt" => last.take().expect("an example before its excerpt"),
            "toml excerpt scratch" => {
                scratch::draft(&Scratch { identity: Identity::named("new-agent") }).unwrap()
            }
            _ => {
                last = Some(made(kind, text).unwrap_or_else(|error| panic!("{error}")));
                continue;
            }
        };
        common::assert_is_for_the_sandbox(&draft);
        for line in text.lines() {
            assert!(draft.text.contains(line), "`{line}` is not in\n{}", draft.text);
        }
        checked += 1;
    }
    assert_eq!(checked, 6);
}

#[test]
fn every_question_is_named() {
    let mut answers = Answers::default();
    while let Some(question) = answers.next_question() {
        assert!(HOW_TO.contains(&format!("`{}`", question.key)), "{}", question.key);
        let typed = match question.key {
            "serves" => "yes",
            "programs" => "git",
            _ => "",
        };
        answers.set(question.key, typed).unwrap();
    }
}
