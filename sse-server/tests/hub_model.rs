//! The hub against its naive model, on inputs of proptest and the corpus of the fuzzers.

use std::env;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use ssekit_testkit::hub;

/// The number of cases: `PROPTEST_CASES`, or 1,000.
fn cases() -> u32 {
    env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hub_matches_model_after_any_steps(input in hub::inputs(60)) {
        hub::hub_behaves_like_the_model(&input);
    }

    #[test]
    fn hub_of_shared_log_matches_model_after_any_steps(input in hub::inputs(60)) {
        hub::hub_of_a_shared_log_behaves_like_the_model(&input);
    }

    #[test]
    fn any_imported_log_is_rejected_or_works(input in hub::inputs(20)) {
        hub::import_never_panics(&input);
    }
}

fn replay(target: &str, property: fn(&[u8]), at_least: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        // This shows which input fails.
        println!("{}", path.display());
        property(&fs::read(&path).unwrap());
        replayed += 1;
    }
    assert!(replayed >= at_least, "only {replayed} inputs in {}", folder.display());
}

#[test]
fn corpus_of_steps() {
    replay("hub", hub::hub_behaves_like_the_model, 1);
}

#[test]
fn corpus_of_shared_log_steps() {
    replay("hub_shared", hub::hub_of_a_shared_log_behaves_like_the_model, 1);
}

#[test]
fn corpus_of_logs() {
    replay("hub_import", hub::import_never_panics, 1);
}
