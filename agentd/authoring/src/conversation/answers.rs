//! Answers, from a terminal or from a file. A file is TOML or JSON with the keys of the questions at its top.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU16;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de::SeqAccess};

use super::questions::{self, Kind, Question};
use crate::{AuthoringError, Source};

/// Longest answer; a list may have as many entries as fit.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// What was answered, by key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answers {
    given: BTreeMap<&'static str, Vec<String>>,
}

impl Answers {
    /// Reads an answers file: JSON if it begins with `{`, else TOML. Errors name line and key.
    pub fn parse(file: &str, text: &str) -> Result<Self, AuthoringError> {
        crate::text::check_length(Source { file, text })?;
        if text.trim_start().starts_with('{') {
            return serde_json::from_str(text).map_err(|error| AuthoringError::json(file, &error));
        }
        toml::from_str(text).map_err(|error| AuthoringError::toml(Source { file, text }, &error))
    }

    /// The next question, which may depend on what was answered before.
    pub fn next_question(&self) -> Option<Question> {
        questions::next(self)
    }

    /// Answers a question as it is typed; an empty answer is the question's default.
    pub fn set(&mut self, key: &str, typed: &str) -> Result<(), AuthoringError> {
        let wrong = |problem: String| AuthoringError::value(key, problem);
        let (key, kind) = questions::kind(key).ok_or_else(|| wrong(unknown(key)))?;
        let typed = typed.trim();
        let typed = if typed.is_empty() {
            questions::default(key, self).unwrap_or_default()
        } else {
            typed.to_owned()
        };
        let entries = match kind {
            Kind::List => typed
                .split(',')
                .map(|entry| entry.trim().to_owned())
                .filter(|entry| !entry.is_empty())
                .collect(),
            Kind::Text | Kind::Choice(_) | Kind::Number | Kind::Port | Kind::YesNo => vec![typed],
        };
        let entries = check(kind, entries).map_err(|problem| AuthoringError::value(key, problem))?;
        self.given.insert(key, entries);
        Ok(())
    }

    /// Whether a question has an answer.
    pub fn is_answered(&self, key: &str) -> bool {
        self.given.contains_key(key)
    }

    /// An answer of one line; empty if nobody answered.
    pub(super) fn text(&self, key: &str) -> &str {
        self.given.get(key).and_then(|entries| entries.first()).map_or("", String::as_str)
    }

    pub(super) fn number(&self, key: &str) -> Option<&str> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    pub(super) fn list(&self, key: &str) -> &[String] {
        self.given.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn is_yes(&self, key: &str) -> bool {
        self.text(key) == "yes"
    }

    /// The same with the default of every question that was not answered.
    #[must_use]
    pub fn with_defaults(mut self) -> Self {
        while let Some(question) = self.next_question() {
            if self.set(question.key, "").is_err() {
                break;
            }
        }
        self
    }
}

/// Whether the entries are an answer of this kind, in the form in which they are kept.
fn check(kind: Kind, entries: Vec<String>) -> Result<Vec<String>, String> {
    let length: usize = entries.iter().map(String::len).sum();
    if length > MAX_ANSWER_BYTES {
        return Err(format!("the answer has {length} bytes, the limit is {MAX_ANSWER_BYTES}; shorten it"));
    }
    if entries.iter().any(|entry| entry.contains(char::is_control)) {
        return Err("an answer is one line; take out control characters and line breaks".to_owned());
    }
    let first = entries.first().map_or("", String::as_str);
    match kind {
        Kind::Text | Kind::List => Ok(entries),
        Kind::Choice(words) if words.contains(&first) => Ok(entries),
        Kind::Choice(words) => Err(format!("`{first}` is none of {}", words.join(", "))),
        Kind::Port => port(first).map(|_| entries),
        Kind::Number if first.parse::<f64>().is_ok_and(f64::is_finite) => Ok(entries),
        Kind::Number => Err(format!("`{first}` is no number; write one such as 0.2")),
        Kind::YesNo => match first {
            "yes" | "y" | "true" => Ok(vec!["yes".to_owned()]),
            "no" | "n" | "false" => Ok(vec!["no".to_owned()]),
            _ => Err(format!("`{first}` is neither yes nor no")),
        },
    }
}

/// A port, or why it is none.
pub(super) fn port(text: &str) -> Result<u16, String> {
    let port = text.parse::<NonZeroU16>().map(NonZeroU16::get);
    port.map_err(|_| format!("`{text}` is no port; write one from 1 to 65535"))
}

fn unknown(key: &str) -> String {
    format!("there is no question `{key}`; there are {}", questions::keys().collect::<Vec<_>>().join(", "))
}

impl<'de> Deserialize<'de> for Answers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;

