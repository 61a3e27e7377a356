//! Paths as a tree of names, and the fewest grants that cover it without opening what is [`sensitive`](super::sensitive).

use std::collections::BTreeMap;

use agentguard_core::pattern::{ABSTRACT_PREFIX, Pattern};

use super::part::{self, Kind};
use super::requests::Seen;
use super::sensitive::Places;
use super::{DESCENDANTS, SIBLINGS};

/// So many names that differ only in numbers are a series.
const SERIES: usize = 3;
/// Directories whose names are made up by programs.
const TEMPORARY: [&str; 3] = ["tmp", "var/tmp", "dev/shm"];
const CGROUPS: &str = "/sys/fs/cgroup";

/// How far a grant may reach beyond the names that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// To names of the same shape.
    Names,
    /// Also to whole directories, where many names in them were asked for.
    Directories,
}

/// One entry of a list, and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) pattern: String,
    pub(super) seen: Seen,
    /// Different names that were asked for.
    pub(super) names: usize,
    /// One of them.
    pub(super) example: String,
    /// Whether it also matches others.
    pub(super) is_wider: bool,
}

/// Names in one directory.
#[derive(Debug, Clone, Default)]
struct Node {
    children: BTreeMap<String, Node>,
    here: Option<Leaf>,
    /// A real path that leads here, to tell what place it is.
    path: String,
}

#[derive(Debug, Clone)]
struct Leaf {
    seen: Seen,
    names: usize,
    example: String,
}

#[derive(Debug, Default)]
pub(super) struct Tree {
    roots: BTreeMap<&'static str, Node>,
    /// Granted as they are.
    exact: BTreeMap<String, Leaf>,
}

impl Tree {
    pub(super) fn of<'r>(places: &Places, paths: impl Iterator<Item = (&'r str, Seen)>) -> Self {
        let mut tree = Self::default();
        for (path, seen) in paths {
            let leaf = Leaf { seen, names: 1, example: path.to_owned() };
            if path.starts_with(ABSTRACT_PREFIX) {
                tree.exact.insert(Pattern::escape(path), leaf);
            } else if places.is_sensitive(path) {
                let placed = places.place(path);
                let parts: String =
                    placed.parts.iter().map(|part| format!("/{}", Pattern::escape(part))).collect();
                tree.exact.insert(or_root(format!("{}{parts}", placed.root)), leaf);
            } else {
                tree.insert(places, path, leaf);
            }
        }
        tree
    }

    fn insert(&mut self, places: &Places, path: &str, leaf: Leaf) {
        let placed = places.place(path);
        let above: usize = placed.parts.iter().map(|part| part.len() + 1).sum();
        let mut end = path.len().saturating_sub(if placed.root.is_empty() { path.len() } else { above });
        let mut node = self.roots.entry(placed.root).or_default();
        node.path = path.get(..end).unwrap_or_default().to_owned();
        for (depth, name) in placed.parts.iter().enumerate() {
            end += name.len() + 1;
            let kind = kind(placed.root, &placed.parts, depth);
            // The first name below a root says what place it is.
            let literal = depth == 0 && placed.root != crate::base::WORKSPACE;
            let key = if literal { Pattern::escape(name) } else { part::pattern(name, kind) };
            node = node.children.entry(key).or_default();
            if node.path.is_empty() {
                node.path = path.get(..end).unwrap_or(path).to_owned();
            }
        }
        node.take(leaf);
    }

    /// The grants, by pattern.
    pub(super) fn grants(mut self, places: &Places, width: Width) -> Vec<Grant> {
        let mut found = BTreeMap::new();
        for (root, node) in &mut self.roots {
            node.merge_series(places);
            node.collect(places, width, root, &mut found);
        }
        for (pattern, leaf) in self.exact {
            found.insert(pattern, leaf);
        }
        let grant = |(pattern, leaf): (String, Leaf)| Grant {
            is_wider: has_wildcard(&pattern),
            pattern,
            seen: leaf.seen,
            names: leaf.names,
            example: leaf.example,
        };
        found.into_iter().map(grant).collect()
    }
}

impl Node {
    fn take(&mut self, leaf: Leaf) {
        match &mut self.here {
            Some(known) => known.take(leaf),
            None => self.here = Some(leaf),
        }
    }

