//! Collects the text of one message: its beginning, its full size and its SHA-256.
//!
//! Does not look for the message's end. Keeps at most the message limit, and no more than the
//! channel's budget grants; the digest then goes on without the text.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;
use sha2::{Digest as _, Sha256};

/// The word without which a text is no JSON-RPC message.
const WORD: &[u8] = b"jsonrpc";
static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(WORD));

/// Whether the text may be JSON-RPC. Cheap; a text may hold the word and yet be something else.
pub(super) fn may_be_json_rpc(text: &[u8]) -> bool {
    FINDER.find(text).is_some()
}

/// Bytes that unfinished messages of one channel may still take.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    held: usize,
}

impl Budget {
    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, held: 0 }
    }

    /// Bytes given out.
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// Grants up to `bytes`.
    fn take(&mut self, bytes: usize) -> usize {
        let granted = bytes.min(self.limit.saturating_sub(self.held));
        self.held += granted;
        granted
    }

    fn give_back(&mut self, bytes: usize) {
        self.held = self.held.saturating_sub(bytes);
    }
}

/// A finished text.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) body: Bytes,
    pub(super) size: u64,
    pub(super) sha256: [u8; 32],
}

impl Collected {
    /// A text that lies in one piece.
    pub(super) fn whole(text: &[u8], limit: usize) -> Self {
        Self {
            body: Bytes::copy_from_slice(text.get(..limit).unwrap_or(text)),
            size: text.len() as u64,
            sha256: Sha256::digest(text).into(),
        }
    }
}

/// The text of an unfinished message. Empty between messages.
///
/// Must be emptied by [`finish`](Self::finish) or [`clear`](Self::clear) before it is dropped,
/// so that the budget gets back what it granted.
#[derive(Debug, Default)]
pub(super) struct Collector {
    kept: Vec<u8>,
    size: u64,
    /// What goes on beyond the kept text.
    beyond: Option<Box<Beyond>>,
}

#[derive(Debug)]
struct Beyond {
    hasher: Sha256,
    found: bool,
    /// The end of what was hashed, for a word that is split.
    tail: Vec<u8>,
}

impl Collector {
    pub(super) const fn new() -> Self {
        Self {
            kept: Vec::new(),
            size: 0,
            beyond: None,
        }
    }

    /// Bytes collected so far, kept or not.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// The kept text.
    pub(super) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Whether all of the text is kept.
    pub(super) const fn is_whole(&self) -> bool {
        self.beyond.is_none()
    }

    /// Appends to the text.
    pub(super) fn push(&mut self, text: &[u8], limit: usize, budget: &mut Budget) {
        self.size += text.len() as u64;
        let rest = if self.beyond.is_none() {
            let room = limit.saturating_sub(self.kept.len()).min(text.len());
            let granted = budget.take(room);
            if self.kept.capacity() - self.kept.len() < granted {
                let more = granted
                    .max(self.kept.len())
                    .min(limit.saturating_sub(self.kept.len()));
                self.kept.reserve_exact(more);
            }
            let (keep, rest) = text.split_at_checked(granted).unwrap_or((text, &[]));
            self.kept.extend_from_slice(keep);
            rest
        } else {
            text
        };
        if !rest.is_empty() {
            self.beyond().push(rest);
        }
    }

    /// Keeps at most `bytes` of the text from now on.
    pub(super) fn shrink_to(&mut self, bytes: usize, budget: &mut Budget) {
        if self.kept.len() > bytes {
            self.beyond();
            budget.give_back(self.kept.len() - bytes);
            self.kept.truncate(bytes);
            self.kept.shrink_to_fit();
        }
    }

    /// Drops the text and says how long it was.
    pub(super) fn clear(&mut self, budget: &mut Budget) -> u64 {
        let old = std::mem::take(self);
        budget.give_back(old.kept.len());
        old.size
    }

