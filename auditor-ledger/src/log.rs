//! Appends to the log, and makes durable what was appended.
//!
//! A commit writes the journal, then a signed checkpoint; bundles and tiles follow, and are made durable when the journal
//! is begun anew. So what was committed is found again after a crash at any moment. Bounds: [`PENDING`] bytes wait for a
//! commit, [`JOURNAL`] bytes of journal before it is begun anew, once its tiles can be written.

mod rotation;
#[cfg(test)]
mod tests;
mod tree;

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use tlog_tiles::{checkpoint::Checkpoint, tlog::Hash};

use crate::{
    SIZE,
    bundle::{self, BUNDLE, ENTRY},
    chain::{self, Chain, Link},
    edge::{self, Nodes, root_at},
    error::{Error, Invalid},
    files::{self, Lasting, io},
    follow::Tail,
    journal::{self, Journal},
    keys::Key,
    reader::stored_tile,
    retention,
};
use rotation::Rotation;
use tree::{Found, Tree, recover};

/// Most bytes of entries that wait for a commit.
pub const PENDING: usize = 64 << 20;
/// Bytes of a journal that is begun anew.
const JOURNAL: u64 = 8 << 20;

/// A log that is written.
pub struct Log {
    folder: PathBuf,
    /// Held as long as this is.
    _lock: Lock,
    key: Key,
    chain: Chain,
    tree: Tree,
    journal: Journal,
    /// What waits for a commit.
    pending: Vec<Vec<u8>>,
    pending_bytes: usize,
    /// The newest checkpoint.
    last: Option<Commit>,
    /// The first entry that is kept.
    first: u64,
}

/// What was found when a log was opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Whether it is new.
    pub is_new: bool,
    /// Its entries.
    pub size: u64,
    /// Bytes of a commit that did not end, which were cut. Nobody was told that they were durable.
    pub torn_bytes: u64,
    /// When the newest checkpoint was written, milliseconds since the epoch.
    pub last_ms: Option<u64>,
    /// This start's key.
    pub link: Link,
    /// The same, signed by the key before it.
    pub note: String,
}

/// What a commit made durable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Commit {
    /// Entries of the log: those with a smaller index are durable.
    pub size: u64,
    /// The checkpoint: a signed note (C2SP tlog-checkpoint).
    pub checkpoint: String,
}

impl Log {
    /// Opens the log in a folder, or begins one; `keys` is the folder of private keys, `origin` the name that a new log
    /// gets. Its key is a new one, which the one before signs.
    ///
    /// # Errors
    /// When files cannot be read or written, another process writes it, or it is not as it was written.
    pub fn open(
        folder: &Path,
        keys: &Path,
        origin: &str,
        now_ms: u64,
    ) -> Result<(Self, Opened), Error> {
        files::make(folder)?;
        files::make(keys)?;
        let lock = Lock::take(folder)?;
        let mut chain = Chain::read(Chain::load(folder)?).map_err(tampered)?;
        let checkpoint = folder.join(files::CHECKPOINT);
        let path = folder.join(files::JOURNAL);
        let last = files::text(&checkpoint)?;
        let content = journal::read(&path)?;
        let is_new = last.is_none() && content.is_none() && chain.links().is_empty();
        let (found, journal, torn_bytes) = match content {
            Some(content) => {
                let found = recover(folder, &content, last.as_deref(), &chain)?;
                let journal = Journal::open(&path, content.whole)?;
                (found, journal, content.torn)
            }
            None if is_new => {
                let found = Found::default();
                let root = found.tree.root(folder)?;
                (found, Journal::create(&path, (0, root), &[])?, 0)
            }
            None => {
                let told = format!("{} has no journal", folder.display());
                return Err(Error::Tampered(told));
            }
        };
        let Found { tree, signed } = found;
        let (size, root) = (tree.edge.size(), tree.root(folder)?);
        let rotation = Rotation {
            folder,
            keys,
            chain: &chain,
        };
        let old = rotation.old()?;
        // A key takes over what was signed: else a crash before its own checkpoint would look like a cut log.
        if let Some(old) = old.as_ref().filter(|_| signed < size) {
            sign(folder, old, (size, root))?;
        }
        let (key, link, note) = rotation.rotate(old, origin, (size, root), now_ms)?;
        chain.push(link.clone(), note.clone());
        let mut log = Self {
            folder: folder.to_owned(),
            _lock: lock,
            key,
            chain,
            tree,
            journal,
            pending: Vec::new(),
            pending_bytes: 0,
            last: None,
            first: 0,
        };
        let opened = Opened {
            is_new,
            size,
            torn_bytes,
            last_ms: last.and_then(|_| files::modified_ms(&checkpoint)),
            link,
            note,
        };
        log.sign_retention()?;
        log.commit()?;
        Ok((log, opened))
    }

