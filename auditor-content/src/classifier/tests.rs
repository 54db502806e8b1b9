use super::*;

fn classifier() -> Classifier {
    Classifier::new(&Settings::default()).unwrap()
}

fn places(text: &str) -> Vec<String> {
    let report = classifier().scan(text.as_bytes());
    report.findings.iter().map(|finding| format!("{} {}", finding.class.name, finding.place)).collect()
}

const PAT: &str = "ghp_7Kq2mZx9Rt4Lw8Vb3Ns6Yd1Hf5Jc0PgAeUiO";

#[test]
fn a_secret_is_found_at_its_place() {
    let text = format!(r#"{{"params":{{"arguments":{{"a/b":["x","{PAT}"]}}}}}}"#);
    assert_eq!(places(&text), ["secret.github_pat /params/arguments/a~1b/1"]);
}
