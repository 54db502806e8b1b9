//! How long entries are kept: by age and by size, in whole bundles.

use std::path::{Path, PathBuf};

use auditor_ledger::{BUNDLE, Error, Kept, Log, Reader};

use crate::config::Ledger;

/// Decides what is old.
pub(super) struct Retention {
    folder: PathBuf,
    age_ms: Option<u64>,
    bytes: Option<u64>,
}

impl Retention {
    pub(super) fn new(data_dir: &Path, config: &Ledger) -> Self {
        Self {
            folder: super::folder(data_dir),
            age_ms: config.keep_days.map(|days| u64::from(days) * 86_400_000),
            bytes: config.keep_bytes,
        }
    }

    /// Removes what is old; gives the first entry that is kept where that is another than before.
    pub(super) fn retire(&self, log: &mut Log, now_ms: u64) -> Result<Option<u64>, Error> {
        if self.age_ms.is_none() && self.bytes.is_none() {
            return Ok(None);
        }
        let reader = Reader::open(&self.folder)?;
        let bundles: Vec<Kept> = reader.bundles().collect::<Result<_, _>>()?;
        let mut total: u64 = bundles.iter().map(|bundle| bundle.bytes).sum();
        let mut first = reader.first();
        for bundle in bundles {
            let age = bundle.written_ms.map_or(0, |at| now_ms.saturating_sub(at));
            let is_old = self.age_ms.is_some_and(|limit| age > limit);
            let is_much = self.bytes.is_some_and(|limit| total > limit);
            if !is_old && !is_much {
                break;
            }
            total -= bundle.bytes;
            first = bundle.first + BUNDLE;
        }
        if first == reader.first() {
            return Ok(None);
        }
        log.retire(first, now_ms).map(|(first, _)| Some(first))
    }
}
