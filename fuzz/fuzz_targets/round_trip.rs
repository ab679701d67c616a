//! Encode by every sink, then decode.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ssekit_testkit::props::round_trips(input));
