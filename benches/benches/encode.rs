//! Events into bytes.

#![forbid(unsafe_code)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ssekit_benches::encoders::{Contestant, ENCODERS, JSON_ENCODERS};
use ssekit_benches::workloads::{self, Workload};

fn group(criterion: &mut Criterion, name: &str, workload: &Workload, contestants: &[Contestant]) {
    let mut group = criterion.benchmark_group(format!("encode/{name}"));
    let (elements, bytes) = (workload.messages.len() as u64, workload.stream.len() as u64);
    group.throughput(Throughput::ElementsAndBytes { elements, bytes });
    for encoder in contestants {
        let mut is_checked = false;
        group.bench_function(encoder.name, |bencher| {
            if !is_checked {
                encoder.check(workload);
                is_checked = true;
            }
            bencher.iter(|| {
                (encoder.encode)(black_box(&workload.messages), &mut |event| {
                    black_box(event);
                });
            });
        });
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    // As much as stays in a CPU's cache, since an event is as a rule made just before it is sent.
    for workload in workloads::all(1 << 16) {
        if ["openai", "anthropic", "ticks", "multi-line"].contains(&workload.name) {
            group(criterion, workload.name, &workload, &ENCODERS);
        }
        if workload.name == "openai" {
            group(criterion, "openai-json", &workload, &JSON_ENCODERS);
        }
    }
}

criterion_group!(name = benches; config = ssekit_benches::criterion(); targets = encode);
criterion_main!(benches);
