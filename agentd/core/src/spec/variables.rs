//! Variables of a spec: `${name}` stands for a value that is known only when the agent starts.
//!
//! A value is always literal: what would be a wildcard in a pattern is escaped, so that a workspace with a strange
//! name cannot grant more than itself. Values that cannot be literal are refused.

use std::collections::BTreeMap;

use super::{MAX_VALUE_BYTES, Spec};
use crate::pattern::{self, Pattern};
use crate::suggest;

/// Variables that agentd sets from the process' user.
pub const BUILT_IN: [&str; 3] = ["home", "user", "uid"];

/// Values for the variables of a spec.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variables(BTreeMap<String, String>);

/// A variable that cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("variable `{0}` is set by agentd from the user; remove it")]
pub struct VariableError(String);

impl Variables {
    /// No values.
    pub fn new() -> Self {
        Self::default()
    }

    /// The values that come from the user for whom an agent runs.
    pub fn of_user(home: &str, user: &str, uid: u32) -> Self {
        let values = [home.to_owned(), user.to_owned(), uid.to_string()];
        Self(BUILT_IN.map(str::to_owned).into_iter().zip(values).collect())
    }

    /// Sets a variable that the spec declares.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), VariableError> {
        if BUILT_IN.contains(&name) {
            return Err(VariableError(name.to_owned()));
        }
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

pub(super) fn is_name(name: &str) -> bool {
    let letter = |byte: &u8| byte.is_ascii_lowercase();
    name.as_bytes().first().is_some_and(letter)
        && name.bytes().all(|byte| letter(&byte) || byte.is_ascii_digit() || byte == b'_')
}

/// Where a text is used, which says what a value in it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// In a pattern: values are escaped.
    Pattern,
    /// In an address or name: values with wildcards are refused.
    Plain,
}

/// Why a text could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// What is wrong, without the place.
    Problem(String),
    /// A variable has no usable value, which is told where it is declared.
    Declared,
}

/// What each name stands for.
pub(super) enum Values {
    /// The agent starts: real values, or why there is none.
    Real(BTreeMap<String, Result<String, Failure>>),
    /// The spec is only checked: every known name has some value.
    Assumed(Vec<String>),
}

impl Values {
    pub(super) fn assumed(spec: &Spec) -> Self {
        Self::Assumed(spec.variables.keys().cloned().chain(BUILT_IN.map(str::to_owned)).collect())
    }

    /// Replaces every `${name}`.
    pub(super) fn expand(&self, text: &str, usage: Use) -> Result<String, Failure> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            expanded.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                let message = format!("`${{` in `{text}` is never closed; write ${{name}}");
                return Err(Failure::Problem(message));
            };
            self.append(&mut expanded, name, usage)?;
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn append(&self, expanded: &mut String, name: &str, usage: Use) -> Result<(), Failure> {
        let unknown = |known: Vec<&str>| {
            let hint = suggest::hint(name, known.iter().copied());
            let hint = if hint.is_empty() { "; declare it in [variables]".to_owned() } else { hint };
            Failure::Problem(format!("unknown variable `{name}`{hint}"))
        };
        match self {
            Self::Assumed(names) if !names.iter().any(|known| known == name) => {
                Err(unknown(names.iter().map(String::as_str).collect()))
            }
            Self::Assumed(_) if usage == Use::Plain => {
                expanded.push_str("${");
                expanded.push_str(name);
                expanded.push('}');
                Ok(())
            }
            Self::Assumed(_) => {
                if expanded.is_empty() {
                    expanded.push('/');
                }
                expanded.push_str(name);
                Ok(())
            }
            Self::Real(values) => match values.get(name) {
                None => Err(unknown(values.keys().map(String::as_str).collect())),
                Some(Err(failure)) => Err(failure.clone()),
                Some(Ok(value)) => append_value(expanded, name, value, usage),
            },
        }
    }
}

fn append_value(expanded: &mut String, name: &str, value: &str, usage: Use) -> Result<(), Failure> {
    match usage {
        Use::Pattern => expanded.push_str(&Pattern::escape(value)),
        Use::Plain if value.contains(|letter: char| pattern::is_meta(letter) || letter == '$') => {
            let message =
                format!("variable `{name}` is `{value}`, which is no part of an address or name; change it");
            return Err(Failure::Problem(message));
        }
        Use::Plain => expanded.push_str(value),
    }
    Ok(())
}

/// A value in the form in which the kernel knows paths, or why it cannot be used.
pub(super) fn normal(name: &str, value: &str) -> Result<String, String> {
    let refuse = |why: &str| Err(format!("variable `{name}` is `{value}`, which {why}"));
    if value.is_empty() {
        return Err(format!("variable `{name}` has no value; give one when the agent starts, or a default"));
    }
    if value.len() > MAX_VALUE_BYTES {
        return Err(format!("variable `{name}` is longer than {MAX_VALUE_BYTES} bytes; shorten it"));
    }
    if value.contains(char::is_control) {
        return refuse("has a control character; choose a value without");
    }
    if value.split('/').any(|part| matches!(part, "." | "..")) {
        return refuse("has a `.` or `..` part; write the whole path");
    }
    if !value.starts_with('/') {
        return Ok(value.to_owned());
    }
    let parts: Vec<&str> = value.split('/').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return refuse("is the root directory and would stand for every file; name a directory below it");
    }
    Ok(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real(value: &str) -> Values {
        Values::Real(BTreeMap::from([("w".to_owned(), normal("w", value).map_err(Failure::Problem))]))
    }

    #[test]
    fn values_are_literal_in_patterns() {
        for (value, wanted) in [
            ("/home/a", "/home/a/**"),
            ("/home/a/", "/home/a/**"),
            ("/home//a", "/home/a/**"),
            ("/a*", "/a\\*/**"),
            ("/a[b]{c,d}?\\", "/a\\[b\\]\\{c\\,d\\}\\?\\\\/**"),
        ] {
            assert_eq!(real(value).expand("${w}/**", Use::Pattern), Ok(wanted.to_owned()));
        }
    }

    #[test]
    fn values_that_would_widen_or_lie_are_refused() {
        for value in ["", "/", "//", "/a/../b", "..", "/a/.", "/a\0b", "/a\nb", &"/a".repeat(4096)] {
            assert!(real(value).expand("${w}", Use::Pattern).is_err(), "{value:?}");
        }
        assert!(real("*.com").expand("${w}", Use::Plain).is_err());
        assert!(real("api.example.com").expand("${w}", Use::Plain).is_ok());
    }

    #[test]
    fn unknown_and_open_variables_are_told() {
        for (text, part) in
            [("${ww}", "did you mean `w`"), ("/a/${w", "never closed"), ("${}", "unknown variable")]
        {
            let error = real("/x").expand(text, Use::Pattern);
            assert!(matches!(&error, Err(Failure::Problem(message)) if message.contains(part)), "{error:?}");
        }
    }
}
