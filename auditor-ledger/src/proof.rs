//! A proof that an entry is in a log, which verifies with nothing but a verifier key.
//!
//! Text: the entry, a C2SP tlog-proof, and the log's chain of keys. Bound: [`BYTES`] bytes.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use tlog_tiles::{
    checkpoint::Checkpoint,
    tlog::{Hash, check_record},
};

use crate::{SIZE, bundle, chain::Chain, error::Invalid, keys::opened};

/// Most bytes of a proof.
const BYTES: usize = 4 << 20;
/// Most hashes of a path.
const PATH: usize = 64;
/// The first line of a C2SP tlog-proof.
const FORM: &str = "c2sp.org/tlog-proof@v1";
/// What the file is.
const FILE: &str = "mcp-auditor-proof/1";

/// A proof.
#[derive(Clone, Debug, PartialEq)]
pub struct Proof {
    /// The entry.
    pub entry: Vec<u8>,
    /// Its index.
    pub index: u64,
    /// The hashes that lead from its leaf to the root.
    pub path: Vec<Hash>,
    /// The checkpoint, as it was signed.
    pub checkpoint: String,
    /// The chain of keys, as they were signed.
    pub keys: Vec<String>,
}

/// How it stands in a file.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: String,
    /// The entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<String>,
    /// The same, where it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    entry_base64: Option<String>,
    proof: String,
    keys: Vec<String>,
}

/// What a proof shows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Shown {
    /// The log's name.
    pub origin: String,
    /// Entries of the log then.
    pub size: u64,
}

impl Proof {
    /// The C2SP tlog-proof alone.
    pub fn tlog_proof(&self) -> String {
        let path: String = self.path.iter().map(|hash| format!("{hash}\n")).collect();
        format!("{FORM}\nindex {}\n{path}\n{}", self.index, self.checkpoint)
    }

    /// As a file: JSON with the entry, the tlog-proof and the chain of keys.
    pub fn to_json(&self) -> String {
        let entry = std::str::from_utf8(&self.entry).map(str::to_owned).ok();
        let is_text = entry.is_some();
        let written = Written {
            format: FILE.to_owned(),
            entry,
            entry_base64: (!is_text).then(|| BASE64_STANDARD.encode(&self.entry)),
            proof: self.tlog_proof(),
            keys: self.keys.clone(),
        };
        // Texts under names: there is nothing that could not be written.
        serde_json::to_string_pretty(&written).unwrap_or_default() + "\n"
    }

    /// Reads a file that [`to_json`](Self::to_json) gave.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_json(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::Malformed("proof");
        if text.len() > BYTES {
            return Err(bad());
        }
        let written: Written = serde_json::from_str(text).map_err(|_| bad())?;
        let rest = written.proof.strip_prefix(FORM).ok_or_else(bad)?;
        let (head, checkpoint) = rest.split_once("\n\n").ok_or_else(bad)?;
        let mut lines = head.strip_prefix('\n').ok_or_else(bad)?.lines();
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index: u64 = index
            .and_then(|number| number.parse().ok())
            .ok_or_else(bad)?;
        let path: Vec<Hash> = lines
            .map(|line| Hash::parse_hash(line).map_err(|_| bad()))
            .collect::<Result<_, _>>()?;
        if written.format != FILE || path.len() > PATH {
            return Err(bad());
        }
        let entry = match (written.entry, written.entry_base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(text)) => BASE64_STANDARD.decode(text).map_err(|_| bad())?,
            _ => return Err(bad()),
        };
        Ok(Self {
            entry,
            index,
            path,
            checkpoint: checkpoint.to_owned(),
            keys: written.keys,
        })
    }

    /// Checks it against a key that is trusted: the log's first, or any later one from which the chain goes on.
    ///
    /// # Errors
    /// With what does not hold.
    pub fn verify(&self, trusted: &str) -> Result<Shown, Invalid> {
        let chain = Chain::read(self.keys.clone())?;
        let text = opened(
            &self.checkpoint,
            chain.trusted(Some(trusted))?,
            "checkpoint",
        )?;
        let checkpoint = Checkpoint::from_bytes(text.as_bytes());
        let checkpoint = checkpoint.map_err(|_| Invalid::Malformed("checkpoint"))?;
        if checkpoint.origin() != crate::chain::name(trusted) {
            return Err(Invalid::Origin(checkpoint.origin().to_owned()));
        }
        let size = checkpoint.size();
        if size > SIZE || self.index >= size || self.path.len() > PATH {
            return Err(Invalid::Malformed("proof"));
        }
        let leaf = bundle::leaf(&self.entry);
        let checked = check_record(&self.path, size, *checkpoint.hash(), self.index, leaf);
        checked.map_err(|_| Invalid::Mismatch)?;
        Ok(Shown {
            origin: checkpoint.origin().to_owned(),
            size,
        })
    }
}
