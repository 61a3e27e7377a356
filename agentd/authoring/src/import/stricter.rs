//! In Claude Code what is denied is denied, whatever else is said, and so is what is asked. In a spec the rule that names
//! more of a path before its first wildcard wins. So a denial is said again below each grant that would win over it; where
//! no pattern says that, the grant is left out.

use std::collections::BTreeSet;

use agentguard_core::pattern::{COMMAND_PREFIX, Pattern, Specificity};
use agentguard_core::rule::Network;
use agentguard_core::spec::Peer;

use super::glob;
use super::meet::meet;
use crate::draft::Note;
use crate::{Entry, FilesPart, List, NetworkPart, base};

/// Above what the permission rules grant.
pub(super) const RULES: &str = "Named by permission rules.";
/// Above directories beside the workspace.
pub(super) const DIRECTORIES: &str = "Additional directories.";
/// Above what is said again. What is below grants that nobody named is apart, because less is taken to lie there.
const AGAIN: &str = "Again below what is granted: the rule that names more of a path wins.";
const AGAIN_BELOW_OWN: &str = "Again below what is granted to every program and to those that are known.";
/// Why a grant is left out.
pub(super) const COVERED: &str = "a rule that denies or asks covers it, and that comes first";
/// Why what was asked about is denied.
pub(super) const DENIED: &str = "denied, not held: a rule that denies crosses it, and that comes first";
/// Above what was asked about and is denied.
const CROSSED: &str = "Asked about, but a denial crosses it.";

/// Holds every grant of files against what is denied and held.
pub(super) fn files(files: &mut FilesPart, notes: &mut Vec<Note>) {
    deny_over_hold(files, notes);
    let FilesPart { read, write, create, delete, link, hold, .. } = files;
    over_grants(hold, [read, write, create, delete, link], notes);
    // What is held was said again, and that may win over a denial too.
    deny_over_hold(files, notes);
    let FilesPart { read, write, create, delete, link, deny, .. } = files;
    over_grants(deny, [read, write, create, delete, link], notes);
}

/// What cannot be both denied and held as it is written is denied: left out, it might be granted.
fn deny_over_hold(files: &mut FilesPart, notes: &mut Vec<Note>) {
    let denied = said(&files.deny);
    let FilesPart { hold, deny, .. } = files;
    hold.retain(|entry| {
        let named = entry.heading.as_deref() != Some(AGAIN_BELOW_OWN);
        let again = all_again(&denied, entry, named);
        let kept = again.is_some();
        again.into_iter().flatten().for_each(|pattern| deny.add_under(heading(named), pattern));
        if !kept {
            notes.push(Note::unsure(format!("files.deny {}", entry.value), DENIED));
            deny.add_under(CROSSED, entry.value.clone());
        }
        kept
    });
}

fn over_grants(stricter: &mut List<String>, grants: [&mut List<String>; 5], notes: &mut Vec<Note>) {
    let said = said(stricter);
    for list in grants {
        list.retain(|entry| {
            let named = matches!(entry.heading.as_deref(), Some(RULES | DIRECTORIES));
            let again = all_again(&said, entry, named);
            let kept = again.is_some();
            again.into_iter().flatten().for_each(|pattern| stricter.add_under(heading(named), pattern));
            if !kept {
                let why = "a rule that denies or asks covers or crosses it, and that comes first";
                notes.push(Note::left_out(format!("a grant of {}", entry.value), why));
            }
            kept
        });
    }
}

const fn heading(named: bool) -> &'static str {
    if named { AGAIN } else { AGAIN_BELOW_OWN }
}

/// What the rules say themselves; what was said again is about nothing else.
fn said(list: &List<String>) -> Vec<String> {
    let again = |heading: Option<&str>| matches!(heading, Some(AGAIN | AGAIN_BELOW_OWN));
    let entries = list.iter().filter(|entry| !again(entry.heading.as_deref()));
    entries.map(|entry| entry.value.clone()).collect()
}

