//! How a start's key takes over from the one before.

use std::{fs, path::Path};

use tlog_tiles::tlog::Hash;

use crate::{
    chain::{self, Chain, Link},
    error::{Error, Invalid},
    files::{self, Lasting, io},
    keys::Key,
};

/// The file of the private key in the folder of keys.
const KEY: &str = "ledger.key";
/// The next one, until it is signed.
const NEXT: &str = "ledger.next";

/// Where keys are.
pub(super) struct Rotation<'a> {
    pub(super) folder: &'a Path,
    pub(super) keys: &'a Path,
    pub(super) chain: &'a Chain,
}

impl Rotation<'_> {
    /// The key of the start before; none where this is the first.
    pub(super) fn old(&self) -> Result<Option<Key>, Error> {
        let (path, next_path) = (self.keys.join(KEY), self.keys.join(NEXT));
        let newest = self.chain.links().last().map(|link| link.key.as_str());
        // A start that ended between the signature and the change of files.
        if let Some(next) = Key::read(&next_path)?
            && newest == Some(&*next.public)
        {
            take_over(&next_path, &path)?;
        }
        let old = Key::read(&path)?;
        match (old, newest) {
            (Some(old), Some(newest)) if old.public == newest => Ok(Some(old)),
            (_, None) => Ok(None),
            (_, Some(newest)) => {
                let why = format!("it must be the private half of {newest}");
                Err(Error::Key { path, why })
            }
        }
    }

    /// Makes a key, has the one before sign it, and removes that one's private half.
    pub(super) fn rotate(
        &self,
        old: Option<Key>,
        origin: &str,
        (size, root): (u64, Hash),
        time_ms: u64,
    ) -> Result<(Key, Link, String), Error> {
        let (path, next_path) = (self.keys.join(KEY), self.keys.join(NEXT));
        let bad = |error: Invalid| Error::Key {
            path: path.clone(),
            why: error.to_string(),
        };
        let name = old.as_ref().map_or(origin, |old| chain::name(&old.public));
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
        take_over(&next_path, &path)?;
        Ok((key, link, note))
    }
}

/// Puts the next key in place of the one before, whose private half is gone by that.
fn take_over(next: &Path, path: &Path) -> Result<(), Error> {
    let renamed = files::step().and_then(|()| fs::rename(next, path));
    renamed.map_err(io("rename", next))?;
    path.parent().map_or(Ok(()), files::sync_folder)
}