    /// Ends the text. `None` when it cannot be JSON-RPC.
    pub(super) fn finish(&mut self, budget: &mut Budget) -> Option<Collected> {
        let Self { kept, size, beyond } = std::mem::take(self);
        budget.give_back(kept.len());
        let sha256 = match beyond {
            Some(beyond) => beyond.found.then(|| beyond.hasher.finalize())?,
            None => may_be_json_rpc(&kept).then(|| Sha256::digest(&kept))?,
        };
        Some(Collected {
            body: kept.into(),
            size,
            sha256: sha256.into(),
        })
    }

    fn beyond(&mut self) -> &mut Beyond {
        let kept = &self.kept;
        self.beyond.get_or_insert_with(|| {
            let mut beyond = Beyond {
                hasher: Sha256::new(),
                found: false,
                tail: Vec::with_capacity(16),
            };
            beyond.push(kept);
            Box::new(beyond)
        })
    }
}

impl Beyond {
    fn push(&mut self, text: &[u8]) {
        self.hasher.update(text);
        if self.found {
            return;
        }
        let overlap = WORD.len() - 1;
        self.tail
            .extend_from_slice(text.get(..overlap).unwrap_or(text));
        self.found = may_be_json_rpc(&self.tail) || may_be_json_rpc(text);
        if text.len() >= overlap {
            self.tail.clear();
            self.tail
                .extend_from_slice(text.get(text.len() - overlap..).unwrap_or_default());
        } else {
            let surplus = self.tail.len().saturating_sub(overlap);
            self.tail.drain(..surplus);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn beyond_the_limit_only_size_and_digest_go_on() {
        let text = b"{\"jsonrpc\":\"2.0\",\"id\":1}";
        let mut budget = Budget::new(100);
        let mut collector = Collector::default();
        for byte in text {
            collector.push(&[*byte], 5, &mut budget);
            assert!(budget.held() <= 5);
        }
        let collected = collector.finish(&mut budget).unwrap();
        assert_eq!(&collected.body[..], b"{\"jso");
        assert_eq!(collected.size, text.len() as u64);
        assert_eq!(collected.sha256, Collected::whole(text, 99).sha256);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn the_budget_is_shared_and_given_back() {
        let mut budget = Budget::new(10);
        let (mut one, mut two) = (Collector::default(), Collector::default());
        one.push(b"12345678", 16, &mut budget);
        two.push(b"jsonrpc", 16, &mut budget);
        assert_eq!(
            (budget.held(), one.is_whole(), two.is_whole()),
            (10, true, false)
        );
        assert_eq!(&two.finish(&mut budget).unwrap().body[..], b"js");
        assert_eq!(one.clear(&mut budget), 8);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn shrinking_keeps_size_and_digest() {
        let text = b"{\"jsonrpc\":\"2.0\",\"id\":1}";
        let mut budget = Budget::new(100);
        let mut collector = Collector::default();
        collector.push(&text[..20], 100, &mut budget);
        collector.shrink_to(3, &mut budget);
        assert_eq!(budget.held(), 3);
        collector.push(&text[20..], 100, &mut budget);
        let collected = collector.finish(&mut budget).unwrap();
        assert_eq!(
            (&collected.body[..], collected.size),
            (&b"{\"j"[..], text.len() as u64)
        );
        assert_eq!(collected.sha256, Collected::whole(text, 99).sha256);
    }

    proptest! {
        #[test]
        fn the_word_is_found_however_the_text_is_cut(
            before in "[jsonrpc]{0,20}", after in "[jsonrpc]{0,9}", has: bool, size in 1usize..12, limit in 0usize..20,
        ) {
            let text = format!("{before}{}{after}", if has { "jsonrpc" } else { "" });
            let expected = text.contains("jsonrpc");
            let mut budget = Budget::new(100);
            let mut collector = Collector::default();
            for piece in text.as_bytes().chunks(size) {
                collector.push(piece, limit, &mut budget);
            }
            let collected = collector.finish(&mut budget);
            prop_assert_eq!(collected.is_some(), expected);
            if let Some(collected) = collected {
                prop_assert_eq!(collected.sha256, Collected::whole(text.as_bytes(), 99).sha256);
            }
        }
    }
}