/// What is to be said again for one looser entry; nothing if it cannot stand beside the stricter ones.
fn all_again(stricter: &[String], looser: &Entry<String>, named: bool) -> Option<Vec<String>> {
    let again: Option<Vec<_>> = stricter.iter().map(|strict| again(strict, &looser.value, named)).collect();
    again.map(|patterns| patterns.concat())
}

/// Patterns that say a stricter one again where a looser one would win over it; nothing if none does. `named` is what the
/// user wrote, which may lie anywhere.
fn again(strict: &str, loose: &str, named: bool) -> Option<Vec<String>> {
    let (stricter, looser) = (Placed::new(strict), Placed::new(loose));
    let specificity_of_loose = specificity(loose)?;
    if stricter.root == looser.root && specificity(strict)? >= specificity_of_loose {
        return Some(Vec::new());
    }
    let directory = looser.directory();
    let (names, rest) = looser.parts.split_at_checked(directory.len())?;
    let mut patterns = Vec::new();
    for below in stricter.below(&looser, &directory, named) {
        if !have_common(below, rest) {
            continue;
        }
        let path: String = names.iter().chain(below).map(|part| format!("/{part}")).collect();
        let pattern = format!("{}{path}", looser.root.text());
        if is_whole(below) || specificity(&pattern)? < specificity_of_loose {
            return None;
        }
        patterns.push(pattern);
    }
    Some(patterns)
}

fn specificity(pattern: &str) -> Option<Specificity> {
    Pattern::parse(&glob::with_roots(pattern)).ok().map(|pattern| pattern.specificity())
}

/// Whether these parts stand for all that can be there.
fn is_whole(parts: &[&str]) -> bool {
    parts.iter().all(|part| *part == "**")
}

fn have_common(left: &[&str], right: &[&str]) -> bool {
    let read = |parts: &[&str]| Pattern::parse(&format!("/{}", parts.join("/")));
    match (left, right) {
        ([], []) => true,
        ([], _) | (_, []) => false,
        // What cannot be read may be anything.
        _ => read(left).and_then(|left| Ok(meet(&left, &read(right)?))).unwrap_or(true),
    }
}

/// Where a pattern begins. A later one usually lies in an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Root {
    Host,
    Home,
    Workspace,
}

impl Root {
    const fn text(self) -> &'static str {
        match self {
            Self::Host => "",
            Self::Home => "${home}",
            Self::Workspace => base::WORKSPACE,
        }
    }
}

/// A pattern for paths, part by part.
struct Placed<'p> {
    root: Root,
    parts: Vec<&'p str>,
}

impl<'p> Placed<'p> {
    fn new(pattern: &'p str) -> Self {
        let (root, below) = [Root::Workspace, Root::Home]
            .into_iter()
            .find_map(|root| Some((root, pattern.strip_prefix(root.text())?)))
            .unwrap_or((Root::Host, pattern));
        Self { root, parts: below.split('/').filter(|part| !part.is_empty()).collect() }
    }

    /// The names before the first wildcard, each as `/name`.
    fn directory(&self) -> Vec<Vec<u8>> {
        self.parts.iter().map_while(|part| literal(part)).collect()
    }

