//! See `z5_tests::fuzz::rtcp_compound`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| z5_tests::fuzz::rtcp_compound(bytes));
