//! Every contestant does its work on every workload. Without that no time of theirs means anything.
//!
//! None is excused: if a rival got something wrong here, this is where to say what.

#![forbid(unsafe_code)]

use ssekit_benches::decoders::DECODERS;
use ssekit_benches::encoders::{ENCODERS, JSON_ENCODERS};
use ssekit_benches::workloads::{self, CHUNK_SIZES, Message};

const LEN: usize = 16 * 1024;

#[test]
fn decoders_find_all_and_no_more() {
    for workload in workloads::all(LEN) {
        // The smallest ones cut everything that can be cut; on a line of 64 KiB they take a rival minutes.
        let small = if workload.name == "long-lines" { 0..0 } else { 1..8 };
        for chunk_size in small.chain(CHUNK_SIZES.map(|(_, chunk_size)| chunk_size)) {
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
    let expected = [
        ("openai", 200..=280),
        ("anthropic", 110..=135),
        ("ticks", 2..=2),
        ("multi-line", 487..=487),
        ("long-lines", 65536..=65536),
        ("heartbeats", 12..=12),
        ("openai-crlf", 200..=280),
        ("cjk", 60..=720),
    ];
    for (workload, (name, lens)) in workloads::all(LEN).zip(expected) {
        assert_eq!(workload.name, name);
        let is_said = |message: &Message| lens.contains(&message.data.len());
        assert!(workload.messages.iter().all(is_said), "data of {name}");
    }
    let again = workloads::all(LEN).map(|workload| workload.stream);
    assert!(workloads::all(LEN).map(|workload| workload.stream).eq(again), "they differ from run to run");
}
