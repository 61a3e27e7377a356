//! What taking a record of the kernel's ring into a Rust type costs, for the kinds that come most.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark has no API and nothing to recover")]

use std::hint::black_box;

use agentd::sense::decode::decode;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

#[path = "../src/sense/sample.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests of the decoder")]
mod sample;

fn decoding(c: &mut Criterion) {
    let argv = ["cc", "-O2", "-Wall", "-Iinclude", "-c", "-o", "build/part.o", "src/part.c"];
    let records = [
        ("open", sample::open("/srv/work/project/target/debug/build/out/part.rs", 7)),
        ("exec", sample::exec("/usr/bin/cc", "/srv/work/project", &argv)),
        ("connect", sample::connect([10; 16], 443)),
        ("exit", sample::exit(0)),
    ];
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    for (name, record) in &records {
        group.bench_with_input(BenchmarkId::from_parameter(name), &record.0, |bencher, bytes| {
            bencher.iter(|| decode(black_box(bytes)).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, decoding);
criterion_main!(benches);