    /// What is left of this pattern in a directory of another one: for each way in which the roots may lie.
    fn below(&self, other: &Self, directory: &[Vec<u8>], named: bool) -> Vec<&[&'p str]> {
        let parts = self.parts.as_slice();
        let usual = self.root < other.root;
        let mut reached = BTreeSet::new();
        if self.root == other.root {
            reached.extend(self.follow(0, directory));
        } else if is_whole(parts) {
            // With a whole home all of a workspace in it is denied. Other roots are not taken to lie in each other.
            if usual {
                reached.extend(0..=parts.len());
            }
        } else {
            // The other root may lie in what this pattern names …
            if other.root != Root::Host && (named || usual) {
                let starts = (0..parts.len()).filter(|start| self.is_start(*start));
                reached.extend(starts.flat_map(|start| self.follow(start, directory)));
            }
            // … or this root in a directory that the other one names.
            if self.root != Root::Host && named {
                // No root is the root directory.
                let least = usize::from(other.root == Root::Host);
                let ways = (least..=directory.len()).filter_map(|from| directory.get(from..));
                reached.extend(ways.flat_map(|directory| self.follow(0, directory)));
            }
            // Only as far as wildcards lead: a workspace is not taken to lie in a directory that is denied by name.
            let first = self.directory().len();
            let rest = |at: usize| parts.get(at..).unwrap_or_default();
            reached.retain(|at| *at > first || (*at == first && !is_whole(rest(*at))));
        }
        reached.into_iter().filter_map(|at| parts.get(at..)).collect()
    }

    /// Whether a root may end before this part. After a `**` that is said by the `**` already, and the last one stands for
    /// what is in a directory.
    fn is_start(&self, at: usize) -> bool {
        let after_any = at.checked_sub(1).and_then(|before| self.parts.get(before)) == Some(&"**");
        let last = at + 1 == self.parts.len() && self.parts.get(at) == Some(&"**");
        !after_any && !last
    }

    /// The parts before which this pattern can stand after the names of a directory.
    fn follow(&self, start: usize, directory: &[Vec<u8>]) -> BTreeSet<usize> {
        directory.iter().fold(BTreeSet::from([start]), |reached, name| {
            let mut next = BTreeSet::new();
            reached.into_iter().for_each(|at| self.step(at, name, &mut next));
            next
        })
    }

    fn step(&self, start: usize, name: &[u8], next: &mut BTreeSet<usize>) {
        let mut at = start;
        // `**` stands for this name and goes on, or for nothing; as the last part it stands for something.
        while self.parts.get(at) == Some(&"**") {
            next.insert(at);
            at += 1;
            if at == self.parts.len() {
                next.insert(at);
            }
        }
        let fits = |part: &&str| Pattern::parse(&format!("/{part}")).is_ok_and(|part| part.matches(name));
        if self.parts.get(at).is_some_and(fits) {
            next.insert(at + 1);
        }
    }
}

/// A part without wildcards, as `/name`.
fn literal(part: &str) -> Option<Vec<u8>> {
    let pattern = Pattern::parse(&format!("/{part}")).ok()?;
    pattern.literal().map(<[u8]>::to_vec)
}

/// Whether a held command line may be one that a pattern denies which names less of it, and so would not win. Between two
/// that name their programs it is not enough that some text fits both: an argument of one may look like the other.
pub(super) fn wins_over_denied(held: &str, denied: &List<String>) -> bool {
    let read = |line: &str| Pattern::parse(&format!("{COMMAND_PREFIX}{line}"));
    // What cannot be read is told when the spec is checked.
    let Ok(pattern) = read(held) else { return false };
    let line = format!("{COMMAND_PREFIX}{}", example(held));
    denied.iter().any(|entry| {
        let Ok(denied) = read(&entry.value) else { return false };
        let both = if entry.value.starts_with('*') {
            meet(&denied, &pattern)
        } else {
            denied.matches(line.as_bytes())
        };
        both && denied.specificity() < pattern.specificity()
    })
}

/// A command line that the pattern matches.
fn example(line: &str) -> String {
    let plain = line.strip_prefix('{').and_then(|line| {
        let (program, rest) = line.split_once(",*/")?;
        Some(format!("{program}{}", rest.split_once('}')?.1))
    });
    plain.unwrap_or_else(|| line.to_owned()).replace('*', "x").replace('\\', "")
}

