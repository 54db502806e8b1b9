//! Whether a log is as it was written; if not, the first thing that is wrong, and what kind of tampering that is.
//!
//! Trusts a verifier key, and whatever checkpoints the caller kept elsewhere; everything in the folder is doubted. What
//! stands behind the newest checkpoint was never acknowledged and is no evidence. Bound: [`MISMATCHES`] changed entries
//! are compared with each other, one bundle and one tile are held.

mod kept;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use tlog_tiles::{checkpoint::Checkpoint, tlog::Hash};

use crate::{
    bundle::{self, BUNDLE},
    chain::{self, Chain},
    edge::{self, Edge, Nodes, Place, root_at},
    error::{Error, Invalid},
    files,
    journal::{self, Content},
    keys::opened,
    reader::{LARGEST, stored_tile},
    retention,
};

/// Most entries that are found changed before the search ends.
const MISMATCHES: usize = 1_024;

/// What a log is held against.
#[derive(Clone, Debug, Default)]
pub struct Demands {
    /// The verifier key that is trusted; without one the log is only held against itself.
    pub key: Option<String>,
    /// The first entry that is looked at; the tree is checked as a whole all the same.
    pub from: u64,
    /// Checkpoints that were kept elsewhere.
    pub retained: Vec<String>,
    /// Verifier keys of witnesses, of which one at least must have signed.
    pub witnesses: Vec<String>,
}

/// What an intact log is.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Its name.
    pub origin: String,
    /// Its entries.
    pub size: u64,
    /// The root of its tree.
    pub root: Hash,
    /// The first entry that is kept; those before were removed as they were old enough.
    pub first: u64,
    /// Entries that were looked at.
    pub checked: u64,
    /// When its first key took over, milliseconds since the epoch, as that key says.
    pub first_ms: Option<u64>,
    /// When its newest checkpoint was written, as the file system says, which is no evidence.
    pub last_ms: Option<u64>,
    /// Its keys, the oldest first.
    pub keys: Vec<String>,
    /// The newest checkpoint that witnesses signed, and who.
    pub cosigned: Option<(u64, Vec<String>)>,
}

/// Kinds of tampering.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum What {
    /// Something is other than it was.
    Edit,
    /// Something is missing.
    Deletion,
    /// Entries changed places.
    Reorder,
    /// The log ends before a checkpoint that was kept.
    Truncation,
    /// Two trees were signed that cannot be one log.
    Fork,
    /// The log was put back to an older state.
    Rollback,
    /// A signature is not that of a trusted key.
    BadSignature,
    /// The keys do not lead from one to the next.
    BrokenKeyChain,
    /// A file does not have the form that it had.
    Malformed,
    /// None of the witnesses that were named signed it.
    Unwitnessed,
}

impl What {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::Deletion => "deletion",
            Self::Reorder => "reorder",
            Self::Truncation => "truncation",
            Self::Fork => "fork",
            Self::Rollback => "rollback",
            Self::BadSignature => "bad_signature",
            Self::BrokenKeyChain => "broken_key_chain",
            Self::Malformed => "malformed",
            Self::Unwitnessed => "unwitnessed",
        }
    }
}

/// The first thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tampering {
    /// What kind it is.
    pub what: What,
    /// The entry, where one can be named.
    pub index: Option<u64>,
    /// The file, where one can be named.
    pub file: Option<PathBuf>,
    /// In words.
    pub told: String,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// All is as it was written.
    Intact(Report),
    /// It is not.
    Tampered(Tampering),
}

/// Verifies the log in a folder.
///
/// # Errors
/// When files cannot be read for another reason than what is in them.
pub fn verify(folder: &Path, demands: &Demands) -> Result<Verdict, Error> {
    match Check::new(folder, demands).run() {
        Ok(report) => Ok(Verdict::Intact(report)),
        Err(Stop::Tampered(found)) => Ok(Verdict::Tampered(found)),
        Err(Stop::Error(error)) => Err(error),
    }
}

/// Why the search ended.
enum Stop {
    Tampered(Tampering),
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error {
            Error::Tampered(told) => tampering(What::Malformed, told),
            other => Self::Error(other),
        }
    }
}

fn tampering(what: What, told: impl Into<String>) -> Stop {
    Stop::Tampered(Tampering {
        what,
        index: None,
        file: None,
        told: told.into(),
    })
}

impl Stop {
    fn at(mut self, index: u64) -> Self {
        if let Self::Tampered(found) = &mut self {
            found.index = Some(index);
        }
        self
    }

