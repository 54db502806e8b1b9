//! The labelled cases that the tests of this crate share.
#![allow(dead_code, reason = "each test uses a part")]

use std::io::Read;

/// One case: a text, and whether the rule is to find something in it.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Case {
    /// gitleaks' id of the rule.
    pub(crate) rule: String,
    /// The text.
    pub(crate) text: String,
    /// What gitleaks' authors expect.
    pub(crate) expected: bool,
    /// Path that the case needs, if any.
    pub(crate) path: Option<String>,
    /// What gitleaks itself found.
    #[serde(default)]
    pub(crate) secrets: Vec<String>,
}

/// The cases of the rules' own tests: those of the file that `GITLEAKS_CASES` names (written by
/// `tests/corpus/generate.sh`), or the sample kept here.
pub(crate) fn gitleaks() -> Vec<Case> {
    let text = match std::env::var("GITLEAKS_CASES") {
        Ok(path) => std::fs::read_to_string(path).unwrap(),
        Err(_) => unpack(include_bytes!("../data/gitleaks.jsonl.gz")),
    };
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Text of a gzip file.
pub(crate) fn unpack(packed: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed)
        .read_to_string(&mut text)
        .unwrap();
    text
}
