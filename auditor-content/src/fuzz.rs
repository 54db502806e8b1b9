//! The body of the fuzz target `content`, run by a unit test as well.

use std::sync::OnceLock;

use crate::{Action, Classifier, PathRule, Policy, Redactor, Settings};

/// Compiled once for a whole run of the fuzzer; the library itself keeps no such state.
static CLASSIFIER: OnceLock<Option<Classifier>> = OnceLock::new();

/// Scans and redacts `input` and checks what must hold of any input.
///
/// # Panics
/// When something does not hold.
pub fn fuzz_content(input: &[u8]) {
    let classifier = CLASSIFIER.get_or_init(|| Classifier::new(&Settings::default()).ok());
    let Some(classifier) = classifier else { return };
    let report = classifier.scan(input);
    assert!(report.findings.len() <= crate::MAX_FINDINGS);
    assert!(report.scanned <= input.len());
    let rules = vec![
        PathRule::new("/a/*", Action::Drop),
        PathRule::new("/b/**", Action::Keep),
    ];
    for policy in [
        Policy::keep_all(),
        Policy {
            default: Action::Mask,
            rules,
        },
        Policy::default(),
    ] {
        let redactor = Redactor::new([7; 32], policy);
        if let Some(out) = redactor.redact(input, classifier) {
            assert!(
                serde_json::from_slice::<serde::de::IgnoredAny>(&out).is_ok(),
                "output is no JSON"
            );
        }
        if let Ok(text) = std::str::from_utf8(input) {
            redactor.redact_text(text, classifier);
        }
    }
    if let Ok(text) = std::str::from_utf8(input) {
        classifier.scan_text(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_inputs_hold() {
        let inputs: [&[u8]; 16] = [
            b"",
            b"{",
            b"\"",
            b"[\"a@b.co\"",
            b"{\"a\":\"\\",
            b"{\"a\":\"\\u",
            b"\xff\xfe@\xff.\xff",
            b"%%%41?=&=#",
            b"\"?a=%4\"",
            b"{\"a\":{\"name\":\"password\",\"value\":\"x\"}}",
            b"+",
            b"0",
            b"1:2:3:4:5:6:7:8",
            b"@",
            b"{\"a\":\"{\\\"b\\\":\\\"[1,2]\\\"}\"}",
            b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1",
        ];
        for input in inputs {
            fuzz_content(input);
        }
    }
}