    /// Entries, those that wait for a commit included.
    pub fn size(&self) -> u64 {
        self.tree.edge.size() + self.pending.len() as u64
    }

    /// Entries that wait for a commit.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The keys of the log, the oldest first.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The end of the log as the last commit left it.
    pub fn tail(&self) -> Tail {
        let last = self.last.clone().unwrap_or(Commit {
            size: 0,
            checkpoint: String::new(),
        });
        let full = self.tree.edge.size() / BUNDLE * BUNDLE;
        Tail {
            size: last.size,
            first: self.first,
            checkpoint: last.checkpoint,
            rest: (full, self.tree.bundle.clone()),
        }
    }

    /// Adds an entry, to be made durable by the next commit; gives its index.
    ///
    /// # Errors
    /// When it is longer than [`ENTRY`], or too much waits.
    pub fn append(&mut self, entry: Vec<u8>) -> Result<u64, Error> {
        if entry.len() > ENTRY {
            return Err(Error::TooLong(entry.len()));
        }
        let bytes = self.pending_bytes + entry.len();
        if bytes > PENDING || self.size() >= SIZE {
            return Err(Error::Full(self.pending_bytes));
        }
        self.pending_bytes = bytes;
        self.pending.push(entry);
        Ok(self.size() - 1)
    }

    /// Makes durable what was appended, and signs the tree.
    ///
    /// # Errors
    /// When files cannot be written. Nothing is lost or added twice then: the next commit does what this one did not.
    pub fn commit(&mut self) -> Result<Commit, Error> {
        // What could not be written after the commit before: else memory and journal grow without a bound.
        self.settle()?;
        if !self.pending.is_empty() {
            self.journal.append(&self.pending)?;
            for entry in self.pending.drain(..) {
                self.tree.push(&entry);
            }
            self.pending_bytes = 0;
        }
        let size = self.tree.edge.size();
        let commit = match self.last.take() {
            Some(last) if last.size == size => last,
            _ => sign(
                &self.folder,
                &self.key,
                (size, self.tree.root(&self.folder)?),
            )?,
        };
        self.last = Some(commit.clone());
        // All is durable by now; the next commit tells of what fails here.
        let _ = self.settle();
        Ok(commit)
    }

    /// Writes tiles, and begins the journal anew when it is long.
    fn settle(&mut self) -> Result<(), Error> {
        self.tree.write(&self.folder)?;
        if self.journal.len() > JOURNAL {
            self.begin_journal()?;
        }
        Ok(())
    }

    /// Makes the tiles durable and begins the journal with what is in none.
    fn begin_journal(&mut self) -> Result<(), Error> {
        self.publish()?;
        files::sync_file_system(&self.folder)?;
        let rest = bundle::split(&self.tree.bundle).unwrap_or_default();
        let base = self.tree.edge.size() - rest.len() as u64;
        let root = self.root_at(base)?;
        let path = self.folder.join(files::JOURNAL);
        self.journal = Journal::create(&path, (base, root), &rest)?;
        Ok(())
    }

    fn root_at(&self, size: u64) -> Result<Hash, Error> {
        let tile = stored_tile(&self.folder);
        let edge = &self.tree.edge;
        root_at(size, &Nodes { edge, tile })
    }

