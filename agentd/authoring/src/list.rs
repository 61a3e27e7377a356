//! Lists of grants as an author reads them: with headings, and with a mark where one is unsure.

/// One entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    /// What is granted.
    pub value: T,
    /// Written above the first entry that has it.
    pub heading: Option<String>,
    /// Why it may not be needed, or may be too much.
    pub unsure: Option<String>,
}

/// Entries in the order in which they were added, each value once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T>(Vec<Entry<T>>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: PartialEq> List<T> {
    /// Adds a value.
    pub fn add(&mut self, value: impl Into<T>) {
        self.insert(Entry { value: value.into(), heading: None, unsure: None });
    }

    /// Adds a value under a heading.
    pub fn add_under(&mut self, heading: &str, value: impl Into<T>) {
        self.insert(Entry { value: value.into(), heading: Some(heading.to_owned()), unsure: None });
    }

    /// Adds a value that somebody should look at.
    pub fn add_unsure(&mut self, value: impl Into<T>, why: impl Into<String>) {
        self.insert(Entry { value: value.into(), heading: None, unsure: Some(why.into()) });
    }

    /// Adds an entry. A value that is there already stays where it is; it is sure if either was.
    pub fn insert(&mut self, entry: Entry<T>) {
        match self.0.iter_mut().find(|known| known.value == entry.value) {
            Some(known) if entry.unsure.is_none() => known.unsure = None,
            Some(_) => {}
            None => self.0.push(entry),
        }
    }

    /// The entries.
    pub fn iter(&self) -> impl Iterator<Item = &Entry<T>> {
        self.0.iter()
    }

    /// Takes out what is not to be kept.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Entry<T>) -> bool) {
        self.0.retain(keep);
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Brings entries with the same heading together, in the order in which headings came.
    pub(crate) fn by_heading(&self) -> Vec<&Entry<T>> {
        let mut headings: Vec<Option<&str>> = Vec::new();
        for entry in &self.0 {
            if !headings.contains(&entry.heading.as_deref()) {
                headings.push(entry.heading.as_deref());
            }
        }
        let rank = |entry: &&Entry<T>| headings.iter().position(|known| *known == entry.heading.as_deref());
        let mut entries: Vec<&Entry<T>> = self.0.iter().collect();
        entries.sort_by_key(rank);
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_once_in_a_list_and_sure_if_anybody_was() {
        let mut list: List<String> = List::default();
        list.add_unsure("/a", "once");
        list.add("/b");
        list.add("/a");
        list.add_unsure("/b", "once");
        let entries: Vec<_> = list.iter().map(|entry| (entry.value.as_str(), &entry.unsure)).collect();
        assert_eq!(entries, [("/a", &None), ("/b", &None)]);
    }
}
