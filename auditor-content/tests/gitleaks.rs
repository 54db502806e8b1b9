//! Recall and precision on the cases that gitleaks' authors wrote for their rules.
#![allow(clippy::unwrap_used, reason = "a test")]

use auditor_content::{Classifier, Settings};

mod support;

#[test]
fn secrets_are_found_as_gitleaks_expects() {
    let classifier = Classifier::new(&Settings {
        personal: false,
        ..Settings::default()
    })
    .unwrap();
    let (mut found, mut missed, mut wrong, mut quiet) = (0, 0, 0, 0);
    // The one rule that looks at a file's name only says nothing of a message.
    for case in support::gitleaks()
        .into_iter()
        .filter(|case| case.rule != "pkcs12-file")
    {
        let body = serde_json::json!({ "text": case.text }).to_string();
        let has = |report: auditor_content::Report| {
            report
                .findings
                .iter()
                .any(|finding| finding.rule == case.rule)
        };
        let (plain, json) = (
            has(classifier.scan_text(&case.text)),
            has(classifier.scan(body.as_bytes())),
        );
        if plain != json {
            println!(
                "differs in JSON ({plain} {json}): {} {:?}",
                case.rule, case.text
            );
        }
        match (case.expected, json) {
            (true, true) => found += 1,
            (true, false) => {
                missed += 1;
                println!("missed: {} {:?}", case.rule, case.text);
            }
            (false, true) => {
                wrong += 1;
                println!("wrong: {} {:?} {:?}", case.rule, case.path, case.text);
            }
            (false, false) => quiet += 1,
        }
    }
    let recall = f64::from(found) / f64::from(found + missed);
    let precision = f64::from(found) / f64::from(found + wrong);
    println!("found {found}, missed {missed}, wrong {wrong}, rightly quiet {quiet}");
    println!("recall {recall:.4}, precision {precision:.4}");
    assert!(found > 1000 && quiet > 100, "too few cases");
    assert!(recall >= 0.95, "recall {recall}");
    assert!(precision >= 0.90, "precision {precision}");
}
