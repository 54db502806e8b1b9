//! Fuzzes `auditor_detect::fuzz_definitions`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    auditor_detect::fuzz_definitions(input);
    auditor_detect::scan::fuzz(input);
});
