//! What rules cost: building the tables when a spec or policy is loaded, and walking them for one path.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark has no API and nothing to recover")]

use std::hint::black_box;
use std::path::PathBuf;

use agentguard_core::lower;
use agentguard_core::operation::PathOp;
use agentguard_core::rule::{Defaults, Rule, Ruleset, Scope, Source};
use agentguard_core::tables::Tables;
use agentguard_core::verdict::{Layer, Verdict};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const RULES: [usize; 3] = [10, 1_000, 10_000];
const DEPTHS: [usize; 3] = [3, 10, 30];
/// What guardrails look for everywhere.
const SECRETS: [&str; 12] = [
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.kdbx",
    "*.ovpn",
    "*.gpg",
    "*.tfstate",
    ".env",
    ".netrc",
    "id_rsa",
    "id_ed25519",
];
const OPS: [PathOp; 6] =
    [PathOp::Read, PathOp::Write, PathOp::Create, PathOp::Delete, PathOp::Attr, PathOp::Link];

fn rule(layer: Layer, verdict: Verdict, pattern: String) -> Rule {
    Rule {
        id: pattern.clone(),
        layer,
        verdict,
        scope: Scope::Path { ops: OPS.to_vec(), pattern, sha256: None },
        severity: None,
        reason: String::new(),
        source: Source { file: PathBuf::from("bench"), line: 1 },
    }
}

/// Grants for `count` directories, and a dozen guardrails that look everywhere.
fn ruleset(count: usize) -> Ruleset {
    let secrets = SECRETS.map(|name| rule(Layer::Guardrail, Verdict::Deny, format!("**/{name}")));
    let directory = |n| rule(Layer::Grant, Verdict::Allow, format!("/srv/data/project-{n:05}/**"));
    let deny = Verdict::Deny;
    Ruleset {
        rules: secrets.into_iter().chain((0..count).map(directory)).collect(),
        defaults: Defaults { files: deny, exec: deny, network: deny, unix: deny, process: deny },
    }
}

fn tables(count: usize) -> Tables {
    lower(&ruleset(count)).unwrap()
}

fn path(depth: usize) -> String {
    let parts: Vec<String> = (3..depth).map(|n| format!("part{n}")).collect();
    format!("/srv/data/project-00007/{}", parts.join("/")).trim_end_matches('/').to_owned()
}

fn build(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build");
    group.sample_size(10);
    for count in RULES {
        let rules = ruleset(count);
        let built = tables(count);
        println!(
            "{count} rules: {} states, {} words, {:?}",
            built.automaton.states.len(),
            built.words(),
            built.attribution
        );
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| lower(black_box(&rules)).unwrap());
        });
    }
    group.finish();
}

fn walk(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("walk");
    for count in RULES {
        let tables = tables(count);
        for depth in DEPTHS {
            let path = path(depth);
            group.throughput(Throughput::Bytes(path.len() as u64));
            group.bench_function(
                BenchmarkId::new(format!("{count} rules"), format!("depth {depth}")),
                |bencher| {
                    bencher.iter(|| black_box(&tables).path(PathOp::Read, black_box(path.as_bytes())));
                },
            );
        }
    }
    group.finish();
}

criterion_group!(benches, build, walk);
criterion_main!(benches);
