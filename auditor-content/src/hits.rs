//! The search: from laid-out texts to hits.
//!
//! Each leaf is read once by one automaton over the keywords of all rules and words of all
//! dictionaries, and once for personal data. Only around a keyword are expressions tried. The
//! work is bounded by [`EFFORT`] bytes of expression search for each byte of input and by
//! [`MAX_HITS`]; at a bound the search ends and says so.

use std::ops::Range;

use crate::{
    class::ClassId,
    classifier::Classifier,
    flat::{Flat, Leaf},
    gate::Meaning,
    pattern::Place,
    personal,
    rules::Rule,
};

/// Most hits that are kept.
const MAX_HITS: usize = 1 << 17;
/// Bytes of expression search for each byte of input, and to begin with.
const EFFORT: usize = 24;
const EFFORT_LEAST: usize = 1 << 20;
/// Bytes that one try of an expression counts at least.
const TRY: usize = 48;

/// The rule that finds what has no rule of its own.
const GENERIC: &str = "generic-api-key";
/// Findings that a generic one is compared with.
const BETTER: usize = 64;

/// One value that belongs to a class.
#[derive(Clone, Debug)]
pub(crate) struct Hit<'c> {
    pub(crate) leaf: usize,
    pub(crate) class: ClassId,
    pub(crate) rule: &'c str,
    pub(crate) in_key: bool,
    /// Its place in the buffer.
    pub(crate) span: Range<usize>,
}

/// All hits of one text.
#[derive(Debug)]
pub(crate) struct Hits<'c> {
    pub(crate) list: Vec<Hit<'c>>,
    /// No bound was met.
    pub(crate) is_complete: bool,
}

/// State of one search.
struct Search<'c, 'f> {
    classifier: &'c Classifier,
    flat: &'f Flat,
    /// For each rule, the window that waits to be searched, or where its last match ended.
    windows: Vec<Range<usize>>,
    touched: Vec<u16>,
    effort: usize,
    hits: Hits<'c>,
}

/// Searches all leaves.
pub(crate) fn search<'c>(classifier: &'c Classifier, flat: &Flat) -> Hits<'c> {
    let mut search = Search {
        classifier,
        flat,
        windows: vec![0..0; classifier.rules.len()],
        touched: Vec::new(),
        effort: flat
            .text
            .len()
            .saturating_mul(EFFORT)
            .saturating_add(EFFORT_LEAST),
        hits: Hits {
            list: Vec::new(),
            is_complete: true,
        },
    };
    for (index, leaf) in flat.leaves.iter().enumerate() {
        if !search.hits.is_complete {
            break;
        }
        search.leaf(index, leaf);
    }
    search.hits
}

