//! Witnesses: who was shown a checkpoint and signs that it goes on from what they saw before.
//!
//! The bodies of C2SP tlog-witness and the signatures of C2SP tlog-cosignature; the requests are made elsewhere. A
//! witness on another host is what shows that a log was cut or put back together with everything around it.

mod log_key;

use std::path::Path;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};
use signed_note::Note;
use tlog_tiles::tlog::Hash;

use crate::{
    error::{Error, Invalid},
    files::{self, Lasting},
};

pub use self::log_key::LogKey;

/// The newest checkpoint that witnesses signed.
pub(crate) const FILE: &str = "cosigned";
/// The kind of a cosigner's key (C2SP tlog-cosignature, "Ed25519 signatures").
const COSIGNATURE: u8 = 4;
/// Most bytes of an answer.
pub const ANSWER: usize = 64 << 10;

/// A witness's key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Witness {
    name: String,
    id: u32,
    key: VerifyingKey,
}

/// What a witness answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// Its signature lines.
    Signed(String),
    /// It knows another size (409): the proof is to begin there.
    Knows(u64),
    /// It refuses, with its status.
    Refused(u16),
}

impl Witness {
    /// Reads a verifier key: `name+id+base64`.
    ///
    /// # Errors
    /// When it is none of a witness.
    pub fn read(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::Malformed("key of a witness");
        let (name, rest) = text.trim().split_once('+').ok_or_else(bad)?;
        let (id, key) = rest.split_once('+').ok_or_else(bad)?;
        let id = u32::from_str_radix(id, 16).map_err(|_| bad())?;
        let bytes = BASE64_STANDARD.decode(key).map_err(|_| bad())?;
        let [COSIGNATURE, key @ ..] = &bytes[..] else {
            return Err(bad());
        };
        let mut hash = Sha256::new();
        hash.update(name);
        hash.update(b"\n");
        hash.update(&bytes);
        let is_its_id = hash.finalize().first_chunk().copied() == Some(id.to_be_bytes());
        if !is_its_id || !signed_note::is_key_name_valid(name) {
            return Err(bad());
        }
        let key = key.try_into().map_err(|_| bad())?;
        Ok(Self {
            name: name.to_owned(),
            id,
            key: VerifyingKey::from_bytes(key).map_err(|_| bad())?,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a note has a signature of this witness that is right; `None` where it has none of it.
    fn check(&self, note: &str) -> Option<bool> {
        let (text, signatures) = note.rsplit_once("\n\n")?;
        let of_it = signatures.lines().find_map(|line| {
            let (name, value) = line.strip_prefix("— ")?.split_once(' ')?;
            let bytes = BASE64_STANDARD.decode(value).ok()?;
            let (id, signature) = bytes.split_first_chunk::<4>()?;
            let is_it = name == self.name && *id == self.id.to_be_bytes();
            is_it.then(|| signature.to_vec())
        })?;
        let Some((time, signature)) = of_it.split_first_chunk::<8>() else {
            return Some(false);
        };
        let Ok(signature) = Signature::from_slice(signature) else {
            return Some(false);
        };
        let time = u64::from_be_bytes(*time);
        let message = format!("cosignature/v1\ntime {time}\n{text}\n");
        Some(
            self.key
                .verify_strict(message.as_bytes(), &signature)
                .is_ok(),
        )
    }
}

/// The body of a request to add a checkpoint; `proof` shows that it goes on from `old` entries.
pub fn request(old: u64, proof: &[Hash], checkpoint: &str) -> String {
    let proof: String = proof.iter().map(|hash| format!("{hash}\n")).collect();
    format!("old {old}\n{proof}\n{checkpoint}")
}

/// Reads an answer.
///
/// # Errors
/// When it is too long or says nothing that could be understood.
pub fn answer(status: u16, body: &[u8]) -> Result<Answer, Invalid> {
    let bad = || Invalid::Malformed("answer of a witness");
    if body.len() > ANSWER {
        return Err(bad());
    }
    let text = std::str::from_utf8(body).map_err(|_| bad())?;
    match status {
        200 if text.ends_with('\n') && text.lines().all(|line| line.starts_with("— ")) => {
            Ok(Answer::Signed(text.to_owned()))
        }
        200 => Err(bad()),
        409 => {
            let size = text.trim_end().parse().ok();
            Ok(size.map_or(Answer::Refused(409), Answer::Knows))
        }
        status => Ok(Answer::Refused(status)),
    }
}

/// A checkpoint with the signature of a witness added, which is checked.
///
/// # Errors
/// When the witness did not sign it.
pub fn add(checkpoint: &str, lines: &str, witness: &Witness) -> Result<String, Invalid> {
    let note = format!("{checkpoint}{lines}");
    let parsed = Note::from_bytes(note.as_bytes());
    parsed.map_err(|_| Invalid::Malformed("answer of a witness"))?;
    match witness.check(&note) {
        Some(true) => Ok(note),
        Some(false) | None => Err(Invalid::Untrusted("answer of a witness")),
    }
}

/// The lines of a note with its signatures.
fn lines_of(note: &str) -> &str {
    note.rsplit_once("\n\n").map_or("", |(_, lines)| lines)
}

/// Keeps a checkpoint that witnesses signed.
///
/// # Errors
/// When it cannot be written.
pub fn keep(folder: &Path, note: &str) -> Result<(), Error> {
    let path = folder.join(FILE);
    files::replace(&path, note.as_bytes(), 0o644, Lasting::Sure)
}

/// The names of those witnesses that signed a note.
///
/// # Errors
/// When a key is malformed, or a signature is wrong.
pub fn cosigners<'a>(
    note: &str,
    witnesses: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<String>, Invalid> {
    let mut names = Vec::new();
    for key in witnesses {
        let witness = Witness::read(key)?;
        match witness.check(note) {
            Some(true) => names.push(witness.name),
            Some(false) => return Err(Invalid::Untrusted("checkpoint that witnesses signed")),
            None => {}
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;

    fn witness(seed: u8) -> (SigningKey, String) {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let bytes = [&[COSIGNATURE][..], key.verifying_key().as_bytes()].concat();
        let id = signed_note::key_id("witness.example/w", &bytes);
        let text = format!(
            "witness.example/w+{id:08x}+{}",
            BASE64_STANDARD.encode(&bytes)
        );
        (key, text)
    }

    fn sign(key: &SigningKey, vkey: &str, text: &str, time: u64) -> String {
        let id = Witness::read(vkey).unwrap().id;
        let message = format!("cosignature/v1\ntime {time}\n{text}");
        let signature = key.sign(message.as_bytes()).to_bytes();
        let bytes = [&id.to_be_bytes()[..], &time.to_be_bytes(), &signature].concat();
        format!("— witness.example/w {}\n", BASE64_STANDARD.encode(bytes))
    }

    #[test]
    fn a_signature_of_a_witness_is_added_when_it_is_right() {
        let text = "log\n5\nqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=\n";
        let own = crate::keys::Key::generate("log").unwrap();
        let note = own.sign(text).unwrap();
        let (key, vkey) = witness(1);
        let one = Witness::read(&vkey).unwrap();
        let line = sign(&key, &vkey, text, 1_700_000_000);
        let Answer::Signed(line) = answer(200, line.as_bytes()).unwrap() else {
            panic!();
        };
        let signed = add(&note, &line, &one).unwrap();
        assert_eq!(
            cosigners(&signed, [vkey.as_str()]),
            Ok(vec!["witness.example/w".to_owned()])
        );
        let wrong = sign(&key, &vkey, &text.replace('5', "6"), 1_700_000_000);
        assert!(add(&note, &wrong, &one).is_err());
        assert!(add(&note, "— somebody AAAAAAAA\n", &one).is_err());
        let (_, other) = witness(2);
        assert_eq!(cosigners(&signed, [other.as_str()]), Ok(Vec::new()));
        assert!(Witness::read(&vkey.replace('w', "v")).is_err());
    }

    #[test]
    fn answers_are_read_by_their_status() {
        assert_eq!(answer(409, b"17\n"), Ok(Answer::Knows(17)));
        assert_eq!(answer(422, b"no"), Ok(Answer::Refused(422)));
        assert!(answer(200, b"hello").is_err());
        assert!(answer(200, &[0xff]).is_err());
        let proof = [Hash([0; 32])];
        let body = request(3, &proof, "log\n");
        assert_eq!(
            body,
            "old 3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\nlog\n"
        );
    }
}