    /// Names that differ only in numbers become one, from the top down.
    fn merge_series(&mut self, places: &Places) {
        if places.may_open(&self.path) {
            let mut shapes: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for name in self.children.keys().filter(|name| !has_wildcard(name)) {
                if let Some(shape) = shape(name) {
                    shapes.entry(shape).or_default().push(name.clone());
                }
            }
            for (shape, names) in shapes.into_iter().filter(|(_, names)| names.len() >= SERIES) {
                let merged: Vec<Node> = names.iter().filter_map(|name| self.children.remove(name)).collect();
                let node = self.children.entry(shape).or_default();
                merged.into_iter().for_each(|other| node.absorb(other));
            }
        }
        self.children.values_mut().for_each(|child| child.merge_series(places));
    }

    fn absorb(&mut self, other: Self) {
        if self.path.is_empty() {
            self.path = other.path;
        }
        if let Some(leaf) = other.here {
            self.take(leaf);
        }
        for (name, child) in other.children {
            self.children.entry(name).or_default().absorb(child);
        }
    }

    fn collect(&self, places: &Places, width: Width, pattern: &str, found: &mut BTreeMap<String, Leaf>) {
        if let Some(leaf) = &self.here {
            add(found, or_root(pattern.to_owned()), leaf.clone());
        }
        let names = self.children.len();
        let deep = self.children.values().any(|child| !child.children.is_empty());
        let cgroups = self.path == CGROUPS;
        let many = names >= SIBLINGS || (deep && self.leaves() >= DESCENDANTS);
        if cgroups || (width == Width::Directories && many && places.may_open(&self.path)) {
            let whole = if deep || cgroups { format!("{pattern}/**") } else { format!("{pattern}/*") };
            if let Some(leaf) = self.children.values().filter_map(Self::all).reduce(Leaf::with) {
                add(found, whole, leaf);
            }
            return;
        }
        for (name, child) in &self.children {
            child.collect(places, width, &format!("{pattern}/{name}"), found);
        }
    }

    fn leaves(&self) -> usize {
        usize::from(self.here.is_some()) + self.children.values().map(Self::leaves).sum::<usize>()
    }

    fn all(&self) -> Option<Leaf> {
        self.here.iter().cloned().chain(self.children.values().filter_map(Self::all)).reduce(Leaf::with)
    }
}

impl Leaf {
    fn take(&mut self, other: Self) {
        self.seen = self.seen.with(other.seen);
        self.names += other.names;
        if other.example < self.example {
            self.example = other.example;
        }
    }

    fn with(mut self, other: Self) -> Self {
        self.take(other);
        self
    }
}

fn add(found: &mut BTreeMap<String, Leaf>, pattern: String, leaf: Leaf) {
    match found.get_mut(&pattern) {
        Some(known) => known.take(leaf),
        None => {
            found.insert(pattern, leaf);
        }
    }
}

fn or_root(pattern: String) -> String {
    if pattern.is_empty() { "/".to_owned() } else { pattern }
}

fn kind(root: &str, parts: &[&str], depth: usize) -> Kind {
    let above = parts.get(..depth).unwrap_or_default().join("/");
    let within = |directory: &&&str| above == **directory || above.starts_with(&format!("{directory}/"));
    match parts.first().copied() {
        Some("proc") if root.is_empty() => Kind::Process,
        Some("dev") if root.is_empty() && above == "dev/pts" => Kind::Process,
        _ if root.is_empty() && TEMPORARY.iter().find(within).is_some() => Kind::Temporary,
        Some("usr" | "lib" | "lib64" | "opt") if root.is_empty() => Kind::Library,
        _ => Kind::Plain,
    }
}

/// A name with numbers as a pattern for any numbers there.
fn shape(name: &str) -> Option<String> {
    let mut shape = String::new();
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter.is_ascii_digit() {
            while letters.next_if(char::is_ascii_digit).is_some() {}
            shape.push_str("[0-9]*");
        } else {
            shape.push(letter);
        }
    }
    (shape != name).then_some(shape)
}

/// Whether a pattern has a wildcard; what is escaped is none.
fn has_wildcard(pattern: &str) -> bool {
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                letters.next();
            }
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}
