//! Labelled secrets of gitleaks' cases, put wherever a message has room: none comes out.
#![allow(clippy::unwrap_used, reason = "a test")]

use auditor_content::{Classifier, Policy, Redactor, Settings};
use base64::Engine as _;
use serde_json::{Value, json};

mod support;

/// Cases whose text holds a secret that is long enough to be told from chance.
fn canaries() -> Vec<(String, String, String)> {
    let cases = support::gitleaks()
        .into_iter()
        .filter(|case| case.expected && !case.text.is_empty());
    cases
        .filter_map(|case| {
            let secret = case
                .secrets
                .iter()
                .max_by_key(|secret| secret.len())?
                .clone();
            (secret.len() >= 8).then_some((case.rule, case.text, secret))
        })
        .collect()
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn places(text: &str) -> Vec<(&'static str, Value)> {
    let inner = json!({"deep": [{"note": text}]}).to_string();
    let twice = json!({"again": inner}).to_string();
    vec![
        ("value", json!({"params": {"arguments": {"note": text}}})),
        ("element", json!({"result": {"content": [1, null, text]}})),
        ("key", json!({"params": {text: 1}})),
        ("key of an object", json!({"params": {text: {"x": true}}})),
        ("JSON in a string", json!({"text": inner})),
        ("JSON in JSON in a string", json!({"text": twice})),
        (
            "base64",
            json!({"blob": base64::engine::general_purpose::STANDARD.encode(text)}),
        ),
        (
            "base64 for URLs",
            json!({"blob": base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)}),
        ),
        (
            "percent-encoded query",
            json!({"url": format!("https://host.example/x?q={}&z=1", percent(text))}),
        ),
    ]
}

/// Everything that a reader could make of an output.
fn readings(out: &str) -> Vec<String> {
    let mut all = vec![out.to_owned()];
    fn strings(value: &Value, all: &mut Vec<String>) {
        match value {
            Value::String(text) => all.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| strings(item, all)),
            Value::Object(members) => members.iter().for_each(|(key, item)| {
                all.push(key.clone());
                strings(item, all);
            }),
            _ => {}
        }
    }
    strings(&serde_json::from_str(out).unwrap(), &mut all);
    let decoded: Vec<String> = all
        .iter()
        .flat_map(|text| {
            let standard = base64::engine::general_purpose::STANDARD.decode(text).ok();
            let url = base64::engine::general_purpose::URL_SAFE_NO_PAD
                .decode(text)
                .ok();
            standard
                .into_iter()
                .chain(url)
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        })
        .collect();
    all.extend(decoded);
    all
}

#[test]
fn no_labelled_secret_comes_out() {
    let classifier = Classifier::new(&Settings::default()).unwrap();
    // The policy that relies on classes alone.
    let redactor = Redactor::new([9; 32], Policy::keep_all());
    let canaries = canaries();
    assert!(
        canaries.len() >= 1000,
        "too few canaries: {}",
        canaries.len()
    );
    let mut leaks = Vec::new();
    for (rule, text, secret) in &canaries {
        for (place, body) in places(text) {
            // A dropped body leaks nothing, but none of these is to be dropped.
            let out = redactor
                .redact(body.to_string().as_bytes(), &classifier)
                .unwrap();
            let out = String::from_utf8(out).unwrap();
            let escaped = percent(secret);
            if readings(&out)
                .iter()
                .any(|text| text.contains(secret) || text.contains(&escaped))
            {
                leaks.push(format!("{rule} {place}: {text:?}"));
            }
            let report = format!("{:?}", classifier.scan(body.to_string().as_bytes()));
            if report.contains(secret) {
                leaks.push(format!("{rule} report of {place}: {text:?}"));
            }
        }
        for error in [format!("cannot connect: {text}"), text.clone()] {
            if redactor.redact_text(&error, &classifier).contains(secret) {
                leaks.push(format!(
                    "{rule} error text: {text:?} -> {:?}",
                    redactor.redact_text(&error, &classifier)
                ));
            }
        }
    }
    println!("{} canaries", canaries.len());
    for leak in leaks.iter().take(60) {
        println!("leak: {leak}");
    }
    assert!(leaks.is_empty(), "{} leaks", leaks.len());
}
