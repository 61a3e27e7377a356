//! The questions, in the order in which they are asked.

use super::Answers;
use crate::identity::{DEFAULT_BUDGET_USD, DEFAULT_MODEL, usual_temperature};
use agentguard_core::spec::Role;

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Under which its answer is kept, and written in an answers file.
    pub key: &'static str,
    /// What is asked.
    pub text: &'static str,
    /// More, for who wants it.
    pub help: &'static str,
    /// What an answer can be.
    pub kind: Kind,
    /// Taken for an empty answer; empty if there is none.
    pub default: String,
}

/// What an answer can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One line.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any number of texts; on a terminal with commas between them.
    List,
    /// A number.
    Number,
    /// A port, from 1 to 65535.
    Port,
    /// `yes` or `no`; in a file also `true` or `false`.
    YesNo,
}

/// A question and when it is asked.
struct Asked {
    key: &'static str,
    text: &'static str,
    help: &'static str,
    kind: Kind,
    default: fn(&Answers) -> String,
    when: fn(&Answers) -> bool,
}

const fn always(_: &Answers) -> bool {
    true
}

const fn nothing(_: &Answers) -> String {
    String::new()
}

fn role(answers: &Answers) -> Role {
    match answers.text("role") {
        "compliance" => Role::Compliance,
        "ideation" => Role::Ideation,
        _ => Role::Analysis,
    }
}

const QUESTIONS: [Asked; 20] = [
    Asked {
        key: "purpose",
        text: "What is the agent for?",
        help: "One line, for people who read the list of agents.",
        kind: Kind::Text,
        default: nothing,
        when: always,
    },
    Asked {
        key: "role",
        text: "What kind of work does it do?",
        help: "compliance checks rules and evidence, analysis looks and reports, ideation makes new things.",
        kind: Kind::Choice(&["compliance", "analysis", "ideation"]),
        default: |_| "analysis".to_owned(),
        when: always,
    },
    Asked {
        key: "tier",
        text: "How much is it trusted?",
        help: "1 to 4. The higher, the less policy lets its spec grant.",
        kind: Kind::Choice(&["1", "2", "3", "4"]),
        default: |_| "3".to_owned(),
        when: always,
    },
    Asked {
        key: "owner",
        text: "Who answers for it?",
        help: "A person or team, with a way to reach them.",
        kind: Kind::Text,
        default: nothing,
        when: always,
    },
    Asked {
        key: "inputs",
        text: "What does it work on?",
        help: "For people: repository, tickets, logs.",
        kind: Kind::List,
        default: nothing,
        when: always,
    },
    Asked {
        key: "actions",
        text: "What does it do?",
        help: "For people: edit files, run tests, write a report.",
        kind: Kind::List,
        default: nothing,
        when: always,
    },
    Asked {
        key: "workspace",
        text: "What may it do in the directory that it works in?",
        help: "none, read, change (write, create, delete), or run (change, and run what it made there).",
        kind: Kind::Choice(&["none", "read", "change", "run"]),
        default: |answers| if role(answers) == Role::Ideation { "change" } else { "read" }.to_owned(),
        when: always,
    },
    Asked {
        key: "programs",
        text: "Which programs does it run?",
        help: "By name: git, cargo, npm, python3, make, jq. What known ones read, cache and connect to is granted with them.",
        kind: Kind::List,
        default: nothing,
        when: always,
    },
    Asked {
        key: "reads",
        text: "Which other files or directories does it read?",
        help: "Whole paths, or ~/ for its user's home.",
        kind: Kind::List,
        default: nothing,
        when: always,
    },
    Asked {
        key: "writes",
        text: "Which other files or directories does it change?",
        help: "Whole paths, or ~/ for its user's home.",
        kind: Kind::List,
        default: nothing,
        when: always,
    },
    Asked {
        key: "connects",
        text: "Which hosts does it talk to?",
        help: "host or host:port, 443 if no port is given. Include the model's API.",
        kind: Kind::List,
        default: nothing,
        when: always,
    },
    Asked {
        key: "serves",
        text: "Does it serve others on this host?",
        help: "It may then listen on 127.0.0.1, in the sandbox too.",
        kind: Kind::YesNo,
        default: |_| "no".to_owned(),
        when: always,
    },
    Asked {
        key: "port",
        text: "On which port?",
        help: "1 to 65535.",
        kind: Kind::Port,
        default: |_| "8000".to_owned(),
        when: |answers| answers.is_yes("serves"),
    },
    Asked {
        key: "asks",
        text: "Which commands must a person allow each time?",
        help: "Patterns over the command line: git push *, which stands for git push alone too.",
        kind: Kind::List,
        default: |answers| {
            if answers.list("programs").iter().any(|name| name == "git") { "git push *" } else { "" }
                .to_owned()
        },
        when: |answers| !answers.list("programs").is_empty(),
    },
    Asked {
        key: "never",
        text: "Which commands must never run?",
        help: "Patterns over the command line: git push --force*.",
        kind: Kind::List,
        default: |answers| {
            if answers.list("programs").iter().any(|name| name == "git") { "git push --force*" } else { "" }
                .to_owned()
        },
        when: |answers| !answers.list("programs").is_empty(),
    },
    Asked {
        key: "model",
        text: "Which model does it reason with?",
        help: "As its maker names it.",
        kind: Kind::Text,
        default: |_| DEFAULT_MODEL.to_owned(),
        when: always,
    },
    Asked {
        key: "temperature",
        text: "At which temperature?",
        help: "Promoted are compliance up to 0.3, analysis up to 0.7, ideation up to 1.0.",
        kind: Kind::Number,
        default: |answers| usual_temperature(role(answers)).to_string(),
        when: always,
    },
    Asked {
        key: "memory",
        text: "What does it remember?",
        help: "none, session (until it ends), persistent (from one run to the next).",
        kind: Kind::Choice(&["none", "session", "persistent"]),
        default: |_| "none".to_owned(),
        when: always,
    },
    Asked {
        key: "budget",
        text: "What may it cost in a month?",
        help: "US dollars.",
        kind: Kind::Number,
        default: |_| DEFAULT_BUDGET_USD.to_string(),
        when: always,
    },
    Asked {
        key: "expires",
        text: "When does it expire?",
        help: "As 2027-06-30T00:00:00Z; empty for never.",
        kind: Kind::Text,
        default: nothing,
        when: always,
    },
];

/// Every key that there is.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    QUESTIONS.iter().map(|asked| asked.key)
}

pub(super) fn kind(key: &str) -> Option<(&'static str, Kind)> {
    QUESTIONS.iter().find(|asked| asked.key == key).map(|asked| (asked.key, asked.kind))
}

pub(super) fn default(key: &str, answers: &Answers) -> Option<String> {
    let asked = QUESTIONS.iter().find(|asked| asked.key == key)?;
    (asked.when)(answers).then(|| (asked.default)(answers))
}

/// The first question that is to be asked and has no answer.
pub(super) fn next(answers: &Answers) -> Option<Question> {
    let open = |asked: &&Asked| !answers.is_answered(asked.key) && (asked.when)(answers);
    QUESTIONS.iter().find(open).map(|asked| Question {
        key: asked.key,
        text: asked.text,
        help: asked.help,
        kind: asked.kind,
        default: (asked.default)(answers),
    })
}
