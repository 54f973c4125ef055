//! See `z5_tests::fuzz::srtp_operations`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| z5_tests::fuzz::srtp_operations(bytes));
