use serde_json::{Value, json};

use super::*;
use crate::{PathRule, Settings};

const PAT: &str = "ghp_7Kq2mZx9Rt4Lw8Vb3Ns6Yd1Hf5Jc0PgAeUiO";

fn redact(policy: Policy, body: &Value) -> Value {
    let classifier = Classifier::new(&Settings::default()).unwrap();
    let out = Redactor::new([1; 32], policy)
        .redact(body.to_string().as_bytes(), &classifier)
        .unwrap();
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn a_classified_value_is_replaced_whatever_the_policy_says() {
    let out = redact(
        Policy::keep_all(),
        &json!({"a": format!("see {PAT} here"), "b": "plain", "c": 1.5, "d": null}),
    );
    assert_eq!(out["a"]["class"], "secret.github_pat");
    assert_eq!(out["a"]["len"], PAT.len() + 9);
    // HMAC-SHA256 of the value under 32 bytes of 0x01, by Python's hmac module.
    assert_eq!(out["a"]["fp"], "6c5e80fb28ae35fd");
    assert_eq!(
        (&out["b"], &out["c"], &out["d"]),
        (&json!("plain"), &json!(1.5), &Value::Null)
    );
}

#[test]
fn a_classified_key_is_replaced_and_its_value_stays() {
    let out = redact(Policy::keep_all(), &json!({PAT: {"x": 1}}));
    let (key, value) = out.as_object().unwrap().iter().next().unwrap();
    assert!(key.starts_with("[secret.github_pat:"), "{key}");
    assert_eq!(value, &json!({"x": 1}));
}

#[test]
fn the_default_keeps_the_protocol_and_hashes_the_rest() {
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": {"name": "query", "arguments": {"text": "hello", "count": 3, "deep": true}}});
    let out = redact(Policy::default(), &body);
    for kept in ["/jsonrpc", "/id", "/method", "/params/name"] {
        assert_eq!(out.pointer(kept), body.pointer(kept), "{kept}");
    }
    let arguments = &out["params"]["arguments"];
    assert_eq!(
        (&arguments["text"]["type"], &arguments["text"]["len"]),
        (&json!("string"), &json!(5))
    );
    assert_eq!(arguments["text"]["fp"].as_str().unwrap().len(), 16);
    assert_eq!(arguments["count"]["type"], "number");
    assert_eq!(arguments["deep"], json!({"type": "boolean"}));
}

#[test]
fn rules_decide_by_place_and_the_first_that_fits_wins() {
    let rules = vec![
        PathRule::new("/a/*/x", Action::Drop),
        PathRule::new("/a/0/**", Action::Keep),
        PathRule::new("/list/*", Action::Drop),
    ];
    let policy = Policy {
        default: Action::Mask,
        rules,
    };
    let out = redact(
        policy,
        &json!({"a": [{"x": 1, "y": "kept", "z": [2]}, {"y": "four"}], "list": [1, "b"], "n": 5}),
    );
    assert_eq!(
        out,
        json!({"a": [{"y": "kept", "z": [2]}, {"y": {"type": "string", "len": 4}}], "list": [null, null], "n": {"type": "number"}})
    );
}

#[test]
fn what_cannot_be_read_is_not_given() {
    let classifier = Classifier::new(&Settings {
        max_input: 64,
        ..Settings::default()
    })
    .unwrap();
    let redactor = Redactor::new([1; 32], Policy::keep_all());
    for body in [
        &b"{\"a\":"[..],
        b"",
        b"hello world",
        b"{} {}",
        &[b'['; 200],
        &[b' '; 65],
    ] {
        assert_eq!(redactor.redact(body, &classifier), None);
    }
    assert_eq!(
        redactor.redact_text(&"x".repeat(65), &classifier),
        "[unscanned:65]"
    );
}

#[test]
fn odd_scalars_never_come_through() {
    let classifier = Classifier::new(&Settings::default()).unwrap();
    let redactor = Redactor::new([1; 32], Policy::keep_all());
    let out = redactor
        .redact(
            b"[NaN, 01, 1e5, -0.5E-3, nul, 123456789012345678901234567890]",
            &classifier,
        )
        .unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"[{"type":"other"},{"type":"other"},1e5,-0.5E-3,{"type":"other"},123456789012345678901234567890]"#
    );
}

#[test]
fn texts_lose_what_is_classified_and_keep_the_rest() {
    let classifier = Classifier::new(&Settings::default()).unwrap();
    let redactor = Redactor::new([1; 32], Policy::default());
    let out = redactor.redact_text(
        &format!("GET https://é.example/x?page=2&password=hunter2&t={PAT}&y=1 by ann@example.org!"),
        &classifier,
    );
    assert!(
        out.starts_with("GET https://é.example/x?page=2&password=[secret.by_key_name:"),
        "{out}"
    );
    assert!(
        out.contains("&y=1 by [pii.email:") && out.ends_with("]!"),
        "{out}"
    );
    assert!(!out.contains("hunter2") && !out.contains("ghp_"), "{out}");
}

#[test]
fn fingerprints_differ_by_key_and_name_their_key() {
    let (one, two) = (
        Redactor::new([1; 32], Policy::default()),
        Redactor::new([2; 32], Policy::default()),
    );
    assert_eq!(one.fingerprint(b"x"), one.fingerprint(b"x"));
    assert_ne!(one.fingerprint(b"x"), two.fingerprint(b"x"));
    assert_ne!(one.key_id(), two.key_id());
    assert_eq!(one.key_id().len(), 8);
}

#[test]
fn a_name_keeps_its_host_and_loses_its_secret() {
    let classifier = Classifier::new(&Settings::default()).unwrap();
    let redactor = Redactor::new([1; 32], Policy::default());
    let name = format!("peer 203.0.113.7 said {PAT}");
    let shown = redactor.redact_name(&name, &classifier);
    assert!(
        shown.contains("203.0.113.7") && !shown.contains(PAT),
        "{shown}"
    );
    assert!(
        !redactor
            .redact_text(&name, &classifier)
            .contains("10.1.2.3")
    );
}
