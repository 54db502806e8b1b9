//! From where on entries are kept: signed, so that nobody moves it without a trace.

use std::fs;
use std::path::Path;

use crate::{
    SIZE,
    bundle::BUNDLE,
    error::{Error, Invalid},
    files,
    keys::{Key, opened},
};

/// What the first line says.
const FORM: &str = "mcp-auditor retention v1";

/// A full bundle of entries that is kept: what there is to decide by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Kept {
    /// Its first entry.
    pub first: u64,
    /// Bytes of its file.
    pub bytes: u64,
    /// When it was written, milliseconds since the epoch, as the file system says.
    pub written_ms: Option<u64>,
}

/// The full bundle of a number; `None` where it is not there.
pub(crate) fn kept(log: &Path, number: u64) -> Result<Option<Kept>, Error> {
    let path = log.join(files::bundle(number, BUNDLE as usize));
    match fs::metadata(&path) {
        Ok(meta) => Ok(Some(Kept {
            first: number * BUNDLE,
            bytes: meta.len(),
            written_ms: files::modified_ms(&path),
        })),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(files::io("read", &path)(error)),
    }
}

/// Signs that the entries before `first` were removed at a time.
pub(crate) fn sign(first: u64, time_ms: u64, key: &Key) -> Result<String, Invalid> {
    key.sign(&format!(
        "{FORM}\n{}\n{first}\n{time_ms}\n",
        crate::chain::name(&key.public)
    ))
}

/// The first entry that is kept, and since when.
pub(crate) fn read<'a>(
    note: &str,
    origin: &str,
    keys: impl IntoIterator<Item = &'a str>,
) -> Result<(u64, u64), Invalid> {
    let text = opened(note, keys, "retention")?;
    let bad = || Invalid::Malformed("retention");
    let lines: Vec<_> = text.lines().collect();
    let [FORM, of, first, time] = lines[..] else {
        return Err(bad());
    };
    if of != origin {
        return Err(Invalid::Origin(of.to_owned()));
    }
    let first = first.parse().map_err(|_| bad())?;
    if first > SIZE {
        return Err(bad());
    }
    Ok((first, time.parse().map_err(|_| bad())?))
}
