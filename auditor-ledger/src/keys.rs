//! Keys that checkpoints are signed with: an Ed25519 key per start, whose private half nobody has once the next is there.
//!
//! What was signed before stays so: who takes over the host later cannot sign an older tree in another way with the keys
//! that it finds.

use std::path::{Path, PathBuf};

use rand_core::OsRng;
use signed_note::{Note, Signer as _, StandardSigner, StandardVerifier, Verifier, VerifierList};

use crate::error::{Error, Invalid};

/// A key with both halves.
pub(crate) struct Key {
    signer: StandardSigner,
    /// The public half, as C2SP signed-note writes it.
    pub(crate) public: String,
    /// The private one.
    pub(crate) private: String,
}

impl Key {
    /// A new one of this name.
    pub(crate) fn generate(name: &str) -> Result<Self, Invalid> {
        if !signed_note::is_key_name_valid(name) {
            return Err(Invalid::Malformed("name of a log"));
        }
        let (private, public) = signed_note::generate_key(&mut OsRng, name);
        let signer = StandardSigner::new(&private).map_err(|_| Invalid::Malformed("key"))?;
        Ok(Self {
            signer,
            public,
            private,
        })
    }

    /// The one that stands in a file.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let Some(text) = crate::files::text(path)? else {
            return Ok(None);
        };
        let bad = |why: &str| Error::Key {
            path: PathBuf::from(path),
            why: why.to_owned(),
        };
        let mut lines = text.lines();
        let (Some(private), Some(public)) = (lines.next(), lines.next()) else {
            return Err(bad("it has not two lines"));
        };
        let signer = StandardSigner::new(private).map_err(|error| bad(&error.to_string()))?;
        let verifier = StandardVerifier::new(public).map_err(|error| bad(&error.to_string()))?;
        if (signer.name(), signer.key_id()) != (verifier.name(), verifier.key_id()) {
            return Err(bad("its halves do not belong together"));
        }
        Ok(Some(Self {
            signer,
            public: public.to_owned(),
            private: private.to_owned(),
        }))
    }

    /// Both halves, as they stand in a file.
    pub(crate) fn text(&self) -> String {
        format!("{}\n{}\n", self.private, self.public)
    }

    /// Signs a text, which ends with a newline.
    pub(crate) fn sign(&self, text: &str) -> Result<String, Invalid> {
        let mut note = Note::new(text.as_bytes(), &[]).map_err(|_| Invalid::Malformed("note"))?;
        let signed = note.add_sigs(&[&self.signer]);
        signed.map_err(|_| Invalid::Malformed("note"))?;
        String::from_utf8(note.to_bytes()).map_err(|_| Invalid::Malformed("note"))
    }
}

/// Checks that a key is one.
pub(crate) fn verifier(public: &str) -> Result<StandardVerifier, Invalid> {
    StandardVerifier::new(public).map_err(|_| Invalid::Malformed("verifier key"))
}

/// Whether a text is the verifier key of a log, as C2SP signed-note writes it.
pub fn is_verifier_key(text: &str) -> bool {
    verifier(text.trim()).is_ok()
}

/// The text of a note that one of these keys signed.
pub(crate) fn opened<'a>(
    note: &str,
    keys: impl IntoIterator<Item = &'a str>,
    what: &'static str,
) -> Result<String, Invalid> {
    let parsed = Note::from_bytes(note.as_bytes()).map_err(|_| Invalid::Malformed(what))?;
    // Else a byte that no signature covers could be changed.
    if parsed.to_bytes() != note.as_bytes() {
        return Err(Invalid::Malformed(what));
    }
    let mut known: Vec<Box<dyn Verifier>> = Vec::new();
    for key in keys {
        known.push(Box::new(verifier(key)?));
    }
    let verified = parsed.verify(&VerifierList::new(known));
    verified.map_err(|_| Invalid::Untrusted(what))?;
    String::from_utf8(parsed.text().to_vec()).map_err(|_| Invalid::Malformed(what))
}
