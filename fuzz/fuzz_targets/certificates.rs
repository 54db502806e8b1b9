//! Fuzzes `auditor_core::tls::fuzz_certificates`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| auditor_core::tls::fuzz_certificates(input));
