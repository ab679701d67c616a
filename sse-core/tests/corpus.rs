//! Replays the corpus of the fuzz targets.

use std::fs;
use std::path::Path;

use ssekit_testkit::props;

fn replay(target: &str, property: fn(&[u8]), at_least: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        // If the property panics, this names the input.
        println!("{}", path.display());
        property(&fs::read(&path).unwrap());
        replayed += 1;
    }
    assert!(replayed >= at_least, "only {replayed} inputs in {}", folder.display());
}

#[test]
fn corpus_decodes_like_the_reference() {
    replay("decode", props::decodes_like_the_reference, 200);
}

#[test]
fn corpus_keeps_limits() {
    replay("limits", props::keeps_limits, 60);
}

#[test]
fn corpus_round_trips() {
    replay("round_trip", props::round_trips, 40);
}

#[test]
fn corpus_in_pieces_encodes_as_one() {
    replay("pieces", props::pieces_are_one, 25);
}
