//! Every contestant does its work on every workload. Without that no time of theirs means anything.
//!
//! None is excused: if a rival got something wrong here, this is where to say what.

#![forbid(unsafe_code)]

use ssekit_benches::decoders::DECODERS;
use ssekit_benches::encoders::{ENCODERS, JSON_ENCODERS};
use ssekit_benches::workloads::{self, CHUNK_SIZES};

const LEN: usize = 16 * 1024;

#[test]
fn decoders_find_all_and_no_more() {
    for workload in workloads::all(LEN) {
        for (_, chunk_size) in CHUNK_SIZES {
            let chunks = workload.chunks(chunk_size);
            DECODERS.iter().for_each(|decoder| decoder.check(&workload, &chunks));
        }
    }
}

#[test]
fn encoders_write_all_and_no_more() {
    for workload in workloads::all(LEN).filter(|workload| workload.name != "long-lines") {
        ENCODERS.iter().for_each(|encoder| encoder.check(&workload));
        if workload.messages.iter().all(|message| message.json.is_some()) {
            JSON_ENCODERS.iter().for_each(|encoder| encoder.check(&workload));
        }
    }
}

#[test]
fn workloads_are_what_they_are_said_to_be() {
    let lens = |name: &str| {
        let workload = workloads::all(LEN).find(|workload| workload.name == name).unwrap();
        let lens = workload.messages.iter().map(|message| message.data.len());
        (lens.clone().min().unwrap(), lens.max().unwrap())
    };
    assert_eq!(lens("openai"), (0, 0));
    assert_eq!(lens("anthropic"), (0, 0));
    assert_eq!(lens("ticks"), (2, 2));
    assert_eq!(lens("multi-line"), (487, 487));
    assert_eq!(lens("long-lines"), (65536, 65536));
}
