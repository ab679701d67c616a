//! Events into bytes.

#![forbid(unsafe_code)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ssekit_benches::encoders::{Contestant, ENCODERS, JSON_ENCODERS};
use ssekit_benches::workloads::{self, ENCODED_LEN, Workload};

fn group(criterion: &mut Criterion, name: &str, workload: &Workload, contestants: &[Contestant]) {
    let mut group = criterion.benchmark_group(format!("encode/{name}"));
    let (elements, bytes) = (workload.messages.len() as u64, workload.stream.len() as u64);
    group.throughput(Throughput::ElementsAndBytes { elements, bytes });
    for contestant in contestants {
        let mut is_checked = false;
        group.bench_function(contestant.name, |bencher| {
            // In here, so that those which a filter leaves out are not run. It is called for every sample.
            if !is_checked {
                contestant.check(workload);
                is_checked = true;
            }
            let mut encode = (contestant.new_encoder)();
            bencher.iter(|| {
                encode(black_box(workload), &mut |event| {
                    black_box(event);
                });
            });
        });
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    for workload in workloads::encoding(ENCODED_LEN) {
        group(criterion, workload.name, &workload, &ENCODERS);
    }
    for workload in workloads::encoding(ENCODED_LEN).filter(Workload::has_json) {
        group(criterion, &workload.json_name(), &workload, &JSON_ENCODERS);
    }
}

criterion_group!(name = benches; config = ssekit_benches::criterion(); targets = encode);
criterion_main!(benches);
