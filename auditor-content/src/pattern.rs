//! One regular expression over bytes, compiled when it is first needed.
//!
//! Expressions are matched without Unicode classes, as Go's are nearly all ASCII too. A search is
//! confined to a window, but looks at what stands around it, so that a window's border is never
//! taken for the end of a word or of the text.

use std::{ops::Range, sync::OnceLock};

use regex_automata::{
    Anchored, Input,
    meta::{Config, Regex},
    util::syntax,
};
use regex_syntax::hir::{Hir, literal::Extractor};

/// Bounds on one compiled expression, in bytes.
const NFA_SIZE: usize = 8 << 20;
const CACHE_SIZE: usize = 512 << 10;
/// Reach assumed for an expression whose matches have no greatest length, in bytes.
const FAR: usize = 16 << 10;
/// Reach before a keyword for such an expression, in bytes.
const BEFORE: usize = 512;
/// Reach after the keyword of an assignment whose value has no greatest length, in bytes.
const VALUE: usize = 1 << 10;
/// How far after its keyword the sign of an assignment may stand, in bytes.
const SIGN: usize = 64;
/// How gitleaks spells "then a sign of assignment", after a name.
const ASSIGNMENT: &str = r#")(?:[ \t\w.-]{0,20})[\s'"]{0,3}(?:=|>|:{1,3}=|\|\||:|=>|\?=|,)"#;

/// Where a match lies around its keyword.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// It begins with the keyword.
    First,
    /// A sign of assignment follows the keyword, after no more than part of a name.
    Assigned,
    /// Somewhere in it.
    Anywhere,
}

/// A regular expression that is compiled on first use.
#[derive(Debug)]
pub(crate) struct Pattern {
    source: String,
    compiled: OnceLock<Option<Regex>>,
    /// Bytes that a match may begin before, and end after, its keyword.
    pub(crate) before: usize,
    pub(crate) after: usize,
    pub(crate) place: Place,
    /// Whether a search may run through all of its window before it fails.
    pub(crate) is_far: bool,
    /// Capture group that holds the value; 0 stands for the first that took part.
    pub(crate) group: usize,
}

impl Pattern {
    /// Reads `source`, not yet compiling it; the text of the error is the parser's.
    pub(crate) fn new(source: String, group: usize, keywords: &[String]) -> Result<Self, String> {
        let hir =
            syntax::parse_with(&source, &syntax_config()).map_err(|error| error.to_string())?;
        let most = hir.properties().maximum_len();
        let place = if begins_with(&hir, keywords) {
            Place::First
        } else if is_assigned(&source, keywords) {
            Place::Assigned
        } else {
            Place::Anywhere
        };
        // Some keywords stand near a match, not in it.
        let plain = source.replace('\\', "").to_ascii_lowercase();
        let is_held = keywords
            .iter()
            .all(|keyword| plain.contains(keyword.as_str()));
        let far = if place == Place::Assigned { VALUE } else { FAR };
        Ok(Self {
            is_far: most.is_none() && (source.contains(r"[\s\S") || source.contains("(?s:.)")),
            place,
            source,
            compiled: OnceLock::new(),
            before: if is_held {
                most.unwrap_or(BEFORE).min(BEFORE)
            } else {
                FAR
            },
            after: if is_held {
                most.unwrap_or(far).min(far)
            } else {
                FAR
            },
            group,
        })
    }

    /// Compiles now; says why it cannot be.
    pub(crate) fn check(&self) -> Result<(), String> {
        let regex = build(&self.source)?;
        self.compiled.get_or_init(|| Some(regex));
        Ok(())
    }

    fn regex(&self) -> Option<&Regex> {
        self.compiled
            .get_or_init(|| build(&self.source).ok())
            .as_ref()
    }

