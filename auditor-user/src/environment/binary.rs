//! Whether the auditor's own executable is the one that was installed.
//!
//! Hashed once, and again when the file has changed. What it must be, the configuration says, or a file beside it that
//! only root can write.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use auditor_core::audit::Integrity;
use sha2::{Digest as _, Sha256};

/// The running executable, whatever is at its path by now.
const SELF: &str = "/proc/self/exe";
/// The file beside it, as `sha256sum` writes it.
const BESIDE: &str = "mcp-auditor.sha256";
/// Bytes hashed at once.
const PIECE: usize = 64 << 10;

/// Watches an executable.
#[derive(Debug)]
pub(super) struct Binary {
    path: PathBuf,
    expected: Option<[u8; 32]>,
    hashed: Option<(Version, [u8; 32])>,
}

/// What changes when a file does.
type Version = (u64, u64, i64, i64, u64);

impl Binary {
    /// Watches this process's; `expected` is what the configuration says, 64 hexadecimal digits.
    pub(super) fn of_auditor(expected: Option<&str>) -> Self {
        Self {
            path: PathBuf::from(SELF),
            expected: expected.and_then(parse).or_else(beside),
            hashed: None,
        }
    }

    /// Its SHA-256, and whether that is as expected.
    pub(super) fn check(&mut self) -> (Option<[u8; 32]>, Integrity) {
        let Ok(version) = fs::metadata(&self.path).map(|file| version(&file)) else {
            return (None, Integrity::Unknown);
        };
        if self.hashed.is_none_or(|(known, _)| known != version) {
            self.hashed = hash(&self.path).ok().map(|hash| (version, hash));
        }
        let hash = self.hashed.map(|(_, hash)| hash);
        let integrity = match (hash, self.expected) {
            (Some(hash), Some(expected)) if hash == expected => Integrity::Expected,
            (Some(_), Some(_)) => Integrity::Unexpected,
            _ => Integrity::Unknown,
        };
        (hash, integrity)
    }
}

fn version(file: &Metadata) -> Version {
    (
        file.dev(),
        file.ino(),
        file.mtime(),
        file.ctime(),
        file.len(),
    )
}

fn hash(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(piece.get(..read).unwrap_or_default()),
        }
    }
}

/// The hash in the file beside the executable, if nobody but root can have written it.
fn beside() -> Option<[u8; 32]> {
    let path = fs::read_link(SELF).ok()?.with_file_name(BESIDE);
    let file = fs::symlink_metadata(&path).ok()?;
    if !file.is_file() || file.uid() != 0 || file.mode() & 0o022 != 0 {
        tracing::warn!(
            "{} is left alone: it must be a file that only root can write",
            path.display()
        );
        return None;
    }
    parse(&fs::read_to_string(path).ok()?)
}

/// The hash at the beginning of a text, in hexadecimal digits.
pub(crate) fn parse(text: &str) -> Option<[u8; 32]> {
    let digits = text.split_whitespace().next()?;
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 32];
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_content_is_unexpected_and_found_when_the_file_changes() {
        let path = std::env::temp_dir().join(format!("mcp-auditor-binary-{}", std::process::id()));
        fs::write(&path, "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  mcp-auditor\n";
        let mut binary = Binary {
            path: path.clone(),
            expected: parse(abc),
            hashed: None,
        };
        assert_eq!(binary.check(), (parse(abc), Integrity::Expected));
        fs::write(&path, "abcd").unwrap();
        let (hash, integrity) = binary.check();
        assert_eq!(integrity, Integrity::Unexpected);
        assert_ne!(hash, parse(abc));
        binary.expected = None;
        assert_eq!(binary.check().1, Integrity::Unknown);
        fs::remove_file(path).unwrap();
        assert_eq!(binary.check(), (None, Integrity::Unknown));
    }

    #[test]
    fn only_whole_hashes_are_taken() {
        assert_eq!(parse("ba78"), None);
        assert_eq!(parse(&"g".repeat(64)), None);
        assert_eq!(parse(&"0".repeat(64)), Some([0; 32]));
    }
}
