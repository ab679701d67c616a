//! One contestant's work so many times over, for a profiler or a counter of instructions:
//! `once decode CONTESTANT WORKLOAD CHUNK ROUNDS` or `once encode CONTESTANT WORKLOAD ROUNDS`.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::process::ExitCode;

use ssekit_benches::decoders::DECODERS;
use ssekit_benches::encoders::{ENCODERS, JSON_ENCODERS};
use ssekit_benches::report::count::ONCE_LEN;
use ssekit_benches::workloads;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["decode", contestant, workload, chunk, rounds] => decode(contestant, workload, chunk, rounds),
        ["encode", contestant, workload, rounds] => encode(contestant, workload, rounds),
        _ => None,
    };
    if done.is_none() {
        eprintln!("usage: once decode CONTESTANT WORKLOAD CHUNK ROUNDS | once encode CONTESTANT WORKLOAD ROUNDS");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn decode(contestant: &str, workload: &str, chunk: &str, rounds: &str) -> Option<()> {
    let decoder = DECODERS.iter().find(|decoder| decoder.name == contestant)?;
    let workload = workloads::decoding(ONCE_LEN).find(|known| known.name == workload)?;
    let chunks = workload.chunks(chunk.parse().ok().filter(|&size| size > 0)?);
    for _ in 0..rounds.parse().ok()? {
        black_box((decoder.count)(black_box(&chunks)));
    }
    Some(())
}

fn encode(contestant: &str, workload: &str, rounds: &str) -> Option<()> {
    let mut encoders = ENCODERS.iter().chain(&JSON_ENCODERS);
    let encoder = encoders.find(|encoder| encoder.name == contestant)?;
    let workload = workloads::encoding(ONCE_LEN).find(|known| known.name == workload)?;
    let mut encode = (encoder.new_encoder)();
    for _ in 0..rounds.parse().ok()? {
        encode(black_box(&workload), &mut |event| {
            black_box(event);
        });
    }
    Some(())
}