    /// Writes the tiles and the bundle that are not full, so that any reader of C2SP tlog-tiles sees all of the log.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn publish(&mut self) -> Result<(), Error> {
        let write = |name: String, bytes: &[u8]| -> Result<(), Error> {
            let path = self.folder.join(name);
            if let Some(folder) = path.parent() {
                // Those of a smaller width are of no use any more.
                let _ = files::step().and_then(|()| fs::remove_dir_all(folder));
                files::make(folder)?;
            }
            files::replace(&path, bytes, 0o640, Lasting::Nothing)
        };
        for (place, hashes) in self.tree.edge.partial() {
            write(files::tile(place, hashes.len()), &edge::bytes(hashes))?;
        }
        let count = bundle::split(&self.tree.bundle).map_or(0, |all| all.len());
        if count > 0 {
            let number = self.tree.edge.size() / BUNDLE;
            write(files::bundle(number, count), &self.tree.bundle)?;
        }
        Ok(())
    }

    /// Removes the bundles that are wholly before an entry, and signs that it was done. Tiles stay, so that what is left
    /// can be proven as before. Gives the first entry that is kept, and the signed note of that.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn retire(&mut self, before: u64, now_ms: u64) -> Result<(u64, String), Error> {
        let first = before.min(self.tree.edge.size()) / BUNDLE * BUNDLE;
        // The journal may have them, too.
        self.begin_journal()?;
        let (old, _) = self.retention()?.unwrap_or_default();
        let first = first.max(old);
        // Said first: a bundle that is missing without it is a deletion.
        let note = self.keep_from(first, now_ms)?;
        self.first = first;
        for number in old / BUNDLE..first / BUNDLE {
            let path = self.folder.join(files::bundle(number, BUNDLE as usize));
            match files::step().and_then(|()| fs::remove_file(&path)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok((first, note))
    }

    fn retention(&self) -> Result<Option<(u64, u64)>, Error> {
        let note = files::text(&self.folder.join(files::RETENTION))?;
        let keys = self.chain.links().iter().map(|link| link.key.as_str());
        let origin = chain::name(&self.key.public);
        let known = note.map(|note| retention::read(&note, origin, keys));
        known.transpose().map_err(tampered)
    }

    fn keep_from(&self, first: u64, time_ms: u64) -> Result<String, Error> {
        let note = retention::sign(first, time_ms, &self.key);
        let note = note.map_err(|error| Error::Tree(error.to_string()))?;
        let path = self.folder.join(files::RETENTION);
        files::replace(&path, note.as_bytes(), 0o644, Lasting::Sure)?;
        Ok(note)
    }

    /// Signs with this start's key what retention said before: who trusts only a later key can follow it, too.
    fn sign_retention(&mut self) -> Result<(), Error> {
        if let Some((first, time_ms)) = self.retention()? {
            self.keep_from(first, time_ms)?;
            self.first = first;
        }
        Ok(())
    }

    /// Commits, writes what is not full, and lets go of the log.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn close(mut self) -> Result<Commit, Error> {
        let commit = self.commit()?;
        self.publish()?;
        files::sync_file_system(&self.folder)?;
        Ok(commit)
    }
}

/// Signs a tree, and puts the checkpoint in place of the one before.
fn sign(folder: &Path, key: &Key, (size, root): (u64, Hash)) -> Result<Commit, Error> {
    let origin = chain::name(&key.public);
    let text = Checkpoint::new(origin, size, root, "").map(|one| one.to_bytes());
    let text = text.ok().and_then(|text| String::from_utf8(text).ok());
    let note = text.ok_or(Invalid::Malformed("checkpoint"));
    let checkpoint = note.and_then(|text| key.sign(&text));
    let checkpoint = checkpoint.map_err(|error| Error::Tree(error.to_string()))?;
    let path = folder.join(files::CHECKPOINT);
    files::replace(&path, checkpoint.as_bytes(), 0o644, Lasting::Whole)?;
    Ok(Commit { size, checkpoint })
}

fn tampered(error: Invalid) -> Error {
    Error::Tampered(error.to_string())
}

/// What the writer of a log holds.
struct Lock(File);

impl Lock {
    fn take(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(files::LOCK);
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(Error::Locked(folder.to_owned())),
            Err(TryLockError::Error(error)) => Err(io("lock", &path)(error)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A child that was just forked and did not get to its program yet has the file, too.
        let _ = self.0.unlock();
    }
}