impl<'c> Search<'c, '_> {
    fn leaf(&mut self, index: usize, leaf: &Leaf) {
        let before = self.hits.list.len();
        self.rules(index, leaf);
        self.drop_generic(before);
    }

    /// As gitleaks does, takes back what its generic rule found where another rule knows better.
    fn drop_generic(&mut self, before: usize) {
        let new = self.hits.list.get(before..).unwrap_or_default();
        if new.len() < 2 || !new.iter().any(|hit| hit.rule == GENERIC) {
            return;
        }
        let better: Vec<_> = new
            .iter()
            .filter(|hit| hit.rule != GENERIC)
            .map(|hit| hit.span.clone())
            .take(BETTER)
            .collect();
        let mut new = self.hits.list.split_off(before);
        new.retain(|hit| {
            let is_doubled = better
                .iter()
                .any(|span| span.start <= hit.span.start && hit.span.end <= span.end);
            hit.rule != GENERIC || !is_doubled
        });
        self.hits.list.append(&mut new);
    }

    fn rules(&mut self, index: usize, leaf: &Leaf) {
        if let Some(class) = leaf.named {
            self.add(index, class, "key-name", leaf, leaf.value.range());
        }
        // What covers a value holds its own leaves; the key is this leaf's alone.
        let hay = if leaf.is_covered {
            leaf.key.unwrap_or_default()
        } else {
            leaf.hay
        };
        let base = hay.start as usize;
        let flat = self.flat;
        let Some(text) = flat.text.get(hay.range()) else {
            return;
        };
        let classifier = self.classifier;
        classifier.gate.each(text, |meaning, span| {
            match meaning {
                Meaning::Rule(number) => self.keyword(*number, index, leaf, text, base, span),
                Meaning::Word(class) => {
                    let is_letter = |at: Option<&u8>| {
                        at.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80)
                    };
                    let before = span.start.checked_sub(1).and_then(|at| text.get(at));
                    if !is_letter(before) && !is_letter(text.get(span.end)) {
                        self.add(
                            index,
                            *class,
                            "dictionary",
                            leaf,
                            base + span.start..base + span.end,
                        );
                    }
                }
            }
            self.hits.is_complete
        });
        for number in std::mem::take(&mut self.touched) {
            let Some(window) = self
                .windows
                .get_mut(usize::from(number))
                .map(std::mem::take)
            else {
                continue;
            };
            let Some(rule) = classifier.rules.get(usize::from(number)) else {
                continue;
            };
            if rule.pattern.place != Place::First {
                self.run(rule, index, leaf, text, base, window);
            }
        }
        for number in &classifier.ungated {
            if let Some(rule) = classifier.rules.get(usize::from(*number)) {
                self.run(rule, index, leaf, text, base, 0..text.len());
            }
        }
        if classifier.has_personal {
            personal::scan(text, |kind, span| {
                if let Some(class) = classifier.personal_class(kind) {
                    self.add(
                        index,
                        class,
                        kind.rule(),
                        leaf,
                        base + span.start..base + span.end,
                    );
                }
            });
        }
    }

    fn keyword(
        &mut self,
        number: u16,
        index: usize,
        leaf: &Leaf,
        text: &[u8],
        base: usize,
        span: Range<usize>,
    ) {
        let classifier = self.classifier;
        let Some(rule) = classifier.rules.get(usize::from(number)) else {
            return;
        };
        let Some(window) = self.windows.get(usize::from(number)).cloned() else {
            return;
        };
        let pattern = &rule.pattern;
        if !pattern.may_hold(text, span.end) {
            return;
        }
        let end = (span.end + pattern.after).min(text.len());
        let is_new = window.is_empty() && window.end == 0;
        if is_new {
            self.touched.push(number);
        }
        let next = if pattern.place == Place::First {
            if !is_new && span.start < window.end {
                return;
            }
            let reached = self.first(rule, index, leaf, text, base, span.start..end);
            // Never empty at zero, so that the rule counts as touched.
            0..reached.max(1)
        } else {
            let start = span.start.saturating_sub(pattern.before);
            if is_new {
                start..end
            } else if start <= window.end {
                window.start..end.max(window.end)
            } else {
                self.run(rule, index, leaf, text, base, window);
                start..end
            }
        };
        if let Some(window) = self.windows.get_mut(usize::from(number)) {
            *window = next;
        }
    }

    /// Tries `rule` at the start of `window`; returns where a match ended.
    fn first(
        &mut self,
        rule: &'c Rule,
        index: usize,
        leaf: &Leaf,
        text: &[u8],
        base: usize,
        window: Range<usize>,
    ) -> usize {
        let mut reached = 0;
        self.spend(if rule.pattern.is_far {
            window.len()
        } else {
            TRY
        });
        rule.pattern.first(text, window, |whole, value| {
            reached = whole.end;
            self.judge(rule, index, leaf, text, base, whole, value);
            true
        });
        self.spend(reached / 64);
        reached
    }

    fn run(
        &mut self,
        rule: &'c Rule,
        index: usize,
        leaf: &Leaf,
        text: &[u8],
        base: usize,
        window: Range<usize>,
    ) {
        self.spend(window.len().max(TRY));
        rule.pattern.each(text, window, |whole, value| {
            self.judge(rule, index, leaf, text, base, whole, value);
            self.hits.is_complete
        });
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one match with all that its judgement needs"
    )]
    fn judge(
        &mut self,
        rule: &'c Rule,
        index: usize,
        leaf: &Leaf,
        text: &[u8],
        base: usize,
        whole: Range<usize>,
        value: Range<usize>,
    ) {
        let (Some(matched), Some(found)) = (text.get(whole.clone()), text.get(value.clone()))
        else {
            return;
        };
        let line = || {
            let start = text
                .get(..whole.start)
                .and_then(|before| memchr::memrchr(b'\n', before));
            let end = text
                .get(whole.end..)
                .and_then(|after| memchr::memchr(b'\n', after));
            start.map_or(0, |at| at + 1)..end.map_or(text.len(), |at| whole.end + at)
        };
        let is_built_in = !rule.is_custom;
        if is_built_in && self.classifier.global_allow.allows_value(found)
            || !rule.holds(text, matched, found, line)
        {
            return;
        }
        self.add(
            index,
            rule.class,
            &rule.id,
            leaf,
            base + value.start..base + value.end,
        );
    }

    fn add(
        &mut self,
        index: usize,
        class: ClassId,
        rule: &'c str,
        leaf: &Leaf,
        span: Range<usize>,
    ) {
        let value = leaf.value.range();
        let key = leaf.key.map(|key| key.range());
        let touches = |range: &Range<usize>| span.start < range.end && range.start < span.end;
        let in_value = touches(&value);
        let in_key = key.as_ref().is_some_and(touches);
        for (is_there, in_key) in [(in_value, false), (in_key, true)] {
            if !is_there {
                continue;
            }
            if self.hits.list.len() >= MAX_HITS {
                self.hits.is_complete = false;
                return;
            }
            self.hits.list.push(Hit {
                leaf: index,
                class,
                rule,
                in_key,
                span: span.clone(),
            });
        }
    }

    fn spend(&mut self, bytes: usize) {
        match self.effort.checked_sub(bytes) {
            Some(left) => self.effort = left,
            None => self.hits.is_complete = false,
        }
    }
}
