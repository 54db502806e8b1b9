//! Secret rules: gitleaks' rule file, and custom expressions in the same shape.
//!
//! The file is gitleaks' own, version 8.30.1, under the MIT licence (`data/`). Allow-lists by
//! path or commit do not apply to messages, and neither does a rule's own path condition: what
//! a message carries has no path, so such a rule is tried on every text. A rule with a path and
//! no expression (`pkcs12-file`) can say nothing here and is skipped by name.

use crate::{
    class::{ClassId, Classes, Level, snake},
    entropy, go_syntax,
    pattern::Pattern,
    settings::Error,
};

const FILE: &str = include_str!("../data/gitleaks.toml");
/// Rules that look at file names only.
const PATH_ONLY: [&str; 1] = ["pkcs12-file"];
#[derive(Debug, serde::Deserialize)]
struct File {
    allowlist: RawAllowlist,
    rules: Vec<RawRule>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRule {
    id: String,
    regex: Option<String>,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default)]
    entropy: f64,
    #[serde(default)]
    secret_group: usize,
    #[serde(default)]
    allowlists: Vec<RawAllowlist>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAllowlist {
    #[serde(default)]
    condition: String,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    regex_target: String,
    #[serde(default)]
    regexes: Vec<String>,
    #[serde(default)]
    stopwords: Vec<String>,
}

/// One expression with its conditions.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) class: ClassId,
    pub(crate) pattern: Pattern,
    /// In lower case; one of them is in each match.
    pub(crate) keywords: Vec<String>,
    entropy: f64,
    allow: Vec<Allowlist>,
    /// Of the configuration: the list that holds for all built-in rules does not hold for it.
    pub(crate) is_custom: bool,
}

impl Rule {
    /// A rule without entropy bound or allow-list.
    pub(crate) fn custom(
        class: ClassId,
        id: &str,
        regex: &str,
        keywords: &[String],
    ) -> Result<Self, Error> {
        let keywords: Vec<String> = keywords
            .iter()
            .map(|word| word.to_ascii_lowercase())
            .collect();
        let pattern =
            Pattern::new(regex.to_owned(), 0, &keywords).map_err(|reason| unusable(id, reason))?;
        pattern.check().map_err(|reason| unusable(id, reason))?;
        Ok(Self {
            id: id.to_owned(),
            class,
            pattern,
            keywords,
            entropy: 0.0,
            allow: Vec::new(),
            is_custom: true,
        })
    }

    /// Whether a match of the expression is a finding.
    pub(crate) fn holds(
        &self,
        text: &[u8],
        whole: &[u8],
        value: &[u8],
        line: impl Fn() -> std::ops::Range<usize>,
    ) -> bool {
        if self.entropy > 0.0 && entropy::bits(value) <= self.entropy {
            return false;
        }
        !self.allow.iter().any(|list| {
            let target = match list.target {
                Target::Value => value,
                Target::Match => whole,
                Target::Line => text.get(line()).unwrap_or_default(),
            };
            list.allows(value, target)
        })
    }
}

/// Reads gitleaks' rules, leaving out those named; returns them with the list that holds for all.
pub(crate) fn built_in(
    classes: &mut Classes,
    left_out: &mut dyn FnMut(&str) -> bool,
) -> Result<(Vec<Rule>, Allowlist), Error> {
    let file: File = toml::from_str(FILE).map_err(|error| Error::BuiltIn {
        reason: error.to_string(),
    })?;
    let mut rules = Vec::with_capacity(file.rules.len());
    for raw in file.rules {
        let out = left_out(&raw.id);
        let class = format!("secret.{}", snake(&raw.id));
        let Some(regex) = raw.regex else {
            if PATH_ONLY.contains(&raw.id.as_str()) {
                continue;
            }
            return Err(unusable(&raw.id, "it has no expression".to_owned()));
        };
        if out || left_out(&class) {
            continue;
        }
        let keywords: Vec<String> = raw
            .keywords
            .iter()
            .map(|word| word.to_ascii_lowercase())
            .collect();
        let pattern = Pattern::new(go_syntax::adapt(&regex), raw.secret_group, &keywords)
            .map_err(|reason| unusable(&raw.id, reason))?;
        let allow = raw
            .allowlists
            .into_iter()
            .filter_map(|list| Allowlist::new(&raw.id, list).transpose());
        rules.push(Rule {
            class: classes.id(&class, Level::Restricted),
            allow: allow.collect::<Result<_, _>>()?,
            id: raw.id,
            pattern,
            keywords,
            entropy: raw.entropy,
            is_custom: false,
        });
    }
    let global = Allowlist::new("allowlist", file.allowlist)?.unwrap_or_default();
    Ok((rules, global))
}

fn unusable(rule: &str, reason: String) -> Error {
    Error::Pattern {
        rule: rule.to_owned(),
        reason,
    }
}

#[derive(Clone, Copy, Debug, Default)]
enum Target {
    #[default]
    Value,
    Match,
    Line,
}

/// What a rule is not to find.
#[derive(Debug, Default)]
pub(crate) struct Allowlist {
    target: Target,
    regexes: Vec<Pattern>,
    stopwords: Option<aho_corasick::AhoCorasick>,
}

impl Allowlist {
    fn new(rule: &str, raw: RawAllowlist) -> Result<Option<Self>, Error> {
        // All conditions must hold and a message has no path: the list never applies.
        if raw.condition == "AND" && !raw.paths.is_empty() {
            return Ok(None);
        }
        let target = match raw.regex_target.as_str() {
            "" => Target::Value,
            "match" => Target::Match,
            "line" => Target::Line,
            other => return Err(unusable(rule, format!("unknown regexTarget `{other}`"))),
        };
        let pattern = |regex: &String| {
            Pattern::new(go_syntax::adapt(regex), 0, &[]).map_err(|reason| unusable(rule, reason))
        };
        let stopwords = (!raw.stopwords.is_empty()).then(|| {
            aho_corasick::AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .build(&raw.stopwords)
                .map_err(|error| unusable(rule, error.to_string()))
        });
        Ok(Some(Self {
            target,
            regexes: raw.regexes.iter().map(pattern).collect::<Result<_, _>>()?,
            stopwords: stopwords.transpose()?,
        }))
    }

    fn allows(&self, value: &[u8], target: &[u8]) -> bool {
        let stopped = self
            .stopwords
            .as_ref()
            .is_some_and(|words| words.is_match(value));
        stopped || !target.is_empty() && self.regexes.iter().any(|regex| regex.is_match(target))
    }

    /// Whether a found value is none, by the list that holds for all rules.
    pub(crate) fn allows_value(&self, value: &[u8]) -> bool {
        self.allows(value, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_the_file_but_the_path_only_one_is_usable() {
        let (rules, global) = built_in(&mut Classes::default(), &mut |_| false).unwrap();
        assert_eq!(rules.len(), 221);
        for rule in &rules {
            rule.pattern
                .check()
                .unwrap_or_else(|reason| panic!("{}: {reason}", rule.id));
            assert!(!rule.keywords.is_empty(), "{} has no keyword", rule.id);
            for regex in rule.allow.iter().flat_map(|list| &list.regexes) {
                regex
                    .check()
                    .unwrap_or_else(|reason| panic!("{}: {reason}", rule.id));
            }
        }
        for regex in &global.regexes {
            regex.check().unwrap();
        }
        assert!(global.allows_value(b"${HOME}"));
        assert!(!global.allows_value(b"hunter2hunter2"));
    }
}
