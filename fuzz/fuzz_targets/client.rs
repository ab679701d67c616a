//! Any server, against the model of an event source.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ssekit_testkit::client::keeps_the_rules(input));
