//! Any bytes for a log, and a log with some bytes changed.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ssekit_testkit::hub::import_never_panics(input));
