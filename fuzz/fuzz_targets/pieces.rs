//! Data written in pieces, against data in one.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ssekit_testkit::props::pieces_are_one(input));
