//! See `z5_tests::fuzz::telephone_event`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| z5_tests::fuzz::telephone_event(bytes));
