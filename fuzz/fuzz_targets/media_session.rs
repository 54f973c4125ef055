//! See `z5_tests::fuzz::media_session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| z5_tests::fuzz::media_session(bytes));
