//! Fuzzes `auditor_elf::fuzz::fuzz_elf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| auditor_elf::fuzz::fuzz_elf(input));
