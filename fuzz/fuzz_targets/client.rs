//! Compares the client's machine with its model, for any server.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ssekit_testkit::client::check_bytes(input));
