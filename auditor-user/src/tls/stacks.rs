//! What is known of each file that a process executed or mapped. Shared between enrolment, which fills it in, and the
//! daemon's loop, which asks.
//!
//! Bound: [`FILES`]; beyond it the files without a TLS library are forgotten, and looked at again when they are met.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nix::sys::stat::{major, minor};
use serde::{Deserialize, Serialize};

/// Files remembered.
const FILES: usize = 65_536;

/// A file as the kernel names it: inode number, and device as `major << 20 | minor`.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub(crate) struct FileKey {
    /// Inode number.
    pub(crate) inode: u64,
    /// Device.
    pub(crate) device: u64,
}

impl FileKey {
    /// From what `stat` tells.
    pub(crate) fn of(data: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self::numbered(data.ino(), major(data.dev()), minor(data.dev()))
    }

    /// From the two numbers of the device.
    pub(crate) fn numbered(inode: u64, major: u64, minor: u64) -> Self {
        Self {
            inode,
            device: major << 20 | minor,
        }
    }
}

/// A file, and what was found in it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Known {
    /// Its path when it was met.
    pub(crate) path: String,
    /// What was found.
    pub(crate) verdict: Verdict,
}

/// What was found in a file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// It is being searched.
    Searching,
    /// No TLS library.
    Nothing,
    /// It is larger than what is searched.
    TooLarge,
    /// It could not be read or searched.
    Unsearched(String),
    /// TLS libraries.
    Libraries(Vec<Library>),
}

/// A TLS library in a file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Library {
    /// Its name.
    pub(crate) stack: String,
    /// Its version, as the file words it.
    pub(crate) version: Option<String>,
    /// Whether it is heard.
    pub(crate) state: State,
    /// Its functions that move plaintext past the probes.
    pub(crate) unheard: Vec<String>,
}

/// Whether a library is heard, and if not why.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Since this time, nanoseconds since boot.
    Heard(u64),
    /// Its functions were not found: why.
    NotFound(String),
    /// It cannot be heard by probes at all: why.
    NoWay(String),
    /// Probes at returns are not safe on this kernel.
    UnsafeReturns,
    /// Too many libraries are probed.
    TooMany,
    /// The kernel refused a probe: why.
    Refused(String),
}

/// What is known of files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stacks {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    files: HashMap<FileKey, Arc<Known>>,
    /// How often what is [`notable`](Stacks::notable) changed.
    changes: u64,
}

impl Stacks {
    /// What is known of a file.
    pub(crate) fn get(&self, key: FileKey) -> Option<Arc<Known>> {
        self.lock().files.get(&key).cloned()
    }

    /// Notes what is known of a file.
    pub(crate) fn set(&self, key: FileKey, known: Arc<Known>) {
        let mut inner = self.lock();
        inner.changes += u64::from(known.verdict != Verdict::Nothing);
        let files = &mut inner.files;
        if files.len() >= FILES && !files.contains_key(&key) {
            files.retain(|_, known| matches!(known.verdict, Verdict::Libraries(_)));
            if files.len() >= FILES {
                return;
            }
        }
        files.insert(key, known);
    }

    /// Forgets a file, so that it is looked at when it is met again.
    pub(crate) fn forget(&self, key: FileKey) {
        self.lock().files.remove(&key);
    }

    /// The files that hold TLS, or may hold it: all but those with nothing.
    pub(crate) fn notable(&self) -> Vec<(FileKey, Arc<Known>)> {
        let inner = self.lock();
        let notable = inner
            .files
            .iter()
            .filter(|(_, known)| known.verdict != Verdict::Nothing);
        notable
            .map(|(key, known)| (*key, Arc::clone(known)))
            .collect()
    }

    /// A number that changes with what is [`notable`](Self::notable).
    pub(crate) fn changes(&self) -> u64 {
        self.lock().changes
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that could panic happens under the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_tls_are_forgotten_at_the_bound() {
        let stacks = Stacks::default();
        let known = |verdict| {
            Arc::new(Known {
                path: String::new(),
                verdict,
            })
        };
        let key = |inode| FileKey { inode, device: 1 };
        stacks.set(key(0), known(Verdict::Libraries(Vec::new())));
        let nothing = known(Verdict::Nothing);
        for inode in 1..=FILES as u64 {
            stacks.set(key(inode), Arc::clone(&nothing));
        }
        assert!(stacks.get(key(0)).is_some());
        assert!(stacks.get(key(1)).is_none());
        assert!(stacks.get(key(FILES as u64)).is_some());
        assert_eq!(stacks.notable().len(), 1);
    }
}
