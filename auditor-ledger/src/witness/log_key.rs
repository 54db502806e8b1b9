//! The key that witnesses know a log by.
//!
//! A witness is told one key of a log, for good (C2SP tlog-witness); the log's own are new with each start. So what is shown
//! to witnesses is signed by one that stays, too. Who takes it can show a witness another log, which the witness refuses:
//! it asks for a proof that a log goes on from what it saw.

use std::path::Path;

use super::lines_of;
use crate::{
    error::{Error, Invalid},
    files::{self, Lasting},
    keys::Key,
};

/// Its file in the folder of keys.
const FILE: &str = "witness.key";
/// The public half, in the log's folder.
const PUBLIC: &str = "witness-key";

/// A key that stays.
pub struct LogKey(Key);

impl LogKey {
    /// Reads it from the folder of keys, or makes one of this name; its public half is put into the log's folder.
    ///
    /// # Errors
    /// When files cannot be read or written, or what is there is no such key.
    pub fn open(folder: &Path, keys: &Path, origin: &str) -> Result<Self, Error> {
        let path = keys.join(FILE);
        let key = match Key::read(&path)? {
            Some(key) => key,
            None => {
                let key = Key::generate(origin);
                let key = key.map_err(|error| Error::Key {
                    path: path.clone(),
                    why: error.to_string(),
                })?;
                files::replace(&path, key.text().as_bytes(), 0o600, Lasting::Sure)?;
                key
            }
        };
        let public = format!("{}\n", key.public);
        files::replace(
            &folder.join(PUBLIC),
            public.as_bytes(),
            0o644,
            Lasting::Nothing,
        )?;
        Ok(Self(key))
    }

    /// The verifier key that witnesses are told.
    pub fn public(&self) -> &str {
        &self.0.public
    }

    /// A checkpoint with this key's signature added.
    ///
    /// # Errors
    /// When it is none.
    pub fn sign(&self, checkpoint: &str) -> Result<String, Invalid> {
        let (text, _) = checkpoint
            .rsplit_once("\n\n")
            .ok_or(Invalid::Malformed("checkpoint"))?;
        let signed = self.0.sign(&format!("{text}\n"))?;
        Ok(format!("{checkpoint}{}", lines_of(&signed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::opened;

    #[test]
    fn it_stays_and_signs_beside_the_starts_key() {
        let folder = tempfile::tempdir().unwrap();
        let key = LogKey::open(folder.path(), folder.path(), "log").unwrap();
        let again = LogKey::open(folder.path(), folder.path(), "log").unwrap();
        assert_eq!(key.public(), again.public());
        let start = Key::generate("log").unwrap();
        let text = "log\n5\nqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=\n";
        let both = key.sign(&start.sign(text).unwrap()).unwrap();
        for one in [key.public(), &start.public] {
            assert_eq!(opened(&both, [one], "checkpoint").as_deref(), Ok(text));
        }
        assert!(key.sign("no note").is_err());
    }
}
