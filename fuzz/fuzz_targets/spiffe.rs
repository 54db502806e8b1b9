//! Fuzzes `auditor_core::identity::fuzz_spiffe`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| auditor_core::identity::fuzz_spiffe(input));
