//! Any text as a spec: it is read or refused, never with a panic; every problem is one line with a place; and what
//! is read makes grants that a strange value of a variable cannot widen.
#![no_main]

use std::path::Path;

use agentguard_core::pattern::Pattern;
use agentguard_core::rule::Scope;
use agentguard_core::spec::{Spec, SpecError, Variables};
use libfuzzer_sys::fuzz_target;

/// A workspace whose name is full of wildcards.
const STRANGE: &str = "/w*/{a,b}[c]?\\";

fuzz_target!(|text: &str| {
    let lines = text.lines().count() + 1;
    match Spec::parse(text, Path::new("fuzz.toml")) {
        Err(error) => check_problems(&error, lines),
        Ok(spec) => {
            let mut variables = Variables::of_user("/home/fuzz", "fuzz", 1000);
            for name in spec.variables.keys() {
                variables.set(name, STRANGE).expect("a spec cannot declare what agentd sets");
            }
            match spec.resolve(&variables) {
                Err(error) => check_problems(&error, lines),
                Ok(resolved) => resolved.rules().iter().for_each(|rule| check_scope(&rule.scope)),
            }
        }
    }
});

fn check_problems(error: &SpecError, lines: usize) {
    assert!(!error.problems.is_empty());
    for problem in &error.problems {
        let line = problem.source.line as usize;
        assert!((1..=lines.max(1)).contains(&line), "line {line} of {lines}: {problem}");
        assert!(!problem.to_string().contains('\n'), "{problem}");
    }
}

fn check_scope(scope: &Scope) {
    if let Scope::Path { pattern, .. } = scope {
        let pattern = Pattern::parse(pattern).expect("a grant has a pattern that can be read");
        if pattern.as_str().starts_with(&Pattern::escape(STRANGE)) {
            assert!(!pattern.matches(b"/wide/a/c"), "{pattern} is wider than the workspace");
        }
    }
}
