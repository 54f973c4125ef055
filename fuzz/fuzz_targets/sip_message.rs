//! See `z5_tests::fuzz::sip_message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| z5_tests::fuzz::sip_message(bytes));