    /// Whether it matches somewhere in `text`.
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        self.regex()
            .is_some_and(|regex| regex.is_match(Input::new(text)))
    }

    /// Whether a match can hold the keyword that ends at `end` of `text`, at a glance.
    pub(crate) fn may_hold(&self, text: &[u8], end: usize) -> bool {
        self.place != Place::Assigned || {
            let rest = text.get(end..).unwrap_or_default();
            let sign = rest.iter().take(SIGN).find(|byte| {
                !matches!(
                    byte,
                    b' ' | b'\t' | b'\n' | b'\r' | 11 | 12 | b'.' | b'-' | b'_' | b'\'' | b'"'
                ) && !byte.is_ascii_alphanumeric()
            });
            matches!(sign, Some(b'=' | b'>' | b':' | b'|' | b'?' | b','))
        }
    }

    /// Like [`each`](Self::each), for the one match that begins at the start of `window`.
    pub(crate) fn first(
        &self,
        text: &[u8],
        window: Range<usize>,
        found: impl FnMut(Range<usize>, Range<usize>) -> bool,
    ) {
        self.search(text, window, Anchored::Yes, found);
    }

    /// Calls `found` with the span of each match inside `window` of `text` and with its value's
    /// span, until it says `false`.
    pub(crate) fn each(
        &self,
        text: &[u8],
        window: Range<usize>,
        found: impl FnMut(Range<usize>, Range<usize>) -> bool,
    ) {
        self.search(text, window, Anchored::No, found);
    }

    fn search(
        &self,
        text: &[u8],
        window: Range<usize>,
        anchored: Anchored,
        mut found: impl FnMut(Range<usize>, Range<usize>) -> bool,
    ) {
        let Some(regex) = self.regex() else { return };
        let (mut at, end) = (window.start, window.end.min(text.len()));
        let mut captures = None;
        while at < end {
            let Some(whole) = regex.search(&Input::new(text).range(at..end).anchored(anchored))
            else {
                return;
            };
            let mut value = whole.range();
            if regex.captures_len() > 1 {
                let captures = captures.get_or_insert_with(|| regex.create_captures());
                regex.search_captures(&Input::new(text).range(whole.range()), captures);
                let wanted = if self.group > 0 {
                    captures.get_group(self.group)
                } else {
                    (1..captures.group_len())
                        .filter_map(|group| captures.get_group(group))
                        .find(|span| !span.is_empty())
                };
                if let Some(wanted) = wanted {
                    value = wanted.range();
                }
            }
            at = whole.end().max(at + 1);
            if !found(whole.range(), value) || anchored == Anchored::Yes {
                return;
            }
        }
    }
}

/// Whether each match of `hir` begins with one of `keywords`, in any letter case.
fn begins_with(hir: &Hir, keywords: &[String]) -> bool {
    let prefixes = Extractor::new().extract(hir);
    prefixes.literals().is_some_and(|literals| {
        !literals.is_empty()
            && literals.iter().all(|literal| {
                let literal = literal.as_bytes().to_ascii_lowercase();
                keywords
                    .iter()
                    .any(|keyword| literal.starts_with(keyword.as_bytes()))
            })
    })
}

/// Whether `source` is a name that holds each keyword, a sign of assignment, and a value.
fn is_assigned(source: &str, keywords: &[String]) -> bool {
    source.split_once(ASSIGNMENT).is_some_and(|(name, _)| {
        let name = name.to_ascii_lowercase();
        keywords
            .iter()
            .all(|keyword| name.contains(keyword.as_str()))
    })
}

fn syntax_config() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

fn build(source: &str) -> Result<Regex, String> {
    let config = Config::new()
        .utf8_empty(false)
        .nfa_size_limit(Some(NFA_SIZE))
        .hybrid_cache_capacity(CACHE_SIZE)
        .dfa(false);
    Regex::builder()
        .configure(config)
        .syntax(syntax_config())
        .build(source)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(
        pattern: &Pattern,
        text: &[u8],
        window: Range<usize>,
    ) -> Vec<(Range<usize>, Range<usize>)> {
        let mut spans = Vec::new();
        pattern.each(text, window, |whole, value| {
            spans.push((whole, value));
            true
        });
        spans
    }

    #[test]
    fn a_windows_border_is_no_border_of_the_text() {
        let pattern = Pattern::new(r"\bab(c)(?:\s|$)".into(), 0, &[]).unwrap();
        assert_eq!(
            all(&pattern, b"abc abc", 0..7),
            [(0..4, 2..3), (4..7, 6..7)]
        );
        assert_eq!(all(&pattern, b"abcd", 0..3), []);
        assert_eq!(all(&pattern, b"xabc", 1..4), []);
    }

    #[test]
    fn the_place_of_the_keyword_is_told() {
        let place = |regex: &str, keyword: &str| {
            Pattern::new(regex.into(), 0, &[keyword.into()])
                .unwrap()
                .place
        };
        assert_eq!(place(r"\b(ghp_[a-z]{36})", "ghp_"), Place::First);
        assert_eq!(place(r"(?i)\b(ghp_[a-z]{36})", "ghp_"), Place::First);
        assert_eq!(place(r"[a-z]ghp_", "ghp_"), Place::Anywhere);
        let assigned = format!("[a-z]{{0,50}}?(?:key{ASSIGNMENT}x");
        assert_eq!(place(&assigned, "key"), Place::Assigned);
    }

    #[test]
    fn reach_follows_the_longest_match() {
        let pattern = Pattern::new("key=[a-z]{4}".into(), 0, &[]).unwrap();
        assert_eq!((pattern.before, pattern.after), (8, 8));
        assert_eq!(Pattern::new("key=.*".into(), 0, &[]).unwrap().after, FAR);
        assert!(Pattern::new("(".into(), 0, &[]).is_err());
    }
}
