//! NSS, as Firefox and its kin use it.
//!
//! Only recognised: its plaintext passes `PR_Write` and `PR_Read`, as do files, pipes and plain sockets, and what a
//! descriptor is shows only in structures that differ between versions. Does not find static copies without symbols.
//!
//! Provenance: lib/ssl/sslsock.c of NSS 3.87; checked against Debian's libssl3.so 3.87.

use crate::{Library, Refusal, Stack, fuzz::Elf, image::Image};

/// What makes a descriptor one of TLS, and what configures it.
const NAMES: [&str; 2] = ["SSL_ImportFD", "SSL_OptionSet"];

pub(super) fn recognise(image: &Image<'_>) -> Option<Library> {
    let named = image.named(&NAMES);
    let why = "its functions PR_Write and PR_Read move every kind of bytes";
    NAMES
        .iter()
        .all(|name| named.has(name))
        .then(|| Library::refused(Stack::Nss, None, Refusal::Unhearable { why }))
}

/// A libssl3 as far as this module looks at it.
pub(super) fn sample(elf: &mut Elf) {
    for name in NAMES {
        elf.function(name, b"\xc3");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recognise;

    #[test]
    fn it_is_recognised_and_not_probed() {
        let mut elf = Elf::new();
        sample(&mut elf);
        let found = recognise(&elf.finish()).unwrap();
        assert_eq!((found.len(), found[0].stack), (1, Stack::Nss));
        assert!(found[0].sites.is_empty());
    }
}
