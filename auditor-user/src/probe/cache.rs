//! What was found in files, by their content: kept from one run to the next in the data directory.
//!
//! A finding counts for a file with the same SHA-256 only, and only for the very program that made it, so that neither
//! a forged file nor another version of the search can put a probe in a wrong place. A file on a disk that has not
//! changed since it was hashed is not hashed again. Bounds: [`FINDINGS`], of which the one used longest ago goes first;
//! [`BYTES`] of the file.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use nix::sys::stat::major;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::inspect::Found;

/// Findings kept.
const FINDINGS: usize = 4_096;
/// Largest file of them that is read.
const BYTES: u64 = 16 << 20;
/// The file in the data directory.
const NAME: &str = "tls-findings.json";
/// Bytes that are read at once.
const BLOCK: usize = 1 << 20;

/// SHA-256 of a file, as hexadecimal digits.
pub(super) type Content = String;

/// Findings by content.
#[derive(Debug, Default)]
pub(super) struct Cache {
    path: Option<PathBuf>,
    /// SHA-256 of the program that searched.
    searcher: Content,
    findings: HashMap<Content, Finding>,
    /// Counts uses, to know the one longest ago.
    uses: u64,
    is_changed: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Finding {
    /// Size of the content.
    len: u64,
    /// The file that had it last.
    file: Option<Unchanged>,
    libraries: Vec<Found>,
    used: u64,
}

/// What shows that a file on a disk has not changed: nobody but root can set the time of its last change.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Unchanged {
    device: u64,
    inode: u64,
    len: u64,
    changed: (i64, i64),
}

