//! Appends to the log, and makes durable what was appended.
//!
//! A commit writes the journal, then a signed checkpoint; bundles and tiles follow, and are made durable when the journal
//! is begun anew. So what was committed is found again after a crash at any moment. Bounds: [`PENDING`] bytes wait for a
//! commit, [`JOURNAL`] bytes of journal before it is begun anew, once its tiles can be written.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use tlog_tiles::{checkpoint::Checkpoint, tlog::Hash};

use crate::{
    SIZE,
    bundle::{self, BUNDLE, ENTRY},
    chain::{self, Chain, Link},
    edge::{self, Edge, Nodes, root_at},
    error::{Error, Invalid},
    files::{self, Lasting, io},
    journal::{self, Journal},
    keys::{Key, opened},
    reader::stored_tile,
    retention,
};

/// Most bytes of entries that wait for a commit.
pub const PENDING: usize = 64 << 20;
/// Bytes of a journal that is begun anew.
const JOURNAL: u64 = 8 << 20;
/// The file of the private key in the folder of keys.
const KEY: &str = "ledger.key";
/// The next one, until it is signed.
const NEXT: &str = "ledger.next";

/// A log that is written.
pub struct Log {
    folder: PathBuf,
    /// Held as long as this is.
    _lock: File,
    key: Key,
    chain: Chain,
    tree: Tree,
    journal: Journal,
    /// What waits for a commit.
    pending: Vec<Vec<u8>>,
    pending_bytes: usize,
    /// The newest checkpoint.
    last: Option<Commit>,
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
        let lock = lock(folder)?;
        let mut chain = Chain::read(Chain::load(folder)?).map_err(tampered)?;
        let checkpoint = folder.join(files::CHECKPOINT);
        let path = folder.join(files::JOURNAL);
        let last = files::text(&checkpoint)?;
        let content = journal::read(&path)?;
        let is_new = last.is_none() && content.is_none() && chain.links().is_empty();
        let (tree, journal, torn_bytes) = match content {
            Some(content) => {
                let tree = recover(folder, &content, last.as_deref(), &chain)?;
                let journal = Journal::open(&path, content.whole)?;
                (tree, journal, content.torn)
            }
            None if is_new => {
                let tree = Tree::default();
                let journal = Journal::create(&path, (0, tree.root(folder)?), &[])?;
                (tree, journal, 0)
            }
            None => {
                let told = format!("{} has no journal", folder.display());
                return Err(Error::Tampered(told));
            }
        };
        let (size, root) = (tree.edge.size(), tree.root(folder)?);
        let rotation = Rotation {
            folder,
            keys,
            chain: &chain,
        };
        let (key, link, note) = rotation.rotate(origin, size, root, now_ms)?;
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
        };
        let opened = Opened {
            is_new,
            size,
            torn_bytes,
            last_ms: last.and_then(|_| modified_ms(&checkpoint)),
            link,
            note,
        };
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
            _ => self.sign(size)?,
        };
        self.last = Some(commit.clone());
        self.tree.write(&self.folder)?;
        if self.journal.len() > JOURNAL {
            self.begin_journal()?;
        }
        Ok(commit)
    }

    fn sign(&self, size: u64) -> Result<Commit, Error> {
        let root = self.tree.root(&self.folder)?;
        let origin = chain::name(&self.key.public);
        let text = Checkpoint::new(origin, size, root, "").map(|one| one.to_bytes());
        let text = text.ok().and_then(|text| String::from_utf8(text).ok());
        let note = text.ok_or(Invalid::Malformed("checkpoint"));
        let checkpoint = note.and_then(|text| self.key.sign(&text));
        let checkpoint = checkpoint.map_err(|error| Error::Tree(error.to_string()))?;
        let path = self.folder.join(files::CHECKPOINT);
        files::replace(&path, checkpoint.as_bytes(), 0o644, Lasting::Whole)?;
        Ok(Commit { size, checkpoint })
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
                let _ = fs::remove_dir_all(folder);
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
        let path = self.folder.join(files::RETENTION);
        let keys = self.chain.links().iter().map(|link| link.key.as_str());
        let origin = chain::name(&self.key.public);
        let known = files::text(&path)?;
        let known = known.map(|note| retention::read(&note, origin, keys));
        let (old, _) = known.transpose().map_err(tampered)?.unwrap_or_default();
        let first = first.max(old);
        let note = retention::sign(first, now_ms, &self.key);
        let note = note.map_err(|error| Error::Tree(error.to_string()))?;
        // Said first: a bundle that is missing without it is a deletion.
        files::replace(&path, note.as_bytes(), 0o644, Lasting::Sure)?;
        for number in old / BUNDLE..first / BUNDLE {
            let path = self.folder.join(files::bundle(number, BUNDLE as usize));
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok((first, note))
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

/// The tree as it grows, with what is not in files yet.
#[derive(Default)]
struct Tree {
    edge: Edge,
    /// The entries of the bundle that is not full.
    bundle: Vec<u8>,
    /// Full bundles and tiles.
    unwritten: Vec<(String, Vec<u8>)>,
}

impl Tree {
    fn push(&mut self, entry: &[u8]) {
        bundle::push(&mut self.bundle, entry);
        for (place, hashes) in self.edge.push(bundle::leaf(entry)) {
            if place.0 == 0 {
                let bundle = std::mem::take(&mut self.bundle);
                let name = files::bundle(place.1, BUNDLE as usize);
                self.unwritten.push((name, bundle));
            }
            let name = files::tile(place, hashes.len());
            self.unwritten.push((name, edge::bytes(&hashes)));
        }
    }

    /// Writes what is full; what cannot be written waits.
    fn write(&mut self, folder: &Path) -> Result<(), Error> {
        let mut written = 0;
        let mut result = Ok(());
        for (name, bytes) in &self.unwritten {
            let path = folder.join(name);
            result = path.parent().map_or(Ok(()), files::make);
            result = result.and_then(|()| files::replace(&path, bytes, 0o640, Lasting::Nothing));
            if result.is_err() {
                break;
            }
            // The ones that were not full.
            let _ = fs::remove_dir_all(path.with_extension("p"));
            written += 1;
        }
        self.unwritten.drain(..written);
        result
    }

    fn root(&self, folder: &Path) -> Result<Hash, Error> {
        let tile = stored_tile(folder);
        let edge = &self.edge;
        root_at(edge.size(), &Nodes { edge, tile })
    }
}

/// The tree that a journal and the tiles before it make, which must be the one that was signed.
fn recover(
    folder: &Path,
    content: &journal::Content,
    checkpoint: Option<&str>,
    chain: &Chain,
) -> Result<Tree, Error> {
    let told = |what: String| Error::Tampered(format!("{}: {what}", folder.display()));
    let read = stored_tile(folder);
    let edge = Edge::of(content.base, |place| read(place).ok());
    let edge = edge.ok_or_else(|| told("tiles are missing".to_owned()))?;
    let mut tree = Tree {
        edge,
        ..Tree::default()
    };
    if Some(tree.root(folder)?) != content.root {
        return Err(told("tiles have changed".to_owned()));
    }
    let signed = match checkpoint {
        None => None,
        Some(note) => {
            let keys = chain.links().iter().map(|link| link.key.as_str());
            let text = opened(note, keys, "checkpoint").map_err(tampered)?;
            let parsed = Checkpoint::from_bytes(text.as_bytes());
            Some(parsed.map_err(|_| told("the checkpoint is malformed".to_owned()))?)
        }
    };
    for entry in &content.entries {
        tree.push(entry);
    }
    // As they were when the daemon ended, or did not get to be.
    tree.write(folder)?;
    if let Some(signed) = signed {
        let size = tree.edge.size();
        if size < signed.size() {
            let signed = signed.size();
            return Err(told(format!("it has {size} entries, {signed} were signed")));
        }
        let edge = &tree.edge;
        let tile = stored_tile(folder);
        if root_at(signed.size(), &Nodes { edge, tile })? != *signed.hash() {
            return Err(told(
                "its entries are not those that were signed".to_owned(),
            ));
        }
    }
    Ok(tree)
}

/// Where keys are.
struct Rotation<'a> {
    folder: &'a Path,
    keys: &'a Path,
    chain: &'a Chain,
}

impl Rotation<'_> {
    /// Makes a key, has the one before sign it, and removes that one's private half.
    fn rotate(
        &self,
        origin: &str,
        size: u64,
        root: Hash,
        time_ms: u64,
    ) -> Result<(Key, Link, String), Error> {
        let (path, next_path) = (self.keys.join(KEY), self.keys.join(NEXT));
        let newest = self.chain.links().last().map(|link| link.key.as_str());
        // A start that ended between the signature and the change of files.
        if let Some(next) = Key::read(&next_path)?
            && newest == Some(&*next.public)
        {
            fs::rename(&next_path, &path).map_err(io("rename", &next_path))?;
        }
        let old = Key::read(&path)?;
        let old = match (old, newest) {
            (Some(old), Some(newest)) if old.public == newest => Some(old),
            (_, None) => None,
            (_, Some(newest)) => {
                let why = format!("it must be the private half of {newest}");
                return Err(Error::Key { path, why });
            }
        };
        let bad = |error: Invalid| Error::Key {
            path: path.clone(),
            why: error.to_string(),
        };
        let name = newest.map_or(origin, chain::name);
        let key = Key::generate(name).map_err(bad)?;
        let link = Link {
            key: key.public.clone(),
            size,
            root,
            time_ms,
        };
        let note = link.sign(old.as_ref().unwrap_or(&key)).map_err(bad)?;
        files::replace(&next_path, key.text().as_bytes(), 0o600, Lasting::Sure)?;
        let links = self.folder.join(files::KEYS);
        files::make(&links)?;
        let file = links.join(chain::file(self.chain.links().len()));
        files::replace(&file, note.as_bytes(), 0o644, Lasting::Sure)?;
        fs::rename(&next_path, &path).map_err(io("rename", &next_path))?;
        files::sync_folder(self.keys)?;
        Ok((key, link, note))
    }
}

fn tampered(error: Invalid) -> Error {
    Error::Tampered(error.to_string())
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join(files::LOCK);
    let mut options = File::options();
    let file = options.write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(io("lock", &path)(error)),
    }
}

fn modified_ms(path: &Path) -> Option<u64> {
    let time = fs::metadata(path).and_then(|meta| meta.modified()).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}
