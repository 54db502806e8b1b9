//! Reads entries and proofs out of a log's folder, also while it is written.
//!
//! Believes what is there: [`verify`](crate::verify()) is what doubts. Holds one bundle.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use tlog_tiles::{
    checkpoint::Checkpoint,
    tlog::{Hash, prove_record, prove_tree},
};

use crate::{
    bundle::{self, BUNDLE},
    chain::{self, Chain},
    edge::{self, Edge, Nodes, Place},
    error::Error,
    files,
    journal::{self, Content},
    keys::opened,
    proof::Proof,
    retention::{self, Kept},
};

/// Largest bundle, in bytes.
pub(crate) const LARGEST: u64 = BUNDLE * (2 + crate::ENTRY as u64);

/// An entry with its index.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Its index, from 0.
    pub index: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A log that is read, as far as it was signed when it was opened.
pub struct Reader {
    folder: PathBuf,
    chain: Chain,
    /// The checkpoint, as it was signed.
    note: String,
    signed: Checkpoint,
    content: Content,
    edge: Edge,
    /// Full tiles of what the journal has: they may not be written yet.
    fresh: HashMap<Place, Vec<Hash>>,
    first: u64,
}

impl Reader {
    /// Opens the log in a folder.
    ///
    /// # Errors
    /// When it cannot be read, or is not as it was written.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        // The checkpoint first: what it signs is in the journal or in tiles by then, and stays there.
        let told = |what: &str| Error::Tampered(format!("{}: {what}", folder.display()));
        let note = files::text(&folder.join(files::CHECKPOINT))?;
        let note = note.ok_or_else(|| told("there is no checkpoint"))?;
        let tampered = |error: crate::Invalid| told(&error.to_string());
        let chain = Chain::read(Chain::load(folder)?).map_err(tampered)?;
        let keys = || chain.links().iter().map(|link| link.key.as_str());
        let text = opened(&note, keys(), "checkpoint").map_err(tampered)?;
        let signed = Checkpoint::from_bytes(text.as_bytes());
        let signed = signed.map_err(|_| told("the checkpoint is malformed"))?;
        let content = journal::read(&folder.join(files::JOURNAL))?;
        let content = content.ok_or_else(|| told("there is no journal"))?;
        let read = stored_tile(folder);
        let edge = Edge::of(content.base, |place| read(place).ok());
        let mut edge = edge.ok_or_else(|| told("tiles are missing"))?;
        let leaves = content.entries.iter().map(|entry| bundle::leaf(entry));
        let fresh = leaves.flat_map(|leaf| edge.push(leaf)).collect();
        if edge.size() < signed.size() {
            return Err(told("entries are missing"));
        }
        let retention = files::text(&folder.join(files::RETENTION))?;
        let first = match retention {
            Some(note) => retention::read(&note, signed.origin(), keys()).map_err(tampered)?,
            None => (0, 0),
        };
        Ok(Self {
            folder: folder.to_owned(),
            chain: chain.clone(),
            note,
            signed,
            content,
            edge,
            fresh,
            first: first.0,
        })
    }

    /// Entries that are signed.
    pub fn size(&self) -> u64 {
        self.signed.size()
    }

    /// The first entry that is kept.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        self.signed.origin()
    }

    /// The keys of the log.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The newest checkpoint, as it was signed.
    pub fn checkpoint(&self) -> &str {
        &self.note
    }

    /// One entry.
    ///
    /// # Errors
    /// When it is not there, or cannot be read.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, Error> {
        if index >= self.size() {
            return Err(Error::Missing(index));
        }
        if let Some(at) = index.checked_sub(self.content.base) {
            let entry = usize::try_from(at).ok();
            let entry = entry.and_then(|at| self.content.entries.get(at));
            return entry.cloned().ok_or(Error::Missing(index));
        }
        let bundle = self.bundle(index / BUNDLE)?;
        let at = usize::try_from(index % BUNDLE).unwrap_or_default();
        bundle.into_iter().nth(at).ok_or(Error::Missing(index))
    }

    fn bundle(&self, number: u64) -> Result<Vec<Vec<u8>>, Error> {
        if number * BUNDLE < self.first {
            return Err(Error::Retired(number * BUNDLE, self.first));
        }
        let path = self.folder.join(files::bundle(number, BUNDLE as usize));
        let bytes = files::read(&path, LARGEST)?;
        let bytes = bytes.ok_or(Error::Missing(number * BUNDLE))?;
        let entries = bundle::split(&bytes);
        let entries = entries.ok_or_else(|| {
            Error::Tampered(format!("{} is no bundle of entries", path.display()))
        })?;
        Ok(entries.into_iter().map(<[u8]>::to_vec).collect())
    }

    /// The entries from an index on; what retention removed is left out.
    pub fn entries(&self, from: u64) -> impl Iterator<Item = Result<Entry, Error>> + '_ {
        let mut index = from.max(self.first);
        let mut held: (u64, Vec<Vec<u8>>) = (u64::MAX, Vec::new());
        std::iter::from_fn(move || {
            if index >= self.size() {
                return None;
            }
            let at = index;
            index += 1;
            if at >= self.content.base {
                return Some(self.entry(at).map(|bytes| Entry { index: at, bytes }));
            }
            if held.0 != at / BUNDLE {
                match self.bundle(at / BUNDLE) {
                    Ok(bundle) => held = (at / BUNDLE, bundle),
                    Err(error) => {
                        index = self.size();
                        return Some(Err(error));
                    }
                }
            }
            let bytes = usize::try_from(at % BUNDLE).ok();
            let bytes = bytes
                .and_then(|within| held.1.get_mut(within))
                .map(std::mem::take);
            let entry = bytes.map(|bytes| Entry { index: at, bytes });
            Some(entry.ok_or(Error::Missing(at)))
        })
    }

    /// The full bundles that are kept, the oldest first: what [`Log::retire`](crate::Log::retire) could remove.
    pub fn bundles(&self) -> impl Iterator<Item = Result<Kept, Error>> + '_ {
        let numbers = self.first / BUNDLE..self.size() / BUNDLE;
        numbers.filter_map(|number| retention::kept(&self.folder, number).transpose())
    }

    fn nodes(&self) -> Nodes<'_, impl Fn(Place) -> Result<Vec<Hash>, Error>> {
        let stored = stored_tile(&self.folder);
        Nodes {
            edge: &self.edge,
            tile: move |place| match self.fresh.get(&place) {
                Some(hashes) => Ok(hashes.clone()),
                None => stored(place),
            },
        }
    }

    /// A proof that an entry is in the log, with all that is needed to check it.
    ///
    /// # Errors
    /// When the entry or the tree cannot be read.
    pub fn prove(&self, index: u64) -> Result<Proof, Error> {
        let entry = self.entry(index)?;
        let path = prove_record(self.size(), index, &self.nodes());
        let path = path.map_err(|error| Error::Tree(error.to_string()))?;
        Ok(Proof {
            entry,
            index,
            path,
            checkpoint: self.note.clone(),
            keys: self.chain.notes().to_vec(),
        })
    }

    /// A proof that the log of `old` entries is the beginning of this one (RFC 6962, section 2.1.2).
    ///
    /// # Errors
    /// When the tree cannot be read, or was never so small or large.
    pub fn prove_consistency(&self, old: u64) -> Result<Vec<Hash>, Error> {
        if old == 0 {
            return Ok(Vec::new());
        }
        let proof = prove_tree(self.size(), old, &self.nodes());
        proof.map_err(|error| Error::Tree(error.to_string()))
    }

    /// The root of the log when it had so many entries.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub fn root(&self, size: u64) -> Result<Hash, Error> {
        if size > self.edge.size() {
            return Err(Error::Missing(size));
        }
        edge::root_at(size, &self.nodes())
    }

    /// The verifier key of the first start: who trusts it can follow all others.
    pub fn first_key(&self) -> Option<&str> {
        self.chain.links().first().map(|link| link.key.as_str())
    }

    /// The log's name, as a key says it.
    pub fn name_of(key: &str) -> &str {
        chain::name(key)
    }
}

/// Reads full tiles of a folder.
pub(crate) fn stored_tile(folder: &Path) -> impl Fn(Place) -> Result<Vec<Hash>, Error> + use<> {
    let folder = folder.to_owned();
    move |place| {
        let path = folder.join(files::tile(place, BUNDLE as usize));
        let bytes = files::small(&path)?;
        let hashes = bytes.as_deref().and_then(edge::hashes);
        let hashes = hashes.filter(|hashes| hashes.len() as u64 == BUNDLE);
        hashes.ok_or_else(|| Error::Tampered(format!("{} is missing or no tile", path.display())))
    }
}
