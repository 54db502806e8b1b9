//! What was committed and is not in synced tiles yet: one file, each entry with its length and checksum.
//!
//! Begins with the tree that it goes on from. A torn end is cut when it is opened. Bound: [`LIMIT`] bytes are read.

use std::{
    fs::{File, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use tlog_tiles::tlog::Hash;

use crate::{
    bundle::ENTRY,
    error::Error,
    files::{self, Lasting},
};

/// What it begins with.
const MAGIC: &[u8; 8] = b"MCPAJRN1";
/// Bytes of what stands before the first entry.
const HEAD: usize = 8 + 8 + 32 + 4;
/// Bytes of what stands before an entry.
const FRAME: usize = 4 + 4;
/// Most bytes that are read.
const LIMIT: u64 = 1 << 30;

/// The journal, open for writing.
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    /// Bytes that are durable.
    durable: u64,
}

/// What a journal says.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// Entries of the tree that it goes on from.
    pub(crate) base: u64,
    /// That tree's root.
    pub(crate) root: Option<Hash>,
    /// The entries since.
    pub(crate) entries: Vec<Vec<u8>>,
    /// Bytes of it that are whole.
    pub(crate) whole: u64,
    /// Bytes behind those.
    pub(crate) torn: u64,
}

impl Journal {
    /// Makes a new one in place of the one that is there.
    pub(crate) fn create(
        path: &Path,
        (base, root): (u64, Hash),
        entries: &[&[u8]],
    ) -> Result<Self, Error> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(base.to_le_bytes());
        bytes.extend(root.0);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        for entry in entries {
            frame(&mut bytes, entry);
        }
        files::replace(path, &bytes, 0o640, Lasting::Sure)?;
        Self::open(path, bytes.len() as u64)
    }

    /// Opens the one that is there, and cuts what is behind its whole bytes.
    pub(crate) fn open(path: &Path, whole: u64) -> Result<Self, Error> {
        let open = || -> std::io::Result<File> {
            let mut file = OpenOptions::new().write(true).open(path)?;
            if file.metadata()?.len() != whole {
                files::step()?;
                file.set_len(whole)?;
                file.sync_data()?;
            }
            file.seek(SeekFrom::Start(whole))?;
            Ok(file)
        };
        Ok(Self {
            file: open().map_err(files::io("open", path))?,
            path: path.to_owned(),
            durable: whole,
        })
    }

    /// Adds entries, durably: all of them, or none.
    pub(crate) fn append(&mut self, entries: &[Vec<u8>]) -> Result<(), Error> {
        let mut bytes = Vec::new();
        for entry in entries {
            frame(&mut bytes, entry);
        }
        let (start, end) = bytes.split_at(bytes.len() / 2);
        let written = files::step().and_then(|()| self.file.write_all(start));
        let written = written.and_then(|()| files::step());
        let written = written.and_then(|()| self.file.write_all(end));
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            // A later commit begins where this one did.
            if files::step().is_ok() {
                let _ = self.file.set_len(self.durable);
                let _ = self.file.seek(SeekFrom::Start(self.durable));
            }
            return Err(files::io("write", &self.path)(error));
        }
        self.durable += bytes.len() as u64;
        Ok(())
    }

    /// Bytes that it has.
    pub(crate) fn len(&self) -> u64 {
        self.durable
    }
}

fn frame(bytes: &mut Vec<u8>, entry: &[u8]) {
    let length = u32::try_from(entry.len()).unwrap_or(u32::MAX).to_le_bytes();
    bytes.extend(length);
    bytes.extend(checksum(&length, entry).to_le_bytes());
    bytes.extend(entry);
}

fn checksum(length: &[u8; 4], entry: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length);
    hasher.update(entry);
    hasher.finalize()
}

/// Reads a journal; `None` where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Content>, Error> {
    let Some(bytes) = files::read(path, LIMIT)? else {
        return Ok(None);
    };
    let content = parse(&bytes);
    let content = content.ok_or_else(|| {
        Error::Tampered(format!(
            "{} does not begin as a journal does",
            path.display()
        ))
    });
    content.map(Some)
}

fn parse(bytes: &[u8]) -> Option<Content> {
    let (head, mut rest) = bytes.split_first_chunk::<HEAD>()?;
    let (covered, sum) = head.split_last_chunk::<4>()?;
    let is_sound = covered.starts_with(MAGIC) && crc32fast::hash(covered).to_le_bytes() == *sum;
    if !is_sound {
        return None;
    }
    let mut content = Content {
        base: u64::from_le_bytes(*covered.get(8..)?.first_chunk()?),
        root: Some(Hash(*covered.last_chunk()?)),
        ..Content::default()
    };
    while let Some((entry, behind)) = entry(rest) {
        content.entries.push(entry.to_vec());
        rest = behind;
    }
    content.torn = rest.len() as u64;
    content.whole = bytes.len() as u64 - content.torn;
    Some(content)
}

fn entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (frame, rest) = bytes.split_first_chunk::<FRAME>()?;
    let (length, sum) = frame.split_first_chunk::<4>()?;
    let bytes = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (entry, behind) = rest.split_at_checked(bytes)?;
    let is_sound = bytes <= ENTRY && checksum(length, entry).to_le_bytes() == *sum;
    is_sound.then_some((entry, behind))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_beginning_gives_the_whole_entries_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::create(&path, (256, Hash([7; 32])), &[b"zero"]).unwrap();
        journal.append(&[b"one".to_vec(), Vec::new()]).unwrap();
        journal.append(&[b"three".to_vec()]).unwrap();
        let whole = fs::read(&path).unwrap();
        assert_eq!(whole.len() as u64, journal.len());
        let mut before = 0;
        for end in 0..=whole.len() {
            let Some(content) = parse(&whole[..end]) else {
                assert!(end < HEAD);
                continue;
            };
            assert_eq!((content.base, content.root), (256, Some(Hash([7; 32]))));
            assert_eq!(content.whole + content.torn, end as u64);
            assert!(content.entries.len() >= before);
            before = content.entries.len();
        }
        assert_eq!(before, 4);
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let content = read(&path).unwrap().unwrap();
        assert_eq!(content.entries.len(), 3);
        let mut journal = Journal::open(&path, content.whole).unwrap();
        journal.append(&[b"again".to_vec()]).unwrap();
        let content = read(&path).unwrap().unwrap();
        assert_eq!(
            (content.entries[3].as_slice(), content.torn),
            (&b"again"[..], 0)
        );
    }
}
