//! Follows a log that this process writes: reads what is durable without reading the journal, which takes long.

use std::path::{Path, PathBuf};

use crate::{
    bundle::{self, BUNDLE},
    error::Error,
    files,
    reader::{Entry, LARGEST},
};

/// The end of a log, as its writer has it.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    /// Entries that are durable and signed.
    pub size: u64,
    /// The first entry that is kept.
    pub first: u64,
    /// The checkpoint that signs them.
    pub checkpoint: String,
    /// The first entry that is in no full bundle, and those from it on.
    pub(crate) rest: (u64, Vec<u8>),
}

/// Reads entries of a log that is written meanwhile.
#[derive(Clone, Debug)]
pub struct Follower {
    folder: PathBuf,
}

impl Follower {
    /// Of the log in a folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The durable entries from an index on, as far as its bundle of [`BUNDLE`] entries goes; none where nothing is durable
    /// from there on.
    ///
    /// # Errors
    /// [`Error::Retired`] when the entry is kept no more, [`Error::Missing`] when its bundle is not written yet, or others
    /// when it cannot be read.
    pub fn entries(&self, tail: &Tail, from: u64) -> Result<Vec<Entry>, Error> {
        if from >= tail.size {
            return Ok(Vec::new());
        }
        if from < tail.first {
            return Err(Error::Retired(from, tail.first));
        }
        let number = from / BUNDLE;
        let (rest_at, rest) = &tail.rest;
        let read;
        let bytes = if number * BUNDLE == *rest_at {
            rest
        } else {
            let path = self.folder.join(files::bundle(number, BUNDLE as usize));
            read = files::read(&path, LARGEST)?.ok_or(Error::Missing(from))?;
            &read
        };
        let entries = bundle::split(bytes);
        let entries = entries
            .ok_or_else(|| Error::Tampered(format!("bundle {number} of entries is not one")))?;
        let all = (number * BUNDLE..tail.size).zip(entries);
        let wanted = all.skip_while(|(index, _)| *index < from);
        Ok(wanted
            .map(|(index, bytes)| Entry {
                index,
                bytes: bytes.to_vec(),
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Log;

    #[test]
    fn what_is_durable_is_followed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (path, keys) = (folder.path().join("log"), folder.path().join("keys"));
        let (mut log, _) = Log::open(&path, &keys, "log", 0).unwrap();
        let follower = Follower::new(&path);
        let mut seen = Vec::new();
        for round in 0..40u64 {
            for index in 0..round {
                log.append(format!("{round} {index}").into_bytes()).unwrap();
            }
            let before = log.tail();
            assert!(follower.entries(&before, before.size).unwrap().is_empty());
            log.commit().unwrap();
            let tail = log.tail();
            while (seen.len() as u64) < tail.size {
                let entries = follower.entries(&tail, seen.len() as u64).unwrap();
                assert_eq!(entries[0].index, seen.len() as u64);
                seen.extend(entries.into_iter().map(|entry| entry.bytes));
            }
        }
        assert_eq!(seen.len(), 780);
        assert_eq!(seen[779], b"39 38");
        log.retire(512, 0).unwrap();
        let tail = log.tail();
        let retired = follower.entries(&tail, 300);
        assert!(matches!(retired, Err(Error::Retired(300, 512))));
        assert_eq!(follower.entries(&tail, 600).unwrap().len(), 168);
    }
}