    fn file(mut self, path: &Path) -> Self {
        if let Self::Tampered(found) = &mut self {
            found.file = Some(path.to_owned());
        }
        self
    }
}

fn refused(error: Invalid) -> Stop {
    let what = match error {
        Invalid::Untrusted(_) => What::BadSignature,
        _ => What::Malformed,
    };
    tampering(what, error.to_string())
}

/// A leaf that is another than it should be.
struct Mismatch {
    index: u64,
    expected: Hash,
    found: Hash,
    file: PathBuf,
}

struct Check<'a> {
    folder: &'a Path,
    demands: &'a Demands,
    mismatches: Vec<Mismatch>,
    checked: u64,
}

impl<'a> Check<'a> {
    fn new(folder: &'a Path, demands: &'a Demands) -> Self {
        Self {
            folder,
            demands,
            mismatches: Vec::new(),
            checked: 0,
        }
    }

    fn run(mut self) -> Result<Report, Stop> {
        let path = self.folder.join(files::CHECKPOINT);
        let note = files::text(&path).map_err(Stop::from)?;
        let note =
            note.ok_or_else(|| tampering(What::Deletion, "there is no checkpoint").file(&path))?;
        let broken = |error: Invalid| tampering(What::BrokenKeyChain, error.to_string());
        let notes = Chain::load(self.folder).map_err(|error| match error {
            Error::Tampered(told) => tampering(What::BrokenKeyChain, told),
            other => Stop::Error(other),
        })?;
        let chain = Chain::read(notes).map_err(broken)?;
        let trusted = chain.trusted(self.demands.key.as_deref()).map_err(broken)?;
        let keys: Vec<&str> = trusted.collect();
        let signed = checkpoint(&note, &keys).map_err(|error| refused(error).file(&path))?;
        let origin = chain
            .links()
            .first()
            .map_or("", |link| chain::name(&link.key));
        if signed.origin() != origin {
            let told = format!("the checkpoint is of the log `{}`", signed.origin());
            return Err(tampering(What::Malformed, told).file(&path));
        }
        let first = self.first(origin, &keys)?;
        let path = self.folder.join(files::JOURNAL);
        let content = journal::read(&path).map_err(Stop::from)?;
        let content =
            content.ok_or_else(|| tampering(What::Deletion, "there is no journal").file(&path))?;
        let edge = self.tree(&content, first, signed.size())?;
        if edge.size() < signed.size() {
            let what = if content.torn > 0 {
                What::Edit
            } else {
                What::Deletion
            };
            let size = edge.size();
            let told = format!("{} entries were signed, {size} can be read", signed.size());
            return Err(tampering(what, told).at(size).file(&path));
        }
        let whole = Nodes {
            edge: &edge,
            tile: self.fresh(&content)?,
        };
        let root = |size: u64| root_at(size, &whole).map_err(Stop::from);
        if root(signed.size())? != *signed.hash() {
            return Err(tampering(
                What::Edit,
                "the entries are not those that were signed",
            ));
        }
        for (number, link) in chain.links().iter().enumerate() {
            let path = self.folder.join(files::KEYS).join(chain::file(number));
            if link.size > signed.size() {
                let told = format!("a key took over at {} entries", link.size);
                return Err(tampering(What::Rollback, told).file(&path));
            }
            if root(link.size)? != link.root {
                let told = "a key took over another tree";
                return Err(tampering(What::Fork, told).file(&path));
            }
        }
        // Older keys than the trusted one, too: the tree is what tells whether such a checkpoint is of this log.
        let all: Vec<&str> = chain.links().iter().map(|link| link.key.as_str()).collect();
        kept::retained(&self.demands.retained, &all, &signed, &root)?;
        let witnesses = &self.demands.witnesses;
        let cosigned = kept::cosigned(self.folder, witnesses, &all, &signed, &root)?;
        Ok(Report {
            origin: origin.to_owned(),
            size: signed.size(),
            root: *signed.hash(),
            first,
            checked: self.checked,
            first_ms: chain.links().first().map(|link| link.time_ms),
            last_ms: files::modified_ms(&self.folder.join(files::CHECKPOINT)),
            keys: chain.links().iter().map(|link| link.key.clone()).collect(),
            cosigned,
        })
    }

    /// The first entry that is kept.
    fn first(&self, origin: &str, keys: &[&str]) -> Result<u64, Stop> {
        let path = self.folder.join(files::RETENTION);
        let Some(note) = files::text(&path).map_err(Stop::from)? else {
            return Ok(0);
        };
        let read = retention::read(&note, origin, keys.iter().copied());
        Ok(read.map_err(|error| refused(error).file(&path))?.0)
    }

