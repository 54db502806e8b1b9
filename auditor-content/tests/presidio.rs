//! Recall and precision on the sentence templates of presidio-evaluator.
//!
//! A value counts as found if `redact_text` leaves nothing of it; a finding beyond the values of
//! its class counts as wrong.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;

use auditor_content::{Classifier, Policy, Redactor, Settings};

mod support;

#[derive(serde::Deserialize)]
struct Sentence {
    text: String,
    values: Vec<(String, String)>,
}

#[test]
fn structured_personal_data_is_found() {
    let classifier = Classifier::new(&Settings::default()).unwrap();
    let redactor = Redactor::new([1; 32], Policy::default());
    // Values, found ones, wrong findings.
    let mut counts: BTreeMap<String, (u32, u32, u32)> = BTreeMap::new();
    for line in support::unpack(include_bytes!("data/presidio.jsonl.gz")).lines() {
        let sentence: Sentence = serde_json::from_str(line).unwrap();
        let redacted = redactor.redact_text(&sentence.text, &classifier);
        let report = classifier.scan_text(&sentence.text);
        let mut expected: BTreeMap<&str, u32> = BTreeMap::new();
        for (class, value) in &sentence.values {
            *expected.entry(class).or_default() += 1;
            let count = counts.entry(class.clone()).or_default();
            count.0 += 1;
            if report.has(class) && !redacted.contains(value.as_str()) {
                count.1 += 1;
            } else {
                println!("missed: {class} {value:?} in {:?}", sentence.text);
            }
        }
        for finding in &report.findings {
            let excess = finding.count.saturating_sub(
                expected
                    .get(&*finding.class.name)
                    .copied()
                    .unwrap_or_default(),
            );
            if excess > 0 {
                println!(
                    "wrong: {} {} in {:?} -> {redacted:?}",
                    finding.class.name, finding.rule, sentence.text
                );
                counts.entry(finding.class.name.to_string()).or_default().2 += excess;
            }
        }
    }
    let (mut all, mut found, mut wrong) = (0, 0, 0);
    for (class, count) in &counts {
        println!(
            "{class}: {} of {} found, {} wrong",
            count.1, count.0, count.2
        );
        (all, found, wrong) = (all + count.0, found + count.1, wrong + count.2);
    }
    let (recall, precision) = (
        f64::from(found) / f64::from(all),
        f64::from(found) / f64::from(found + wrong),
    );
    println!("recall {recall:.4}, precision {precision:.4}");
    assert!(all >= 400, "too few values: {all}");
    assert!(recall >= 0.90, "recall {recall}");
    assert!(precision >= 0.90, "precision {precision}");
}
