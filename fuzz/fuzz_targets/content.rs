//! Fuzzes `auditor_content::fuzz_content`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| auditor_content::fuzz_content(input));