    /// Builds the tree anew, from tiles and from the entries that are kept.
    fn tree(&mut self, content: &Content, first: u64, signed: u64) -> Result<Edge, Stop> {
        if !content.base.is_multiple_of(BUNDLE) {
            return Err(tampering(
                What::Malformed,
                "the journal begins within a bundle",
            ));
        }
        let mut edge = Edge::default();
        for number in 0..content.base / BUNDLE {
            let path = self.folder.join(files::tile((0, number), BUNDLE as usize));
            let leaves = self.tile(&path)?;
            let index = number * BUNDLE;
            let leaves = leaves.ok_or_else(|| {
                tampering(What::Deletion, "a tile is missing")
                    .at(index)
                    .file(&path)
            })?;
            if index >= first && index + BUNDLE > self.demands.from {
                self.bundle(number, &leaves)?;
            }
            for leaf in leaves {
                for (place, hashes) in edge.push(leaf) {
                    self.compare(place, &hashes)?;
                }
            }
            if self.mismatches.len() >= MISMATCHES {
                break;
            }
        }
        self.judge_mismatches()?;
        let nodes = Nodes {
            edge: &edge,
            tile: stored_tile(self.folder),
        };
        if Some(root_at(content.base, &nodes).map_err(Stop::from)?) != content.root {
            let told = "the tiles are not those that the journal goes on from";
            return Err(tampering(What::Edit, told));
        }
        self.partial(&edge, content, signed)?;
        for entry in &content.entries {
            for (place, hashes) in edge.push(bundle::leaf(entry)) {
                self.compare(place, &hashes)?;
                let name = files::bundle(place.1, BUNDLE as usize);
                if place.0 == 0 && self.folder.join(name).exists() {
                    self.bundle(place.1, &hashes)?;
                    self.checked -= BUNDLE;
                }
            }
            self.checked += 1;
        }
        self.judge_mismatches()?;
        Ok(edge)
    }

    /// A tile's hashes.
    fn tile(&self, path: &Path) -> Result<Option<Vec<Hash>>, Stop> {
        let Some(bytes) = files::small(path).map_err(Stop::from)? else {
            return Ok(None);
        };
        let hashes = edge::hashes(&bytes);
        let hashes = hashes.filter(|hashes| hashes.len() as u64 == BUNDLE);
        let hashes = hashes.ok_or_else(|| tampering(What::Malformed, "this is no tile").file(path));
        hashes.map(Some)
    }

    /// Holds a stored tile against what it must be; those that the journal still has may be missing.
    fn compare(&mut self, (level, number): Place, hashes: &[Hash]) -> Result<(), Stop> {
        let path = self.folder.join(files::tile((level, number), hashes.len()));
        let Some(stored) = self.tile(&path)? else {
            return Ok(());
        };
        let width = 1_u64 << (8 * u32::from(level));
        let start = number * BUNDLE * width;
        for (at, (stored, found)) in (0..).zip(stored.iter().zip(hashes)) {
            if stored == found {
                continue;
            }
            if level > 0 {
                let told = "a tile does not follow from the tiles below it";
                return Err(tampering(What::Edit, told)
                    .at(start + at * width)
                    .file(&path));
            }
            self.mismatch(start + at, *stored, *found, &path);
        }
        Ok(())
    }

    fn mismatch(&mut self, index: u64, expected: Hash, found: Hash, file: &Path) {
        if self.mismatches.len() < MISMATCHES {
            self.mismatches.push(Mismatch {
                index,
                expected,
                found,
                file: file.to_owned(),
            });
        }
    }

    /// Holds the entries of a bundle against their leaves.
    fn bundle(&mut self, number: u64, leaves: &[Hash]) -> Result<(), Stop> {
        let path = self.folder.join(files::bundle(number, BUNDLE as usize));
        let index = number * BUNDLE;
        let bytes = files::read(&path, LARGEST).map_err(Stop::from)?;
        let bytes = bytes.ok_or_else(|| {
            tampering(What::Deletion, "entries are missing")
                .at(index)
                .file(&path)
        })?;
        let entries = bundle::split(&bytes);
        let entries =
            entries.ok_or_else(|| tampering(What::Malformed, "this is no bundle").file(&path))?;
        for ((at, entry), leaf) in (index..).zip(&entries).zip(leaves) {
            let found = bundle::leaf(entry);
            if found != *leaf {
                self.mismatch(at, *leaf, found, &path);
            }
        }
        if entries.len() < leaves.len() {
            let found = self.mismatches.iter().find(|one| one.index >= index);
            let at = found.map_or(index + entries.len() as u64, |one| one.index);
            return Err(tampering(What::Deletion, "entries are missing")
                .at(at)
                .file(&path));
        }
        self.checked += BUNDLE;
        Ok(())
    }

