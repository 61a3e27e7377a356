//! Packs: which files belong together, and which of the rules that agentd evaluates each of them has.

use std::collections::BTreeMap;

use crate::engine::TEST_SUFFIX;
use crate::error::{PolicyError, PolicyErrors};
use crate::files::PolicyFiles;
use crate::outline::Outline;

/// Pack of functions that the others share; it needs no rules of its own.
const LIBRARY: &str = "lib";
/// Rule that a pack's guardrails are members of.
pub(crate) const GUARDRAILS: &str = "guardrails";
/// Rule that a pack's findings are members of.
pub(crate) const DENY: &str = "deny";
/// Rule that a pack's decisions about held requests are members of.
pub(crate) const DECIDE: &str = "decide";
/// Rule that a pack's refusals of promotions are members of.
pub(crate) const REFUSE: &str = "refuse";
/// What agentd evaluates; a pack has one of them at least.
pub(crate) const RULES: [&str; 4] = [GUARDRAILS, DECIDE, DENY, REFUSE];

/// The files of one pack, without its tests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pack {
    pub(crate) outlines: Vec<(String, Outline)>,
}

impl Pack {
    pub(crate) fn has_rule(&self, rule: &str) -> bool {
        self.outlines.iter().any(|(_, outline)| outline.head(rule).is_some())
    }
}

/// Groups files by pack and checks that each is where its package says.
pub(crate) fn packs(files: &PolicyFiles) -> Result<BTreeMap<String, Pack>, PolicyErrors> {
    let mut packs: BTreeMap<String, Pack> = BTreeMap::new();
    let mut errors = Vec::new();
    for (path, source) in files.iter().filter(|(path, _)| path.ends_with(".rego")) {
        let outline = Outline::of(source);
        let (package, line) = outline.package.clone().unwrap_or_default();
        let is_test = path.ends_with(TEST_SUFFIX);
        let expected = path.split_once('/').map(|(pack, _)| match is_test {
            true => format!("agentguard.{pack}_test"),
            false => format!("agentguard.{pack}"),
        });
        match expected {
            None => errors.push(PolicyError::new(
                files.shown(path),
                line,
                "belongs into a directory named as its pack",
            )),
            Some(expected) if expected != package => {
                let message = format!("package `{package}` in this directory must be `{expected}`");
                errors.push(PolicyError::new(files.shown(path), line, message));
            }
            Some(_) if is_test => {}
            Some(_) => {
                let name = path.split('/').next().unwrap_or_default().to_owned();
                packs.entry(name).or_default().outlines.push((path.to_owned(), outline));
            }
        }
    }
    for (name, pack) in &packs {
        let is_used = RULES.iter().any(|rule| pack.has_rule(rule));
        // regorus 0.14 loses rules of the other file where a test replaces the input.
        if let Some((file, _)) = pack.outlines.get(1) {
            let message = "is a second file of this pack; a pack is one file, and what packs share goes into lib/lib.rego";
            errors.push(PolicyError::new(files.shown(file), 1, message));
        }
        if name != LIBRARY && !is_used {
            let file = pack.outlines.first().map_or("", |(file, _)| file.as_str());
            let message = "has none of the rules `guardrails`, `decide`, `deny` and `refuse`: nothing of it would be used";
            errors.push(PolicyError::new(files.shown(file), 1, message));
        }
    }
    if errors.is_empty() { Ok(packs) } else { Err(PolicyErrors(errors)) }
}
