//! The chain of keys: each start's key is signed by the one before, with the tree at that moment.
//!
//! Bound: [`LINKS`] links.

use std::path::Path;

use tlog_tiles::tlog::Hash;

use crate::{
    SIZE,
    error::{Error, Invalid},
    files,
    keys::{Key, opened, verifier},
};

/// Most links of a chain.
const LINKS: usize = 1 << 20;
/// What the first line of a link says.
const FORM: &str = "mcp-auditor key v1";

/// One key of the chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Its public half, as C2SP signed-note writes it.
    pub key: String,
    /// Entries of the log when it took over.
    pub size: u64,
    /// The root of the tree then.
    pub root: Hash,
    /// When that was, milliseconds since the epoch.
    pub time_ms: u64,
}

/// The keys of a log, the oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chain {
    links: Vec<Link>,
    notes: Vec<String>,
}

impl Chain {
    /// Checks that each note is signed by the key before it; the first by its own.
    ///
    /// # Errors
    /// With what is wrong with it.
    pub fn read(notes: Vec<String>) -> Result<Self, Invalid> {
        if notes.len() > LINKS {
            return Err(Invalid::Malformed("chain of keys"));
        }
        let mut links: Vec<Link> = Vec::new();
        for note in &notes {
            let signer = match links.last() {
                Some(last) => last.key.clone(),
                None => unsigned(note)?.key,
            };
            let text = opened(note, [signer.as_str()], "key")?;
            let link = Link::parse(&text)?;
            let before = links.last();
            let is_same_log = before.is_none_or(|last| name(&last.key) == name(&link.key));
            if !is_same_log || before.is_some_and(|last| last.size > link.size) {
                return Err(Invalid::Malformed("chain of keys"));
            }
            links.push(link);
        }
        Ok(Self { links, notes })
    }

    /// The links, the oldest first.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Their notes, as they were signed.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The keys from a trusted one on; all of them where none is named.
    ///
    /// # Errors
    /// When the trusted one is not in the chain.
    pub fn trusted(&self, key: Option<&str>) -> Result<impl Iterator<Item = &str>, Invalid> {
        let at = match key {
            None => Some(0),
            Some(key) => self.links.iter().position(|link| link.key == key.trim()),
        };
        let from = self
            .links
            .get(at.ok_or(Invalid::Untrusted("chain of keys"))?..);
        Ok(from.into_iter().flatten().map(|link| link.key.as_str()))
    }

    /// Adds what was just signed.
    pub(crate) fn push(&mut self, link: Link, note: String) {
        self.links.push(link);
        self.notes.push(note);
    }

    /// The one in a log's folder.
    pub(crate) fn load(log: &Path) -> Result<Vec<String>, Error> {
        let mut notes = Vec::new();
        let mut paths = files::listed(&log.join(files::KEYS))?;
        // What a start left that ended while it wrote.
        paths.retain(|path| path.extension().is_none_or(|one| one != "new"));
        for (number, path) in paths.iter().enumerate() {
            let is_next = path.file_name().and_then(|one| one.to_str()) == Some(&*file(number));
            if !is_next || number >= LINKS {
                return Err(Error::Tampered(format!(
                    "{} is not the next in the chain of keys",
                    path.display()
                )));
            }
            notes.extend(files::text(path)?);
        }
        Ok(notes)
    }
}

/// The name of a link's file.
pub(crate) fn file(number: usize) -> String {
    format!("{number:08}")
}

/// The log's name, of a verifier key.
pub(crate) fn name(key: &str) -> &str {
    key.split_once('+').map_or("", |(name, _)| name)
}

fn unsigned(note: &str) -> Result<Link, Invalid> {
    let text = note.split_once("\n\n").ok_or(Invalid::Malformed("key"))?.0;
    Link::parse(&format!("{text}\n"))
}

impl Link {
    /// The link of a new key, signed by the one before; the first signs itself.
    pub(crate) fn sign(&self, signer: &Key) -> Result<String, Invalid> {
        signer.sign(&format!(
            "{FORM}\n{}\n{}\n{}\n{}\n",
            self.key, self.size, self.root, self.time_ms
        ))
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::Malformed("key");
        let lines: Vec<_> = text.lines().collect();
        let [FORM, key, size, root, time] = lines[..] else {
            return Err(bad());
        };
        verifier(key)?;
        let size: u64 = size.parse().map_err(|_| bad())?;
        if size > SIZE {
            return Err(bad());
        }
        Ok(Self {
            key: key.to_owned(),
            size,
            root: Hash::parse_hash(root).map_err(|_| bad())?,
            time_ms: time.parse().map_err(|_| bad())?,
        })
    }
}
