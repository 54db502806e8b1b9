use super::*;

fn classifier() -> Classifier {
    Classifier::new(&Settings::default()).unwrap()
}

fn places(text: &str) -> Vec<String> {
    let report = classifier().scan(text.as_bytes());
    report
        .findings
        .iter()
        .map(|finding| format!("{} {}", finding.class.name, finding.place))
        .collect()
}

const PAT: &str = "ghp_7Kq2mZx9Rt4Lw8Vb3Ns6Yd1Hf5Jc0PgAeUiO";

#[test]
fn a_secret_is_found_at_its_place() {
    let text = format!(r#"{{"params":{{"arguments":{{"a/b":["x","{PAT}"]}}}}}}"#);
    assert_eq!(
        places(&text),
        ["secret.github_pat /params/arguments/a~1b/1"]
    );
}

#[test]
fn steps_inside_strings_are_told() {
    let inner = format!(r#"{{"token":"{PAT}"}}"#);
    let body = serde_json::json!({"params": {"arguments": {"body": inner}}}).to_string();
    assert_eq!(
        places(&body),
        ["secret.github_pat /params/arguments/body#json/token"]
    );
    let body = serde_json::json!({"url": format!("https://x.example/y?a=1&t={PAT}")}).to_string();
    assert!(
        places(&body).contains(&"secret.github_pat /url#query/t".to_owned()),
        "{:?}",
        places(&body)
    );
    use base64::Engine as _;
    let packed = base64::engine::general_purpose::STANDARD.encode(format!("token {PAT} here"));
    assert_eq!(
        places(&serde_json::json!([packed]).to_string()),
        ["secret.github_pat /0#base64"]
    );
}

#[test]
fn elements_that_hold_the_same_are_one_finding() {
    let rows: Vec<_> = (0..500)
        .map(|index| serde_json::json!({"email": format!("user{index}@example.org")}))
        .collect();
    let report = classifier().scan(serde_json::json!({"rows": rows}).to_string().as_bytes());
    let found: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (&*finding.place, finding.count))
        .collect();
    assert_eq!(found, [("/rows/*/email", 500)]);
    assert!(report.is_whole && report.rest.is_empty());
}

#[test]
fn findings_are_bounded_and_the_rest_is_counted() {
    let many: std::collections::BTreeMap<_, _> = (0..100)
        .map(|index| (format!("k{index}"), format!("u{index}@example.org")))
        .collect();
    let report = classifier().scan(serde_json::json!(many).to_string().as_bytes());
    assert_eq!(report.findings.len(), crate::MAX_FINDINGS);
    assert_eq!(
        report
            .rest
            .iter()
            .map(|(class, count)| (&*class.name, *count))
            .collect::<Vec<_>>(),
        [("pii.email", 36)]
    );
}

#[test]
fn a_secret_in_a_key_is_not_spelt_in_a_place() {
    let body = serde_json::json!({PAT: {"inner": "ann@example.org"}}).to_string();
    let report = classifier().scan(body.as_bytes());
    assert!(!format!("{report:?}").contains(PAT));
    assert_eq!(
        places(&body),
        [
            "secret.github_pat /{secret.github_pat}",
            "pii.email /{secret.github_pat}/inner"
        ]
    );
    assert!(report.findings[0].is_key);
}

#[test]
fn a_name_beside_a_value_names_it() {
    let body = r#"{"env":[{"name":"DB_PASSWORD","value":"hunter2"}]}"#;
    assert_eq!(places(body), ["secret.by_key_name /env/0/value"]);
    assert_eq!(
        places(r#"{"patient_name":"Ann Lee","max_tokens":5,"password":""}"#),
        ["pii.person_name /patient_name"]
    );
}

#[test]
fn cut_and_plain_input_is_scanned_and_not_called_whole() {
    let text = format!(r#"{{"a":1,"b":"see {PAT} an"#);
    let report = classifier().scan(text.as_bytes());
    assert!(report.has("secret.github_pat") && !report.is_whole);
    let report = classifier().scan(format!("error: {PAT}").as_bytes());
    assert!(report.has("secret.github_pat") && !report.is_whole);
    let small = Classifier::new(&Settings {
        max_input: 20,
        ..Settings::default()
    })
    .unwrap();
    let report = small.scan(format!(r#"["aaaaaaaaaaaaaaaaaaaaaaaa","{PAT}"]"#).as_bytes());
    assert!(!report.is_whole && report.scanned == 20 && report.findings.is_empty());
}

#[test]
fn settings_add_and_leave_out() {
    use crate::{CustomPattern, Dictionary, KeyNames};
    let settings = Settings {
        dictionaries: vec![Dictionary {
            class: "project".into(),
            level: Level::Internal,
            words: vec!["Blue Heron".into()],
        }],
        patterns: vec![CustomPattern {
            class: "case".into(),
            level: Level::Confidential,
            regex: r"CASE-(\d{6})".into(),
            keywords: vec!["case-".into()],
        }],
        key_names: vec![KeyNames {
            class: "salary".into(),
            level: Level::Restricted,
            keys: vec!["base_salary".into()],
        }],
        leave_out: vec!["pii.email".into(), "github-pat".into()],
        ..Settings::default()
    };
    let classifier = Classifier::new(&settings).unwrap();
    let report = classifier.scan_text(&format!(
        "blue heron, case-123456, CASE-123456, ann@example.org, {PAT}, Blue Herons"
    ));
    let found: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (&*finding.class.name, finding.count))
        .collect();
    assert_eq!(found, [("custom.case", 1), ("custom.project", 1)]);
    assert!(
        classifier
            .scan(br#"{"baseSalary":50000}"#)
            .has("custom.salary")
    );
    let unknown = Settings {
        leave_out: vec!["no-such-rule".into()],
        ..Settings::default()
    };
    assert!(matches!(
        Classifier::new(&unknown),
        Err(Error::UnknownRule { .. })
    ));
    let broken = CustomPattern {
        class: "x".into(),
        level: Level::Internal,
        regex: "(".into(),
        keywords: vec![],
    };
    assert!(matches!(
        Classifier::new(&Settings {
            patterns: vec![broken],
            ..Settings::default()
        }),
        Err(Error::Pattern { .. })
    ));
}

#[test]
fn hostile_repetition_ends_and_says_so() {
    let body = format!("\"{}\"", "-----BEGIN PRIVATE KEY----- ".repeat(20_000));
    assert!(!classifier().scan(body.as_bytes()).is_whole);
    let nested = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    assert!(!classifier().scan(nested.as_bytes()).is_whole);
}
