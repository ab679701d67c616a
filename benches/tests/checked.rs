//! Every contestant does its work on every workload. Without that no time of theirs means anything.
//!
//! What a rival gets wrong stands with it, as data, and has to be wrong still.

#![forbid(unsafe_code)]

use ssekit_benches::decoders::{DECODERS, FLOORS};
use ssekit_benches::encoders::{ENCODERS, JSON_ENCODERS};
use ssekit_benches::workloads::{self, CHUNK_SIZES, Message, Workload};

const LEN: usize = 16 * 1024;

#[test]
fn decoders_find_all_and_no_more() {
    for workload in workloads::decoding(LEN) {
        // The smallest ones cut everything that can be cut; on a line of 64 KiB they take a rival minutes.
        let small = if workload.name == "long-lines" { 0..0 } else { 1..8 };
        for chunk_size in small.chain(CHUNK_SIZES.map(|(_, chunk_size)| chunk_size)) {
            DECODERS.iter().for_each(|decoder| decoder.check(&workload, chunk_size));
            FLOORS.iter().for_each(|floor| floor.check(&workload, chunk_size));
        }
    }
}

#[test]
fn encoders_write_all_and_no_more() {
    for workload in workloads::encoding(LEN) {
        ENCODERS.iter().for_each(|encoder| encoder.check(&workload));
    }
    for workload in workloads::encoding(LEN).filter(Workload::has_json) {
        JSON_ENCODERS.iter().for_each(|encoder| encoder.check(&workload));
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
        ("cjk", 220..=290),
        ("five-bytes", 5..=5),
        ("event-id-250", 250..=250),
        ("eight-lines", 487..=487),
        ("long-line", 65536..=65536),
    ];
    let workloads = || workloads::decoding(LEN).chain(workloads::encoding(LEN).take(4));
    for (workload, (name, lens)) in workloads().zip(expected) {
        assert_eq!(workload.name, name);
        let is_said = |message: &Message| lens.contains(&message.data.len());
        assert!(workload.messages.iter().all(is_said), "data of {name}");
    }
    let again = workloads().map(|workload| workload.stream);
    assert!(workloads().map(|workload| workload.stream).eq(again), "they differ from run to run");
}

#[test]
fn half_of_the_chinese_is_chinese() {
    let stream = workloads::decoding(LEN).find(|workload| workload.name == "cjk").expect("it is one").stream;
    let chinese = stream.iter().filter(|byte| !byte.is_ascii()).count();
    assert!((0.45..0.55).contains(&(chinese as f64 / stream.len() as f64)), "{chinese} of {}", stream.len());
}
