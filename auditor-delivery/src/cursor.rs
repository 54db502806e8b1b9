//! How far a sink has got, in a file of its own: what is not there is sent again.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{backlog::Backlog, fact::Fact};

/// What is kept of a sink.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Cursor {
    /// The first key of the log that it is of: another log begins anew.
    pub(crate) log: String,
    pub(crate) backlog: Backlog,
    /// What the log was not told yet.
    #[serde(default)]
    pub(crate) untold: Vec<Fact>,
}

/// The file of a sink.
pub(crate) fn path(spool: &Path, name: &str) -> PathBuf {
    spool.join(format!("{name}.json"))
}

/// Reads it; `None` where there is none, or what is there is none.
pub(crate) fn read(path: &Path) -> io::Result<Option<Cursor>> {
    match fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes it, whole or not at all.
pub(crate) fn write(path: &Path, cursor: &Cursor) -> io::Result<()> {
    let new = path.with_extension("new");
    let text = serde_json::to_vec(cursor)?;
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file: File = options.open(&new)?;
    file.write_all(&text)?;
    file.sync_data()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "siem");
        assert_eq!(read(&path).unwrap(), None);
        let cursor = Cursor {
            log: "log+1+x".to_owned(),
            backlog: Backlog::new(17),
            untold: vec![Fact::Refused {
                sink: "siem".to_owned(),
                events: 1,
                uids: vec!["a".to_owned()],
                why: "too long".to_owned(),
            }],
        };
        write(&path, &cursor).unwrap();
        assert_eq!(read(&path).unwrap(), Some(cursor));
        fs::write(&path, "{").unwrap();
        assert_eq!(read(&path).unwrap(), None);
    }
}