impl Unchanged {
    /// Of a file; `None` where it is on no disk, so that whoever made the file system may say what they like.
    pub(super) fn of(data: &fs::Metadata) -> Option<Self> {
        let is_on_disk = major(data.dev()) != 0;
        is_on_disk.then(|| Self {
            device: data.dev(),
            inode: data.ino(),
            len: data.len(),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    }
}

/// What is in the file.
#[derive(Deserialize, Serialize)]
struct Stored {
    searcher: Content,
    findings: HashMap<Content, Finding>,
}

impl Cache {
    /// Reads what an earlier run of this very program left; nothing where there is none, or it cannot be trusted.
    pub(super) fn open(directory: Option<&Path>) -> Self {
        let searcher = File::open("/proc/self/exe").and_then(|own| content(&own));
        let (Some(directory), Ok(searcher)) = (directory, searcher) else {
            return Self::default();
        };
        let mut cache = Self {
            path: Some(directory.join(NAME)),
            searcher,
            ..Self::default()
        };
        match cache.read() {
            Ok(findings) => {
                cache.uses = findings
                    .values()
                    .map(|finding| finding.used)
                    .max()
                    .unwrap_or(0);
                cache.findings = findings;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, "what was found in files before is not used"),
        }
        cache
    }

    /// What was found in a file with this content.
    pub(super) fn get(&mut self, content: &str) -> Option<Vec<Found>> {
        let finding = self.findings.get_mut(content)?;
        self.uses += 1;
        finding.used = self.uses;
        Some(finding.libraries.clone())
    }

    /// The content of a file that has not changed since it was hashed.
    pub(super) fn content_of(&self, file: Option<Unchanged>) -> Option<Content> {
        let file = file?;
        let mut findings = self.findings.iter();
        findings
            .find(|(_, finding)| finding.file == Some(file))
            .map(|(content, _)| content.clone())
    }

    /// Whether a content of this size is known, so that hashing may spare a search.
    pub(super) fn has_size(&self, len: u64) -> bool {
        self.findings.values().any(|finding| finding.len == len)
    }

    /// Notes that a file has a content that is known.
    pub(super) fn note_file(&mut self, content: &str, file: Option<Unchanged>) {
        if let Some(finding) = self.findings.get_mut(content)
            && file.is_some()
            && finding.file != file
        {
            finding.file = file;
            self.is_changed = true;
        }
    }

    /// Keeps what was found in a content of this size.
    pub(super) fn insert(&mut self, content: Content, len: u64, libraries: Vec<Found>) {
        if self.findings.len() >= FINDINGS {
            let oldest = self.findings.iter().min_by_key(|(_, finding)| finding.used);
            let oldest = oldest.map(|(content, _)| content.clone());
            oldest.map(|content| self.findings.remove(&content));
        }
        self.uses += 1;
        let used = self.uses;
        let finding = Finding {
            len,
            file: None,
            libraries,
            used,
        };
        self.findings.insert(content, finding);
        self.is_changed = true;
    }

    /// Writes what is new; who reads it sees the old or the new.
    pub(super) fn save(&mut self) {
        let Some(path) = self
            .path
            .as_ref()
            .filter(|_| std::mem::take(&mut self.is_changed))
        else {
            return;
        };
        let stored = Stored {
            searcher: self.searcher.clone(),
            findings: self.findings.clone(),
        };
        if let Err(error) = write(path, &stored) {
            tracing::warn!(%error, "cannot keep what was found in files in {}", path.display());
        }
    }

    fn read(&self) -> io::Result<HashMap<Content, Finding>> {
        let path = self.path.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(path)?;
        let data = file.metadata()?;
        let own = nix::unistd::geteuid().as_raw();
        if !data.is_file() || data.uid() != own || data.mode() & 0o077 != 0 {
            return Err(io::Error::other(format!(
                "{} is not this user's alone: remove it",
                path.display()
            )));
        }
        let mut text = Vec::new();
        file.take(BYTES).read_to_end(&mut text)?;
        let stored: Stored = serde_json::from_slice(&text)?;
        // Another program may search otherwise.
        let is_own = stored.searcher == self.searcher;
        Ok(if is_own {
            stored.findings
        } else {
            HashMap::new()
        })
    }
}

fn write(path: &Path, stored: &Stored) -> io::Result<()> {
    let draft = path.with_extension("new");
    let _ = fs::remove_file(&draft);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(&serde_json::to_vec(stored)?)?;
    fs::rename(draft, path)
}

/// The SHA-256 of a file.
///
/// # Errors
/// When it cannot be read.
pub(super) fn content(file: &File) -> io::Result<Content> {
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK];
    let mut at = 0;
    loop {
        let len = file.read_at(&mut block, at)?;
        if len == 0 {
            break;
        }
        hash.update(block.get(..len).unwrap_or_default());
        at += len as u64;
    }
    Ok(hex::encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("mcp-auditor-cache-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn finding(stack: &str) -> Vec<Found> {
        vec![Found {
            stack: stack.into(),
            ..Found::default()
        }]
    }

    #[test]
    fn what_was_found_is_there_in_the_next_run() {
        let place = directory("kept");
        let mut cache = Cache::open(Some(&place));
        let file = Some(Unchanged {
            device: 8 << 8,
            inode: 7,
            len: 3,
            changed: (1, 2),
        });
        cache.insert("a".into(), 3, finding("Go"));
        cache.note_file("a", file);
        cache.save();
        let mut cache = Cache::open(Some(&place));
        assert_eq!(cache.get("a"), Some(finding("Go")));
        assert_eq!(cache.get("b"), None);
        assert!(cache.has_size(3) && !cache.has_size(4));
        assert_eq!(cache.content_of(file).as_deref(), Some("a"));
        let changed = file.map(|file| Unchanged {
            changed: (1, 3),
            ..file
        });
        assert_eq!(cache.content_of(changed), None);
        assert_eq!(cache.content_of(None), None);
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn what_others_may_write_or_another_program_found_is_not_used() {
        let place = directory("foreign");
        let path = place.join(NAME);
        let mut cache = Cache::open(Some(&place));
        cache.insert("a".into(), 3, finding("Go"));
        cache.save();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
        assert_eq!(Cache::open(Some(&place)).get("a"), None);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace(&cache.searcher, "another")).unwrap();
        assert_eq!(Cache::open(Some(&place)).get("a"), None);
        fs::write(&path, "no JSON").unwrap();
        assert_eq!(Cache::open(Some(&place)).get("a"), None);
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn the_finding_used_longest_ago_goes_at_the_bound() {
        let mut cache = Cache::default();
        for at in 0..FINDINGS {
            cache.insert(at.to_string(), 1, Vec::new());
        }
        assert!(cache.get("0").is_some());
        cache.insert("new".into(), 1, Vec::new());
        assert_eq!(cache.findings.len(), FINDINGS);
        assert!(cache.get("0").is_some() && cache.get("1").is_none());
    }

    #[test]
    fn a_file_on_no_disk_is_never_taken_for_unchanged() {
        let data = fs::metadata("/proc/self/status").unwrap();
        assert_eq!(Unchanged::of(&data), None);
    }

    #[test]
    fn content_is_the_sha_256_of_the_whole() {
        let place = directory("content");
        let path = place.join("file");
        fs::write(&path, b"abc").unwrap();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(content(&File::open(&path).unwrap()).unwrap(), known);
        fs::remove_dir_all(place).unwrap();
    }
}
