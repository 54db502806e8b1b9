//! What holds of every body: nothing planted comes out, the output parses, its shape is the same.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::LazyLock;

use auditor_content::{Action, Classifier, Policy, Redactor, Settings, fuzz_content};
use proptest::{collection, prelude::*};
use serde_json::{Map, Value};

const SECRET: &str = "ghp_7Kq2mZx9Rt4Lw8Vb3Ns6Yd1Hf5Jc0PgAeUiO";

static CLASSIFIER: LazyLock<Classifier> =
    LazyLock::new(|| Classifier::new(&Settings::default()).unwrap());

/// Values with the secret planted in some of their strings and keys.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        ".{0,12}".prop_map(Value::String),
        "[ a-z\"\\\\\n]{0,8}"
            .prop_map(|around| Value::String(format!("{around} {SECRET} {around}"))),
        "[a-z]{0,4}".prop_map(|key| Value::String(serde_json::json!({ key: SECRET }).to_string())),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        text
    ];
    let key = prop_oneof![9 => "[a-z/~\"é]{0,6}", 1 => Just(SECRET.to_owned())];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Whether `out` has the containers of `body`, and something for each of its values.
fn is_shaped_alike(body: &Value, out: &Value) -> bool {
    match (body, out) {
        (Value::Array(body), Value::Array(out)) => {
            body.len() == out.len()
                && body
                    .iter()
                    .zip(out)
                    .all(|(body, out)| is_shaped_alike(body, out))
        }
        // A classified key has another name, so members are compared one by one without names.
        (Value::Object(body), Value::Object(out)) => {
            body.len() == out.len()
                && body.iter().all(|(key, value)| match out.get(key) {
                    Some(out) => is_shaped_alike(value, out),
                    None => out.values().any(|out| is_shaped_alike(value, out)),
                })
        }
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_)) => false,
        (body, Value::Object(mark)) => {
            !body.is_object() && (mark.contains_key("class") || mark.contains_key("type"))
        }
        (body, out) => std::mem::discriminant(body) == std::mem::discriminant(out),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_planted_comes_out_and_the_shape_stays(body in value(), action in 0..3_u8) {
        let default = [Action::Keep, Action::Mask, Action::Hash][usize::from(action)];
        let redactor = Redactor::new([3; 32], Policy { default, rules: Vec::new() });
        let out = redactor.redact(body.to_string().as_bytes(), &CLASSIFIER);
        let out = String::from_utf8(out.unwrap()).unwrap();
        prop_assert!(!out.contains(SECRET), "{}", out);
        let out: Value = serde_json::from_str(&out).unwrap();
        prop_assert!(is_shaped_alike(&body, &out), "{} {}", body, out);
    }

    #[test]
    fn any_bytes_hold(input in collection::vec(any::<u8>(), 0..200)) {
        fuzz_content(&input);
    }

    #[test]
    fn any_json_like_text_holds(input in r#"[\[\]{}",:0-9a-f@%?=&\\ u.\-+]{0,120}"#) {
        fuzz_content(input.as_bytes());
    }

    #[test]
    fn a_cut_body_still_tells_the_secret(body in value(), more in ".{0,9}") {
        let whole = serde_json::json!({"a": SECRET, "b": body, "c": more}).to_string();
        // `a` comes first and is never cut.
        let mut cut = 60 + whole.len().saturating_sub(60) / 2;
        while !whole.is_char_boundary(cut) {
            cut += 1;
        }
        let report = CLASSIFIER.scan(&whole.as_bytes()[..cut.min(whole.len() - 1)]);
        prop_assert!(report.has("secret.github_pat"));
        prop_assert!(!report.is_whole);
    }
}
