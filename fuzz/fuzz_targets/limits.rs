//! The same under limits of a few bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ssekit_testkit::props::keeps_limits(input));
