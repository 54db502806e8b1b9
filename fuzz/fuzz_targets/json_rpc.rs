//! Fuzzes `auditor_core::mcp::fuzz::fuzz_json_rpc`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| auditor_core::mcp::fuzz::fuzz_json_rpc(input));
