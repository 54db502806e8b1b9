//! Names of the log's files, and how they are written: whole or not at all.
//!
//! Says nothing of what is in them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use crate::{edge::Place, error::Error};

/// The newest checkpoint.
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// What is not in synced tiles yet.
pub(crate) const JOURNAL: &str = "journal";
/// Where the chain of keys is.
pub(crate) const KEYS: &str = "keys";
/// What says from where on entries are kept.
pub(crate) const RETENTION: &str = "retention";
/// What the writer holds.
pub(crate) const LOCK: &str = "lock";
/// Largest of the small files, in bytes.
const SMALL: u64 = 1 << 20;

/// Path of a tile of so many hashes (C2SP tlog-tiles, "Merkle Tree").
pub(crate) fn tile((level, number): Place, width: usize) -> String {
    format!("tile/{level}/{}{}", grouped(number), partial(width))
}

/// Path of a bundle of so many entries (the same, "Log entries").
pub(crate) fn bundle(number: u64, width: usize) -> String {
    format!("tile/entries/{}{}", grouped(number), partial(width))
}

fn partial(width: usize) -> String {
    if width == 256 {
        String::new()
    } else {
        format!(".p/{width}")
    }
}

/// A number in groups of three digits, all but the last with an `x` before it.
fn grouped(mut number: u64) -> String {
    let mut text = format!("{:03}", number % 1_000);
    while number >= 1_000 {
        number /= 1_000;
        text = format!("x{:03}/{text}", number % 1_000);
    }
    text
}

/// Names a failure.
pub(crate) fn io(what: &'static str, path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io {
        what,
        path: path.clone(),
        source,
    }
}

/// Makes a folder with those above it.
pub(crate) fn make(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(io("make", folder))
}

/// How much of a written file outlives a loss of power.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lasting {
    /// Nothing for sure.
    Nothing,
    /// What is there is whole: this file, or the one before it.
    Whole,
    /// This file.
    Sure,
}

/// Writes a file in place of the one that is there.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32, lasting: Lasting) -> Result<(), Error> {
    let new = path.with_extension("new");
    let write = || -> io::Result<()> {
        step()?;
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(mode);
        let mut file = options.open(&new)?;
        file.write_all(bytes)?;
        if lasting != Lasting::Nothing {
            file.sync_data()?;
        }
        drop(file);
        step()?;
        fs::rename(&new, path)
    };
    let written = write();
    if written.is_err() && step().is_ok() {
        // What is half there is of no use, and its room is needed.
        let _ = fs::remove_file(&new);
    }
    written.map_err(io("write", path))?;
    match path.parent() {
        Some(folder) if lasting == Lasting::Sure => sync_folder(folder),
        _ => Ok(()),
    }
}

/// Stands before each change of a file: tests end the writing at one of them, as a crash would.
pub(crate) fn step() -> io::Result<()> {
    #[cfg(test)]
    crash::step()?;
    Ok(())
}

#[cfg(test)]
pub(crate) mod crash {
    use std::{cell::Cell, io};

    thread_local! {
        static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
        static REFUSED: Cell<bool> = const { Cell::new(false) };
    }

    /// Lets this thread do so many more changes of files; `None` as many as it wants.
    pub(crate) fn after(changes: Option<u64>) {
        LEFT.set(changes);
        REFUSED.set(false);
    }

    /// Whether the thread wanted to do more.
    pub(crate) fn happened() -> bool {
        REFUSED.get()
    }

    pub(super) fn step() -> io::Result<()> {
        match LEFT.get() {
            Some(0) => {
                REFUSED.set(true);
                Err(io::Error::other("crashed"))
            }
            left => {
                LEFT.set(left.map(|left| left - 1));
                Ok(())
            }
        }
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(io("sync", folder))
}

/// Makes all that was written to a folder's file system durable.
pub(crate) fn sync_file_system(folder: &Path) -> Result<(), Error> {
    let file = File::open(folder).map_err(io("open", folder))?;
    nix::unistd::syncfs(file).map_err(|error| io("sync the file system of", folder)(error.into()))
}

/// A small file's bytes; `None` where there is none.
pub(crate) fn small(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    read(path, SMALL)
}

/// A file's bytes; `None` where there is none.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let length = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(io("read", path))?,
    };
    // To read a pipe would wait for somebody who writes it.
    if !length.is_file() {
        return Err(Error::Tampered(format!("{} is no file", path.display())));
    }
    let length = length.len();
    if length > limit {
        return Err(Error::Tampered(format!(
            "{}: {length} bytes are over the limit of {limit}",
            path.display()
        )));
    }
    fs::read(path).map(Some).map_err(io("read", path))
}

/// When a file was written, milliseconds since the epoch.
pub(crate) fn modified_ms(path: &Path) -> Option<u64> {
    let time = fs::metadata(path).and_then(|meta| meta.modified()).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// A file's text; `None` where there is none.
pub(crate) fn text(path: &Path) -> Result<Option<String>, Error> {
    let bytes = small(path)?;
    let text = bytes.map(String::from_utf8).transpose();
    text.map_err(|_| Error::Tampered(format!("{} is no text", path.display())))
}

/// Files of a folder, in order of their names; none where there is no folder.
pub(crate) fn listed(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        found => found.map_err(io("list", folder))?,
    };
    let mut all = Vec::new();
    for entry in entries {
        all.push(entry.map_err(io("list", folder))?.path());
    }
    all.sort();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(tile((0, 0), 256), "tile/0/000");
        assert_eq!(tile((4, 1_234_067), 8), "tile/4/x001/x234/067.p/8");
        assert_eq!(bundle(1_000, 256), "tile/entries/x001/000");
    }
}