    /// Whether changed entries are an edit, or stand at each other's places.
    fn judge_mismatches(&mut self) -> Result<(), Stop> {
        let Some(first) = self.mismatches.first() else {
            return Ok(());
        };
        let mut counts: HashMap<[u8; 32], i32> = HashMap::new();
        for one in &self.mismatches {
            *counts.entry(one.expected.0).or_default() += 1;
            *counts.entry(one.found.0).or_default() -= 1;
        }
        let (what, told) = if counts.values().all(|count| *count == 0) {
            (What::Reorder, "entries stand at each other's places")
        } else {
            (
                What::Edit,
                "an entry is another than the one that was written",
            )
        };
        Err(tampering(what, told).at(first.index).file(&first.file))
    }

    /// Holds what was published of tiles and bundles that are not full against the journal.
    fn partial(&mut self, base: &Edge, content: &Content, signed: u64) -> Result<(), Stop> {
        let mut edge = base.clone();
        let mut entries: Vec<&[u8]> = Vec::new();
        let all = content.entries.iter().map(|entry| Some(entry.as_slice()));
        for next in [None].into_iter().chain(all) {
            if let Some(entry) = next {
                edge.push(bundle::leaf(entry));
                entries.push(entry);
                if edge.size().is_multiple_of(BUNDLE) {
                    entries.clear();
                }
            }
            if edge.size() > signed {
                break;
            }
            let partial: Vec<_> = edge
                .partial()
                .map(|(place, hashes)| (place, hashes.to_vec()))
                .collect();
            for (place, hashes) in partial {
                self.compare_partial(place, &hashes)?;
            }
            if !entries.is_empty() {
                let name = files::bundle(edge.size() / BUNDLE, entries.len());
                let path = self.folder.join(name);
                let stored = files::read(&path, LARGEST).map_err(Stop::from)?;
                let mut bytes = Vec::new();
                entries
                    .iter()
                    .for_each(|entry| bundle::push(&mut bytes, entry));
                if stored.is_some_and(|stored| stored != bytes) {
                    let told = "published entries are not those of the journal";
                    return Err(tampering(What::Edit, told).file(&path));
                }
            }
        }
        self.judge_mismatches()
    }

    fn compare_partial(&mut self, place: Place, hashes: &[Hash]) -> Result<(), Stop> {
        let path = self.folder.join(files::tile(place, hashes.len()));
        let Some(bytes) = files::small(&path).map_err(Stop::from)? else {
            return Ok(());
        };
        let stored = edge::hashes(&bytes).filter(|stored| stored.len() == hashes.len());
        let stored =
            stored.ok_or_else(|| tampering(What::Malformed, "this is no tile").file(&path))?;
        let width = 1_u64 << (8 * u32::from(place.0));
        for (at, (stored, found)) in (0..).zip(stored.iter().zip(hashes)) {
            if stored != found {
                let index = (place.1 * BUNDLE + at) * width;
                self.mismatch(index, *stored, *found, &path);
            }
        }
        Ok(())
    }

    /// Full tiles, from the journal where they are not written yet.
    fn fresh(
        &self,
        content: &Content,
    ) -> Result<impl Fn(Place) -> Result<Vec<Hash>, Error> + use<>, Stop> {
        let read = stored_tile(self.folder);
        let edge = Edge::of(content.base, |place| read(place).ok());
        let mut edge = edge.ok_or_else(|| tampering(What::Deletion, "tiles are missing"))?;
        let leaves = content.entries.iter().map(|entry| bundle::leaf(entry));
        let fresh: HashMap<_, _> = leaves.flat_map(|leaf| edge.push(leaf)).collect();
        Ok(move |place| match fresh.get(&place) {
            Some(hashes) => Ok(hashes.clone()),
            None => read(place),
        })
    }
}

fn checkpoint(note: &str, keys: &[&str]) -> Result<Checkpoint, Invalid> {
    let text = opened(note, keys.iter().copied(), "checkpoint")?;
    let checkpoint = Checkpoint::from_bytes(text.as_bytes());
    let checkpoint = checkpoint.map_err(|_| Invalid::Malformed("checkpoint"))?;
    if checkpoint.size() > crate::SIZE {
        return Err(Invalid::Malformed("checkpoint"));
    }
    Ok(checkpoint)
}
