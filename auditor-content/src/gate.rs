//! The one pass that tells which rules are worth trying, and where.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use crate::{class::ClassId, settings::Error};

/// Up to this many words the automaton is the fast, large kind.
const FEW: usize = 2000;

/// What a word stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meaning {
    /// A keyword of the rule with this number.
    Rule(u16),
    /// A word of a dictionary.
    Word(ClassId),
}

/// Finds words of all rules and dictionaries, in any ASCII case.
#[derive(Debug)]
pub(crate) struct Gate {
    automaton: AhoCorasick,
    meanings: Vec<Vec<Meaning>>,
}

impl Gate {
    /// Builds the automaton; equal words share a place in it.
    pub(crate) fn new(words: impl IntoIterator<Item = (String, Meaning)>) -> Result<Self, Error> {
        let mut meanings = std::collections::BTreeMap::<String, Vec<Meaning>>::new();
        for (word, meaning) in words {
            meanings
                .entry(word.to_ascii_lowercase())
                .or_default()
                .push(meaning);
        }
        let kind = (meanings.len() < FEW).then_some(AhoCorasickKind::DFA);
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(kind)
            .build(meanings.keys())
            .map_err(|error| Error::Words {
                reason: error.to_string(),
            })?;
        Ok(Self {
            automaton,
            meanings: meanings.into_values().collect(),
        })
    }

    /// Calls `found` for each word in `text`, overlapping ones too, until it says `false`.
    pub(crate) fn each(&self, text: &[u8], mut found: impl FnMut(&Meaning, Range<usize>) -> bool) {
        if self.meanings.is_empty() {
            return;
        }
        for hit in self.automaton.find_overlapping_iter(text) {
            let meanings = self.meanings.get(hit.pattern().as_usize());
            for meaning in meanings.into_iter().flatten() {
                if !found(meaning, hit.range()) {
                    return;
                }
            }
        }
    }
}
