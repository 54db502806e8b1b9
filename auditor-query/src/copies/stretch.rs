//! Which entries a file has, and which files are needed, missing, or to become one. Pure.

use std::path::{Path, PathBuf};

use auditor_ledger::Reader;

use super::{
    PIECE, WHOLE,
    columns::{Events, Table as _},
};

/// Entries that one file of each table has: from the first to before the second.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Stretch {
    /// The first entry.
    pub(super) first: u64,
    /// The one after the last.
    pub(super) end: u64,
}

impl Stretch {
    /// The file of a table.
    pub(super) fn path(self, folder: &Path, table: &str) -> PathBuf {
        folder.join(format!(
            "{table}-{:012}-{:012}.parquet",
            self.first, self.end
        ))
    }

    /// Of a file of the table whose files are written last.
    pub(super) fn of(name: &str) -> Option<Self> {
        let numbers = name.strip_prefix(Events::NAME)?.strip_prefix('-')?;
        let (first, end) = numbers.strip_suffix(".parquet")?.split_once('-')?;
        let stretch = Self {
            first: first.parse().ok()?,
            end: end.parse().ok()?,
        };
        (stretch.first < stretch.end).then_some(stretch)
    }
}

/// Of stretches those that are needed, the larger before the smaller. They lie side by side or within one another.
pub(super) fn cover(mut all: Vec<Stretch>, first: u64) -> Vec<Stretch> {
    // Of two that have all that is kept, the one without what is kept no more.
    all.sort_unstable_by_key(|one| {
        (
            one.first.max(first),
            u64::MAX - one.end,
            u64::MAX - one.first,
        )
    });
    let mut end = first;
    all.retain(|one| {
        let is_needed = one.end > end;
        if is_needed {
            end = one.end;
        }
        is_needed
    });
    all
}

/// Full pieces that no file has; where all of a larger file are missing, that one at once.
pub(super) fn missing(present: &[Stretch], log: &Reader) -> Vec<Stretch> {
    let first = log.first();
    let is_there = |piece: &Stretch| {
        let mut present = present.iter();
        present.any(|one| one.first <= piece.first && piece.end <= one.end)
    };
    let pieces = (first / PIECE..log.size() / PIECE).map(|number| Stretch {
        first: (number * PIECE).max(first),
        end: (number + 1) * PIECE,
    });
    let pieces: Vec<_> = pieces.filter(|piece| !is_there(piece)).collect();
    let size = PIECE * WHOLE;
    let mut all = Vec::new();
    for group in pieces.chunk_by(|a, b| a.first / size == b.first / size) {
        let (Some(begin), Some(last)) = (group.first(), group.last()) else {
            continue;
        };
        let entries: u64 = group.iter().map(|one| one.end - one.first).sum();
        let whole = Stretch {
            first: begin.first,
            end: last.end,
        };
        let is_from_start = begin.first.is_multiple_of(size) || begin.first == first;
        let is_gapless = entries == whole.end - whole.first;
        if is_from_start && is_gapless && whole.end.is_multiple_of(size) {
            all.push(whole);
        } else {
            all.extend_from_slice(group);
        }
    }
    all
}

/// Which files are to become which.
pub(super) fn merges(kept: &[Stretch], first: u64) -> Vec<(Vec<Stretch>, Stretch)> {
    let size = PIECE * WHOLE;
    let mut all = Vec::new();
    for group in kept.chunk_by(|a, b| a.first / size == b.first / size) {
        let (Some(begin), Some(last)) = (group.first(), group.last()) else {
            continue;
        };
        let is_gapless = group.windows(2).all(|pair| pair[0].end == pair[1].first);
        let is_complete = last.end.is_multiple_of(size) && is_gapless;
        let whole = Stretch {
            first: begin.first.max(first),
            end: last.end,
        };
        let is_from_start = begin.first.is_multiple_of(size) || begin.first <= first;
        if group.len() > 1 && is_complete && is_from_start {
            all.push((group.to_vec(), whole));
        } else if begin.first + PIECE <= first {
            let whole = Stretch {
                first,
                end: begin.end,
            };
            all.push((vec![*begin], whole));
        }
    }
    all
}
