//! The fuzzers' corpus, replayed by the same properties.

use std::fs;
use std::path::Path;

use ssekit_testkit::props;

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
fn decode() {
    replay("decode", props::decodes_like_the_reference, 200);
}

#[test]
fn limits() {
    replay("limits", props::keeps_limits, 60);
}

#[test]
fn round_trip() {
    replay("round_trip", props::round_trips, 40);
}

#[test]
fn pieces() {
    replay("pieces", props::pieces_are_one, 25);
}
