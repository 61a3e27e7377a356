//! Reads values out of TOML, each with its line, and keeps going after a problem so that all are told at once.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Located;
use super::error::Problems;
use crate::suggest;

/// Where lines begin, and what was wrong so far.
pub(super) struct Reader {
    starts: Vec<usize>,
    problems: Problems,
}

/// One table of the spec, or nothing where it is left out.
#[derive(Clone, Copy)]
pub(super) struct Section<'t, 'i> {
    pub(super) name: &'static str,
    pub(super) line: u32,
    table: Option<&'t DeTable<'i>>,
}

type Value<'i> = Spanned<DeValue<'i>>;

impl Reader {
    pub(super) fn new(text: &str, file: &Path) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(breaks).collect(), problems: Problems::new(file) }
    }

    pub(super) fn file(&self) -> &Path {
        self.problems.file()
    }

    pub(super) fn finish(self) -> Problems {
        self.problems
    }

    pub(super) fn line(&self, span: Range<usize>) -> u32 {
        let line = self.starts.partition_point(|start| *start <= span.start);
        u32::try_from(line.max(1)).unwrap_or(u32::MAX)
    }

    pub(super) fn problem(&mut self, line: u32, message: impl Into<String>) {
        self.problems.add(line, message);
    }

    /// The whole file as a section without a name.
    pub(super) fn root<'t, 'i>(&mut self, table: &'t DeTable<'i>, known: &[&str]) -> Section<'t, 'i> {
        self.unknown_keys(table, known, "", "section");
        Section { name: "", line: 1, table: Some(table) }
    }

    pub(super) fn section<'t, 'i>(
        &mut self,
        root: Section<'t, 'i>,
        name: &'static str,
        known: &[&str],
    ) -> Section<'t, 'i> {
        self.subsection(root, name, name, known)
    }

    /// A table in a table; `name` is how messages call it.
    pub(super) fn subsection<'t, 'i>(
        &mut self,
        parent: Section<'t, 'i>,
        key: &str,
        name: &'static str,
        known: &[&str],
    ) -> Section<'t, 'i> {
        let Some(value) = parent.get(key) else {
            return Section { name, line: parent.line, table: None };
        };
        let line = self.line(value.span());
        let table = self.table(value, name);
        if let Some(table) = table {
            self.unknown_keys(table, known, name, "key");
        }
        Section { name, line, table }
    }

    /// A table whose keys are names of the user's.
    pub(super) fn any_keys<'t, 'i>(
        &mut self,
        value: &'t Value<'i>,
        name: &'static str,
    ) -> Option<Section<'t, 'i>> {
        let table = self.table(value, name)?;
        Some(Section { name, line: self.line(value.span()), table: Some(table) })
    }

    /// An inline table in a list.
    pub(super) fn entry<'t, 'i>(
        &mut self,
        value: &'t Value<'i>,
        name: &'static str,
        known: &[&str],
    ) -> Option<Section<'t, 'i>> {
        let table = self.table(value, name)?;
        self.unknown_keys(table, known, name, "key");
        Some(Section { name, line: self.line(value.span()), table: Some(table) })
    }

    fn table<'t, 'i>(&mut self, value: &'t Value<'i>, name: &str) -> Option<&'t DeTable<'i>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong_type(value, name, "a table");
        }
        table
    }

    fn unknown_keys(&mut self, table: &DeTable<'_>, known: &[&str], place: &str, what: &str) {
        for key in table.keys() {
            if self.problems.is_full() {
                return;
            }
            let word: &str = key.get_ref();
            if !known.contains(&word) {
                let place = if place.is_empty() { String::new() } else { format!(" in {place}") };
                let hint = suggest::hint(word, known.iter().copied());
                let hint = if hint.is_empty() { format!("; known are {}", known.join(", ")) } else { hint };
                let line = self.line(key.span());
                self.problem(line, format!("unknown {what} `{word}`{place}{hint}"));
            }
        }
    }

    fn wrong_type(&mut self, value: &Value<'_>, name: &str, wanted: &str) {
        let line = self.line(value.span());
        let found = value.get_ref().type_str();
        self.problem(line, format!("{name} has the type {found}; write {wanted}"));
    }

    pub(super) fn text(&mut self, value: &Value<'_>, name: &str) -> Option<Located<String>> {
        match value.get_ref().as_str() {
            Some(text) => Some(Located { value: text.to_owned(), line: self.line(value.span()) }),
            None => {
                self.wrong_type(value, name, "a string");
                None
            }
        }
    }

    /// A string that need not be there.
    pub(super) fn string(&mut self, section: Section<'_, '_>, key: &str) -> Option<Located<String>> {
        let name = section.path(key);
        section.get(key).and_then(|value| self.text(value, &name))
    }

    pub(super) fn required(
        &mut self,
        section: Section<'_, '_>,
        key: &str,
        why: &str,
    ) -> Option<Located<String>> {
        if section.get(key).is_none() {
            self.problem(section.line, format!("{} is missing; {why}", section.path(key)));
        }
        self.string(section, key)
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        section: Section<'_, '_>,
        key: &str,
        choices: &[(&str, T)],
    ) -> Option<Located<T>> {
        let word = self.string(section, key)?;
        self.one_of(&section.path(key), &word, choices).map(|value| word.with(value))
    }

    pub(super) fn one_of<T: Copy>(
        &mut self,
        name: &str,
        word: &Located<String>,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let found = choices.iter().find(|(known, _)| *known == word.value);
        if found.is_none() {
            let known: Vec<&str> = choices.iter().map(|(known, _)| *known).collect();
            let hint = suggest::hint(&word.value, known.iter().copied());
            let known = known.join(", ");
            self.problem(word.line, format!("{name} is `{}`, but it can be {known}{hint}", word.value));
        }
        found.map(|(_, value)| *value)
    }

    pub(super) fn integer(&mut self, value: &Value<'_>, name: &str) -> Option<Located<i64>> {
        let number =
            value.get_ref().as_integer().map(|digits| i64::from_str_radix(digits.as_str(), digits.radix()));
        match number {
            Some(Ok(number)) => Some(Located { value: number, line: self.line(value.span()) }),
            Some(Err(_)) => {
                let line = self.line(value.span());
                self.problem(line, format!("{name} is a number out of range; write a smaller one"));
                None
            }
            None => {
                self.wrong_type(value, name, "a number");
                None
            }
        }
    }

    /// A yes or no that need not be there; no where it is left out.
    pub(super) fn flag(&mut self, section: Section<'_, '_>, key: &str) -> bool {
        let Some(value) = section.get(key) else { return false };
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong_type(value, &section.path(key), "true or false");
        }
        flag.unwrap_or(false)
    }

    /// A list that need not be there; `read` makes one element.
    pub(super) fn list<T>(
        &mut self,
        section: Section<'_, '_>,
        key: &str,
        mut read: impl FnMut(&mut Self, &Value<'_>, &str) -> Option<T>,
    ) -> Vec<T> {
        let Some(value) = section.get(key) else { return Vec::new() };
        let name = section.path(key);
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(value, &name, "a list");
            return Vec::new();
        };
        array
            .iter()
            .enumerate()
            .filter_map(|(position, value)| read(self, value, &format!("{name}[{position}]")))
            .collect()
    }

    pub(super) fn strings(&mut self, section: Section<'_, '_>, key: &str) -> Vec<Located<String>> {
        self.list(section, key, |reader, value, name| reader.text(value, name))
    }
}

impl<'t, 'i> Section<'t, 'i> {
    pub(super) fn get(&self, key: &str) -> Option<&'t Value<'i>> {
        self.entries().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    pub(super) fn entries(
        &self,
    ) -> impl Iterator<Item = (&'t Spanned<toml::de::DeString<'i>>, &'t Value<'i>)> {
        self.table.into_iter().flat_map(|table| table.iter())
    }

    pub(super) fn is_written(&self) -> bool {
        self.table.is_some()
    }

    /// `files.read`.
    pub(super) fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}
