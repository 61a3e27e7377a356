//! What changed between two policies: in their guardrails, and in their files.

use std::collections::{BTreeMap, BTreeSet};

use agentguard_core::rule::Rule;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::files::{PolicyFiles, Version};

/// Guardrails that came, went or changed, by id. Moving a guardrail to another line is no change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuardrailDiff {
    /// Only in the second.
    pub added: Vec<Guardrail>,
    /// Only in the first.
    pub removed: Vec<Guardrail>,
    /// In both, but not alike.
    pub changed: Vec<GuardrailChange>,
}

/// All rules of one id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Guardrail {
    /// `<pack>.<id>`.
    pub id: String,
    /// One per pattern, network, class or capability.
    pub rules: Vec<Rule>,
}

/// One guardrail before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuardrailChange {
    /// `<pack>.<id>`.
    pub id: String,
    /// Rules that are gone, or were another way.
    pub before: Vec<Rule>,
    /// Rules that are new, or are another way now.
    pub after: Vec<Rule>,
}

/// Files that came, went or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileDiff {
    /// The first policy.
    pub before: Version,
    /// The second.
    pub after: Version,
    /// In the order of paths.
    pub files: Vec<FileChange>,
}

/// One file; a missing hash means that the file is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Relative to the policy's directory.
    pub path: String,
    /// SHA-256 before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// SHA-256 after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Lines that only the file before has, counted without regard to their order.
    pub removed_lines: usize,
    /// Lines that only the file after has.
    pub added_lines: usize,
}