/// Leaves out peers that a wider name or network denies or holds: the closer one would win.
pub(super) fn peers(network: &mut NetworkPart, notes: &mut Vec<Note>) {
    let names = |list: &List<Peer>| list.iter().map(|entry| entry.value.to.clone()).collect::<Vec<_>>();
    let (denied, held) = (names(&network.deny), names(&network.hold));
    network.connect.retain(|entry| {
        let to = &entry.value.to;
        let stops = denied.iter().any(|wider| peer_covers(wider, to))
            || held.iter().any(|wider| wider != to && peer_covers(wider, to));
        if stops {
            notes.push(Note::left_out(format!("network.connect {to}"), COVERED));
        }
        !stops
    });
}

/// Whether what is said about one peer is about the other too.
pub(super) fn peer_covers(wider: &str, other: &str) -> bool {
    match (wider.parse::<Network>(), other.parse::<Network>()) {
        (Ok(wider), Ok(other)) => {
            let (wider, other) = (wider.canonical(), other.canonical());
            wider.bits <= other.bits && wider.contains(other.address)
        }
        _ => wider == other || wider.strip_prefix('*').is_some_and(|suffix| other.ends_with(suffix)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stricter_pattern_is_said_again_where_a_looser_one_would_win() {
        for (strict, loose, wanted) in [
            ("${workspace}/**/.env", "${workspace}/src/**", Some(vec!["${workspace}/src/**/.env"])),
            ("${workspace}/**/.env", "${workspace}/**", Some(vec![])),
            ("${workspace}/**/.env", "${workspace}/docs/*.md", Some(vec![])),
            ("/srv/**/*.key", "/srv/x/**", Some(vec!["/srv/x/**/*.key"])),
            ("/srv/**/*.key", "/srv/x", Some(vec![])),
            ("/srv/*/a/*.key", "/srv/x/**", Some(vec!["/srv/x/a/*.key"])),
            ("/srv/**", "/srv/x/**", None),
            ("/srv/**", "/srv/x", None),
            ("/srv/x/private/**", "/srv/x/**", Some(vec![])),
            // No pattern says both.
            ("${workspace}/**/s*", "${workspace}/docs/*.md", None),
            ("${workspace}/**/a/**", "${workspace}/b/a/**", None),
            // The workspace may lie in the home, and both anywhere.
            ("${home}/**/.env", "${workspace}/**", Some(vec!["${workspace}/**/.env"])),
            ("/**/.env", "${home}/.cache/**", Some(vec!["${home}/.cache/**/.env"])),
            (
                "/srv/*/keys/**",
                "${workspace}/**",
                Some(vec!["${workspace}/*/keys/**", "${workspace}/keys/**"]),
            ),
            ("${home}/**", "${workspace}/src/**", None),
            ("${home}/**", "${workspace}", None),
            ("${home}/.ssh/**", "${workspace}/**", Some(vec![])),
            ("${home}/**/.env/**", "/**/*.key", Some(vec![])),
            ("${workspace}/**", "${home}/more", Some(vec![])),
            ("/etc/ssl/private/**", "${workspace}/private/**", Some(vec![])),
            ("${workspace}/**/.env", "${home}/work/lib/**", Some(vec!["${home}/work/lib/**/.env"])),
        ] {
            let wanted: Option<Vec<String>> =
                wanted.map(|patterns| patterns.into_iter().map(str::to_owned).collect());
            assert_eq!(again(strict, loose, true), wanted, "{strict} {loose}");
        }
        // What Claude Code itself needs is not in the workspace.
        assert_eq!(again("${workspace}/**/.env", "${home}/.claude/**", false), Some(Vec::new()));
    }

    #[test]
    fn a_peer_covers_the_names_and_addresses_below_it() {
        for (wider, other, wanted) in [
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "*.a.example.com", true),
            ("*.example.com", "example.com", false),
            ("a.example.com", "a.example.com", true),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.1.2.3", "10.0.0.0/8", false),
        ] {
            assert_eq!(peer_covers(wider, other), wanted, "{wider} {other}");
        }
    }
}
