//! Fuzzes `auditor_core::wire::fuzz::fuzz_websocket`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| auditor_core::wire::fuzz::fuzz_websocket(input));