        impl<'de> Visitor<'de> for Whole {
            type Value = Answers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("answers by key")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Answers, A::Error> {
                let mut answers = Answers::default();
                while let Some(key) = map.next_key::<String>()? {
                    let (key, kind) =
                        questions::kind(&key).ok_or_else(|| de::Error::custom(unknown(&key)))?;
                    let entries = map.next_value_seed(Entries { key, kind })?;
                    answers.given.insert(key, entries);
                }
                Ok(answers)
            }
        }

        deserializer.deserialize_map(Whole)
    }
}

/// One answer of a file. It is checked while the reader stands on it, so that the error has its line.
struct Entries {
    key: &'static str,
    kind: Kind,
}

impl<'de> DeserializeSeed<'de> for Entries {
    type Value = Vec<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Entries {
    fn checked<E: de::Error>(&self, entries: Vec<String>) -> Result<Vec<String>, E> {
        check(self.kind, entries).map_err(|problem| E::custom(format!("{}: {problem}", self.key)))
    }
}

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Text => "a text",
            Kind::Choice(_) => "one of the words",
            Kind::List => "a list of texts",
            Kind::Number => "a number",
            Kind::Port => "a port",
            Kind::YesNo => "true or false",
        };
        write!(f, "{kind} for {}", self.key)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        self.checked(vec![text.to_owned()])
    }

    fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Self::Value, E> {
        self.checked(vec![if yes { "yes" } else { "no" }.to_owned()])
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        self.checked(vec![number.to_string()])
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        self.checked(vec![number.to_string()])
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        self.checked(vec![number.to_string()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        if self.kind != Kind::List {
            return Err(de::Error::custom(format!("{}: a list, but one answer is wanted", self.key)));
        }
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element::<String>()? {
            entries.push(entry);
        }
        self.checked(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_a_file_name_line_and_key() {
        for (text, wanted) in [
            (
                "purpose = \"x\"\nrole = \"boss\"\n",
                "a.toml:2: role: `boss` is none of compliance, analysis, ideation",
            ),
            ("purpose = \"x\"\n\ntier = 9\n", "a.toml:3: tier: `9` is none of 1, 2, 3, 4"),
            ("temperature = \"hot\"\n", "a.toml:1: temperature: `hot` is no number"),
            ("serves = true\nport = 70000\n", "a.toml:2: port: `70000` is no port"),
            ("port = 80.5\n", "a.toml:1: port: `80.5` is no port"),
            ("port = 0\n", "a.toml:1: port: `0` is no port"),
            ("port = -1\n", "a.toml:1: port: `-1` is no port"),
            ("purpose = [\"x\"]\n", "a.toml:1: purpose: a list, but one answer is wanted"),
            ("rolle = \"x\"\n", "a.toml:1: there is no question `rolle`"),
            ("role = \n", "a.toml:1: "),
            (
                "{\n \"purpose\": \"x\",\n \"serves\": \"maybe\"\n}",
                "a.toml:3: serves: `maybe` is neither yes nor no",
            ),
        ] {
            let error = Answers::parse("a.toml", text).expect_err(text).to_string();
            assert!(error.starts_with(wanted) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn later_questions_depend_on_earlier_answers() {
        let mut answers = Answers::default();
        let mut asked = Vec::new();
        while let Some(question) = answers.next_question() {
            asked.push(question.key);
            let typed = match question.key {
                "serves" => "y",
                "programs" => "git, cargo",
                _ => "",
            };
            answers.set(question.key, typed).expect(question.key);
        }
        assert!(asked.contains(&"port"));
        assert_eq!(answers.list("asks"), ["git push *"]);
        assert_eq!(Answers::default().with_defaults().list("asks"), [""; 0]);
    }

    #[test]
    fn a_bad_answer_is_refused_and_can_be_given_again() {
        let mut answers = Answers::default();
        assert_eq!(answers.set("tier", "7").unwrap_err().to_string(), "tier: `7` is none of 1, 2, 3, 4");
        assert!(!answers.is_answered("tier"));
        assert!(answers.set("tier", "2").is_ok());
    }
}
