//! Compares the machine with its naive model, on random scripts and on the corpus of the fuzzer.

use std::env;
use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use ssekit_testkit::{client, strategies};

/// Returns the number of cases, from `PROPTEST_CASES` if it is set.
fn cases() -> u32 {
    env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_000)
}

/// Generates scripts whose streams have events: random bytes rarely do.
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
        // 0xFF separates attempts.
        bytes.iter_mut().for_each(|byte| *byte = (*byte).min(0xFE));
        bytes
    });
    (any::<u8>(), vec(attempt, 0..12)).prop_map(|(flags, attempts)| [&[flags][..], &attempts.join(&0xFF)].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn machine_does_the_same_as_the_model(input in input()) {
        client::check_bytes(&input);
    }
}

#[test]
fn machine_does_the_same_as_the_model_on_the_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/client");
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        // Names the input that failed.
        println!("{}", path.display());
        client::check_bytes(&fs::read(&path).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 3, "only {replayed} inputs in {}", folder.display());
}
