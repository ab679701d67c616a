//! The machine against the naive model of it, on what proptest makes up and on the fuzzers' corpus.

use std::env;
use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use ssekit_testkit::{client, strategies};

/// As many as `PROPTEST_CASES` says.
fn cases() -> u32 {
    env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_000)
}

/// Streams that mean something, where the model's own scripts would be noise.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop::sample::select(vec![
        &b"id: 7\ndata: x\n\n"[..],
        b"data: [DONE]\n\n",
        b"id: a\x01b\n\n",
        b"id\ndata: forgotten\n\n",
        b"retry: 5000\n\n",
        b"retry: 0\nid: \xC3\xA9\n\n",
        b"\xEF\xBB\xBFdata: marked\n\ndata: unfinished",
    ]);
    let stream = prop_oneof![strategies::stream(), vec(whole, 0..4).prop_map(|pieces| pieces.concat())];
    let attempt = (any::<[u8; 4]>(), stream).prop_map(|(head, stream)| {
        let mut bytes = [&head[..], &stream].concat();
        // That is where the next attempt would start.
        bytes.iter_mut().for_each(|byte| *byte = (*byte).min(0xFE));
        bytes
    });
    (any::<u8>(), vec(attempt, 0..12)).prop_map(|(flags, attempts)| [&[flags][..], &attempts.join(&0xFF)].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_machine_does_whatever_the_model_does(input in input()) {
        client::keeps_the_rules(&input);
    }
}

#[test]
fn the_corpus_of_scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/client");
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        // For whoever has to find out which one it was.
        println!("{}", path.display());
        client::keeps_the_rules(&fs::read(&path).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 3, "only {replayed} inputs in {}", folder.display());
}
