//! Bundles of 256 entries, each with its length as 16 bits, big endian (C2SP tlog-tiles, "Log entries").

use tlog_tiles::tlog::{Hash, record_hash};

/// Entries of a full bundle.
pub const BUNDLE: u64 = 256;
/// Longest entry, in bytes.
pub const ENTRY: usize = u16::MAX as usize;

/// Adds an entry, which is no longer than [`ENTRY`].
pub(crate) fn push(bundle: &mut Vec<u8>, entry: &[u8]) {
    let length = u16::try_from(entry.len()).unwrap_or(u16::MAX);
    bundle.extend(length.to_be_bytes());
    bundle.extend(entry);
}

/// The entries of a bundle; `None` where its lengths do not fit, or there are more than a bundle has.
pub(crate) fn split(mut bundle: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk() {
        let (entry, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        if entries.len() as u64 == BUNDLE {
            return None;
        }
        entries.push(entry);
        bundle = rest;
    }
    bundle.is_empty().then_some(entries)
}

/// The leaf hash of an entry (RFC 6962, section 2.1).
pub(crate) fn leaf(entry: &[u8]) -> Hash {
    record_hash(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_together_comes_apart() {
        let mut bundle = Vec::new();
        for entry in [&b"a"[..], b"", b"longer"] {
            push(&mut bundle, entry);
        }
        assert_eq!(split(&bundle), Some(vec![&b"a"[..], b"", b"longer"]));
        for end in [1, bundle.len() - 1] {
            assert_eq!(split(&bundle[..end]), None);
        }
        assert_eq!(split(&vec![0; 2 * 256]).map(|all| all.len()), Some(256));
        assert_eq!(split(&vec![0; 2 * 257]), None);
    }
}
