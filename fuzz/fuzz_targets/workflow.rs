//! Fuzzes `auditor_core::audit::fuzz_environment`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| auditor_core::audit::fuzz_environment(input));
