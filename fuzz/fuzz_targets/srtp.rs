//! See `z5_tests::fuzz::srtp_packet`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| z5_tests::fuzz::srtp_packet(bytes));
