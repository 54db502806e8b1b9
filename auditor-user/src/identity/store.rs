//! The last keys that were fetched, kept on disk for a start without a network.
//!
//! A file an address, in `cache/` of the data directory, replaced as a whole. Its age is that of the file. Bound: as of an
//! answer.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use auditor_core::identity::Keys;
use sha2::{Digest as _, Sha256};

use super::client::BODY;

/// Where the keys of one address are kept.
pub(super) struct Store(PathBuf);

impl Store {
    /// The place for an address.
    pub(super) fn new(data_dir: &Path, url: &str) -> Self {
        let hash = Sha256::digest(url.as_bytes());
        let mut name = hex::encode(hash);
        name.truncate(32);
        Self(data_dir.join("cache").join(format!("keys-{name}.json")))
    }

    /// The last keys and how old they are; `None` where there are none.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(super) fn read(&self) -> Result<Option<(Keys, Duration)>> {
        let path = self.0.display();
        let about = match fs::metadata(&self.0) {
            Ok(about) => about,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {path}")),
        };
        ensure!(
            about.len() <= BODY as u64,
            "{path} is larger than {BODY} bytes"
        );
        let text = fs::read(&self.0).with_context(|| format!("cannot read {path}"))?;
        let keys = Keys::parse(&text).with_context(|| format!("cannot use {path}"))?;
        // Of a clock that was set back the age is not known: 0 at least.
        let age = about.modified().ok().and_then(|time| time.elapsed().ok());
        Ok(Some((keys, age.unwrap_or_default())))
    }

    /// Keeps the text of keys.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&self, text: &[u8]) -> Result<()> {
        let path = self.0.display();
        let new = self.0.with_extension("new");
        if let Some(folder) = self.0.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::write(&new, text).with_context(|| format!("cannot write {}", new.display()))?;
        fs::rename(&new, &self.0).with_context(|| format!("cannot write {path}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_by_their_address() {
        let folder = std::env::temp_dir().join(format!("mcp-auditor-keys-{}", std::process::id()));
        let store = Store::new(&folder, "https://a/keys");
        assert!(store.read().unwrap().is_none());
        store.write(br#"{"keys":[]}"#).unwrap();
        let (keys, age) = store.read().unwrap().unwrap();
        assert!(keys.is_empty() && age < Duration::from_secs(60));
        assert!(
            Store::new(&folder, "https://b/keys")
                .read()
                .unwrap()
                .is_none()
        );
        store.write(b"no keys").unwrap();
        assert!(store.read().is_err());
        store.write(&vec![b' '; BODY + 1]).unwrap();
        assert!(store.read().is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
