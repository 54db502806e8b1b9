//! Fuzzes `auditor_resource::fuzz_call`.
#![no_main]
use std::sync::LazyLock;

use auditor_resource::{Catalogue, Rules};

static BUILT_IN: LazyLock<Option<(Rules, Catalogue)>> =
    LazyLock::new(|| Some((Rules::built_in().ok()?, Catalogue::built_in().ok()?)));

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Some((rules, catalogue)) = &*BUILT_IN {
        auditor_resource::fuzz_call(input, rules, catalogue);
    }
});
