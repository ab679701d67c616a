//! Streams into events.

#![forbid(unsafe_code)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ssekit_benches::decoders::{DECODERS, FLOORS};
use ssekit_benches::workloads::{self, CHUNK_SIZES, DECODED_LEN};

fn decode(criterion: &mut Criterion) {
    for workload in workloads::decoding(DECODED_LEN) {
        for (label, chunk_size) in CHUNK_SIZES {
            let chunks = workload.chunks(chunk_size);
            let mut group = criterion.benchmark_group(format!("decode/{}/{label}", workload.name));
            group.throughput(Throughput::Bytes(workload.stream.len() as u64));
            for decoder in DECODERS.iter().filter(|decoder| !(decoder.is_hopeless)(workload.name, chunk_size)) {
                let mut is_checked = false;
                group.bench_function(decoder.name, |bencher| {
                    // In here, so that those which a filter leaves out are not run. It is called for every sample.
                    if !is_checked {
                        decoder.check(&workload, chunk_size);
                        is_checked = true;
                    }
                    bencher.iter(|| (decoder.count)(black_box(&chunks)));
                });
            }
            for floor in FLOORS {
                group.bench_function(floor.name, |bencher| {
                    let mut buffer = Vec::new();
                    bencher.iter(|| (floor.run)(black_box(&workload), black_box(&chunks), &mut buffer));
                });
            }
            group.finish();
        }
    }
}

criterion_group!(name = benches; config = ssekit_benches::criterion(); targets = decode);
criterion_main!(benches);
