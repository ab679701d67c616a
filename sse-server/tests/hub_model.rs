//! The hub against the naive model of it, on what proptest makes up and on the fuzzers' corpus.

use std::env;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use ssekit_testkit::hub;

/// As many as `PROPTEST_CASES` says.
fn cases() -> u32 {
    env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_steps_leave_the_hub_like_the_model(input in hub::inputs(60)) {
        hub::hub_behaves_like_the_model(&input);
    }

    #[test]
    fn any_steps_of_a_shared_log_leave_the_hub_like_the_model(input in hub::inputs(60)) {
        hub::hub_of_a_shared_log_behaves_like_the_model(&input);
    }

    #[test]
    fn any_log_is_refused_or_works(input in hub::inputs(20)) {
        hub::import_never_panics(&input);
    }
}

fn replay(target: &str, property: fn(&[u8]), at_least: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        // For whoever has to find out which one it was.
        println!("{}", path.display());
        property(&fs::read(&path).unwrap());
        replayed += 1;
    }
    assert!(replayed >= at_least, "only {replayed} inputs in {}", folder.display());
}

#[test]
fn the_corpus_of_steps() {
    replay("hub", hub::hub_behaves_like_the_model, 1);
}

#[test]
fn the_corpus_of_steps_of_a_shared_log() {
    replay("hub_shared", hub::hub_of_a_shared_log_behaves_like_the_model, 1);
}

#[test]
fn the_corpus_of_logs() {
    replay("hub_import", hub::import_never_panics, 1);
}