impl GuardrailDiff {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// Compares the guardrails of two policies for one agent.
pub fn guardrails(before: &[Rule], after: &[Rule]) -> GuardrailDiff {
    let (before, after) = (by_id(before), by_id(after));
    let only = |these: &BTreeMap<&str, Vec<&Rule>>, those: &BTreeMap<&str, Vec<&Rule>>| {
        let missing = these.iter().filter(|(id, _)| !those.contains_key(*id));
        missing.map(|(id, rules)| Guardrail { id: (*id).to_owned(), rules: owned(rules) }).collect()
    };
    let both = before.iter().filter_map(|(id, rules)| Some((*id, rules, after.get(id)?)));
    let changed = both.filter_map(|(id, before, after)| {
        let lost = without(before, after);
        let gained = without(after, before);
        let change = GuardrailChange { id: id.to_owned(), before: lost, after: gained };
        (!change.before.is_empty() || !change.after.is_empty()).then_some(change)
    });
    GuardrailDiff { added: only(&after, &before), removed: only(&before, &after), changed: changed.collect() }
}

/// Compares the files of two policies.
pub fn files(before: &PolicyFiles, after: &PolicyFiles) -> FileDiff {
    let paths: BTreeSet<&str> = before.iter().chain(after.iter()).map(|(path, _)| path).collect();
    let change = |path: &str| {
        let (old, new) = (before.get(path), after.get(path));
        (old != new).then(|| FileChange {
            path: path.to_owned(),
            before: old.map(hash),
            after: new.map(hash),
            removed_lines: lines_only_in(old, new),
            added_lines: lines_only_in(new, old),
        })
    };
    FileDiff {
        before: before.version(),
        after: after.version(),
        files: paths.into_iter().filter_map(change).collect(),
    }
}

fn by_id(rules: &[Rule]) -> BTreeMap<&str, Vec<&Rule>> {
    let mut grouped: BTreeMap<&str, Vec<&Rule>> = BTreeMap::new();
    for rule in rules {
        grouped.entry(&rule.id).or_default().push(rule);
    }
    grouped
}

fn owned(rules: &[&Rule]) -> Vec<Rule> {
    rules.iter().map(|rule| (*rule).clone()).collect()
}

fn without(these: &[&Rule], those: &[&Rule]) -> Vec<Rule> {
    let alike = |one: &Rule, other: &Rule| {
        (one.verdict, one.severity, &one.scope, &one.reason)
            == (other.verdict, other.severity, &other.scope, &other.reason)
    };
    let missing = these.iter().filter(|rule| !those.iter().any(|other| alike(rule, other)));
    missing.map(|rule| (*rule).clone()).collect()
}

fn lines_only_in(this: Option<&str>, other: Option<&str>) -> usize {
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for line in other.unwrap_or_default().lines() {
        *left.entry(line).or_default() += 1;
    }
    let mut only = 0;
    for line in this.unwrap_or_default().lines() {
        match left.get_mut(line) {
            Some(count) if *count > 0 => *count -= 1,
            Some(_) | None => only += 1,
        }
    }
    only
}

fn hash(content: &str) -> String {
    hex::encode(Sha256::digest(content.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use agentguard_core::operation::ClassOp;
    use agentguard_core::rule::{Scope, Source};
    use agentguard_core::verdict::{Layer, Severity, Verdict};

    use super::*;

    fn rule(id: &str, op: ClassOp, line: u32) -> Rule {
        Rule {
            id: id.to_owned(),
            layer: Layer::Guardrail,
            verdict: Verdict::Deny,
            scope: Scope::Class { op },
            severity: Some(Severity::High),
            reason: "because".to_owned(),
            source: Source { file: "a/a.rego".into(), line },
        }
    }

    #[test]
    fn a_guardrail_that_only_moved_did_not_change() {
        assert!(
            guardrails(&[rule("a.x", ClassOp::Kernel, 1)], &[rule("a.x", ClassOp::Kernel, 7)]).is_empty()
        );
    }

    #[test]
    fn guardrails_come_go_and_change_by_id() {
        let before = [
            rule("a.gone", ClassOp::Kernel, 1),
            rule("a.both", ClassOp::Mount, 2),
            rule("a.both", ClassOp::Ptrace, 2),
        ];
        let after = [
            rule("a.both", ClassOp::Mount, 2),
            rule("a.both", ClassOp::Signal, 2),
            rule("a.new", ClassOp::Kernel, 3),
        ];
        let diff = guardrails(&before, &after);
        assert_eq!(diff.added.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["a.new"]);
        assert_eq!(diff.removed.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["a.gone"]);
        let [change] = diff.changed.as_slice() else { panic!("{diff:?}") };
        assert_eq!(change.before, [rule("a.both", ClassOp::Ptrace, 2)]);
        assert_eq!(change.after, [rule("a.both", ClassOp::Signal, 2)]);
    }

    #[test]
    fn a_changed_reason_or_verdict_is_a_change() {
        let before = rule("a.x", ClassOp::Kernel, 1);
        let after = Rule { verdict: Verdict::Audit, ..before.clone() };
        assert_eq!(guardrails(std::slice::from_ref(&before), &[after]).changed.len(), 1);
    }

    #[test]
    fn files_come_go_and_change_with_their_lines_counted() {
        let files_of = |contents: &[(&str, &str)]| {
            let owned = contents.iter().map(|(path, content)| ((*path).to_owned(), (*content).to_owned()));
            PolicyFiles::from_contents(Path::new("p"), owned).unwrap()
        };
        let before = files_of(&[("a/a.rego", "one\ntwo\n"), ("b/b.rego", "same\n"), ("c/c.rego", "x\n")]);
        let after =
            files_of(&[("a/a.rego", "one\nthree\nfour\n"), ("b/b.rego", "same\n"), ("d/d.rego", "y\n")]);
        let diff = files(&before, &after);
        let counted: Vec<_> = diff
            .files
            .iter()
            .map(|file| (file.path.as_str(), file.removed_lines, file.added_lines))
            .collect();
        assert_eq!(counted, [("a/a.rego", 1, 2), ("c/c.rego", 1, 0), ("d/d.rego", 0, 1)]);
        assert!(serde_json::to_string(&diff).unwrap().contains("\"before\""));
    }
}
