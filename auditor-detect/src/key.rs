//! Names of any length as keys of fixed size. 128 bits of SHA-256: nobody can make two names collide.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A key of a table.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Key(#[serde(with = "hex::serde")] pub(crate) [u8; 16]);

/// The key of parts in this order; each with its length before it, so that no two lists give the same bytes.
pub(crate) fn key(parts: &[&[u8]]) -> Key {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut key = Key::default();
    key.0.copy_from_slice(&hash.finalize()[..16]);
    key
}
