//! Fuzzes `auditor_core::tls::fuzz_opening`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| auditor_core::tls::fuzz_opening(input));
