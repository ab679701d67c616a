//! Any steps, against the model.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ssekit_testkit::hub::hub_behaves_like_the_model(input));
