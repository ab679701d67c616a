//! Any steps of a log that several processes share, against the model.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ssekit_testkit::hub::hub_of_a_shared_log_behaves_like_the_model(input));
