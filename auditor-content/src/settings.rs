//! What a classifier looks for besides its built-in rules, and what it leaves out.

use crate::class::Level;

/// Input beyond this is not scanned unless [`Settings::max_input`] says otherwise, in bytes.
pub const MAX_INPUT: usize = 4 << 20;

/// Settings of a [`Classifier`](crate::Classifier).
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether secrets are looked for by gitleaks' rules and by telling key names.
    pub secrets: bool,
    /// Whether personal data is looked for.
    pub personal: bool,
    /// Words that make a class of their own.
    pub dictionaries: Vec<Dictionary>,
    /// Regular expressions that make a class of their own.
    pub patterns: Vec<CustomPattern>,
    /// Key names whose values make a class, whatever the values are.
    pub key_names: Vec<KeyNames>,
    /// Ids of built-in rules to leave out: gitleaks ids (`generic-api-key`) or classes (`pii.email`).
    pub leave_out: Vec<String>,
    /// Longest input that is scanned, in bytes; of a longer one only the beginning is.
    pub max_input: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            secrets: true,
            personal: true,
            dictionaries: Vec::new(),
            patterns: Vec::new(),
            key_names: Vec::new(),
            leave_out: Vec::new(),
            max_input: MAX_INPUT,
        }
    }
}

/// Words found wherever they stand as whole words, in any ASCII case.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dictionary {
    /// Second part of the class name, after `custom.`.
    pub class: String,
    /// Sensitivity of the class.
    pub level: Level,
    /// The words; empty ones are refused.
    pub words: Vec<String>,
}

/// A regular expression of the `regex` crates, matched on bytes without Unicode classes.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomPattern {
    /// Second part of the class name, after `custom.`.
    pub class: String,
    /// Sensitivity of the class.
    pub level: Level,
    /// The expression. Its first capture group, if any, is the found value.
    pub regex: String,
    /// Words of which one is in each match; without any, the expression runs over all text, slowly.
    #[serde(default)]
    pub keywords: Vec<String>,
}

/// Key names; letter case, `_`, `-`, `.` and spaces do not count when comparing.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyNames {
    /// Second part of the class name, after `custom.`.
    pub class: String,
    /// Sensitivity of the class.
    pub level: Level,
    /// The key names.
    pub keys: Vec<String>,
}

/// Why a classifier cannot be built. The settings are to be mended; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rules that this crate carries cannot be read: a fault of this build.
    #[error("built-in rules: {reason}")]
    BuiltIn {
        /// What the reader says.
        reason: String,
    },
    /// A regular expression cannot be compiled.
    #[error("rule `{rule}`: {reason}")]
    Pattern {
        /// Id or class of the rule.
        rule: String,
        /// What the compiler says.
        reason: String,
    },
    /// A rule to be left out does not exist.
    #[error("no built-in rule is called `{rule}`")]
    UnknownRule {
        /// The name given.
        rule: String,
    },
    /// A word, keyword or key name is empty.
    #[error("class `{class}` has an empty word")]
    EmptyWord {
        /// The class it belongs to.
        class: String,
    },
    /// The words of all rules together make no search automaton.
    #[error("words of all rules: {reason}")]
    Words {
        /// What the builder says.
        reason: String,
    },
}
