//! Any bytes at any cuts, against the reference.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ssekit_testkit::props::decodes_like_the_reference(input));
