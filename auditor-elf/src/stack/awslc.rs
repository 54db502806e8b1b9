//! AWS-LC's authenticated encryption, beneath rustls: in Deno and in most programs in Rust.
//!
//! The functions seal and open whole records, but of anything that is encrypted: the additional data tells TLS
//! (17 03 03 and the length in 1.3; the sequence number before them in 1.2).
//!
//! `EVP_AEAD_CTX_open` may end in `EVP_AEAD_CTX_open_gather`, so only the former is probed; the two that seal do not
//! call each other.

use crate::{
    Call, Library, Refusal, Site, Stack, code,
    fuzz::Elf,
    image::Image,
    reports::{self, Reporter, reporters},
};

/// The file that the functions are in.
const FILE: &str = "aws-lc/crypto/fipsmodule/cipher/aead.c";
/// All that each function reports: `CIPHER_R_TOO_LARGE` 117, `BUFFER_TOO_SMALL` 103, `OUTPUT_ALIASES_INPUT` 115,
/// `INVALID_OPERATION` 112, `BAD_DECRYPT` 101.
///
/// Provenance: crypto/fipsmodule/cipher/aead.c of aws-lc-sys 0.47.0, built with symbols; Deno 2.9.6 (aws-lc-rs 1.16.3).
const SIGNATURES: [(&str, &[u32], Call); 3] = [
    ("EVP_AEAD_CTX_seal", &[117, 103, 115], Call::AeadSeal),
    (
        "EVP_AEAD_CTX_seal_scatter",
        &[115, 112],
        Call::AeadSealScatter,
    ),
    ("EVP_AEAD_CTX_open", &[115, 101, 103], Call::AeadOpen),
];

/// What is looked for in the file.
pub(super) const TEXTS: &[&[u8]] = &[FILE.as_bytes()];

pub(super) fn recognise(image: &Image<'_>) -> Option<Library> {
    let reporters = reporters(image, FILE);
    let found =
        SIGNATURES.map(|(function, reasons, call)| (function, matching(&reporters, reasons), call));
    // A program that only hashes has none of them.
    if found.iter().all(|(_, matching, _)| matching.is_empty()) {
        return None;
    }
    let sites: Result<Vec<[Site; 2]>, Refusal> = found
        .iter()
        .map(|(function, matching, call)| match matching[..] {
            [address] => image
                .function(address, 0)
                .map(|found| code::enter_and_return(&found, *call))
                .ok_or(Refusal::Missing { function }),
            [] => Err(Refusal::Missing { function }),
            _ => Err(Refusal::Ambiguous {
                function,
                found: matching.len(),
            }),
        })
        .collect();
    Some(match sites {
        Ok(sites) => Library::new(Stack::AwsLc, None, sites.concat()),
        Err(why) => Library::refused(Stack::AwsLc, None, why),
    })
}

fn matching(reporters: &[Reporter], reasons: &[u32]) -> Vec<u64> {
    reporters
        .iter()
        .filter(|reporter| reporter.reasons(reasons))
        .map(|reporter| reporter.address)
        .collect()
}

/// An AWS-LC as far as this module looks at it.
pub(super) fn sample(elf: &mut Elf) {
    let file = elf.function("", b"\0/aws-lc/crypto/fipsmodule/cipher/aead.c\0") + 1;
    for reports in [
        &[(117, 119), (103, 124), (115, 129)][..],
        &[(115, 161), (112, 166)],
        &[(115, 191), (101, 208), (103, 214)],
    ] {
        reports::sample(elf, file, reports, b"\xc3");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Role, recognise};

    #[test]
    fn the_three_functions_are_found_and_open_gather_is_not_probed() {
        let mut elf = Elf::new();
        sample(&mut elf);
        let file = elf.function("", b"\0aws-lc/crypto/fipsmodule/cipher/aead.c\0") + 1;
        let gather = reports::sample(&mut elf, file, &[(115, 239), (104, 244)], b"\xc3");
        let found = recognise(&elf.finish()).unwrap();
        assert_eq!(
            (found.len(), found[0].stack, found[0].sites.len()),
            (1, Stack::AwsLc, 6),
            "{found:?}"
        );
        for call in [Call::AeadSeal, Call::AeadSealScatter, Call::AeadOpen] {
            assert_eq!(
                found[0]
                    .sites
                    .iter()
                    .filter(|site| site.role == Role::Return(call))
                    .count(),
                1
            );
        }
        assert!(
            found[0]
                .sites
                .iter()
                .all(|site| site.offset != Elf::offset(gather))
        );
    }

    #[test]
    fn one_missing_or_twice_refuses_all() {
        let mut elf = Elf::new();
        let file = elf.function("", b"\0aws-lc/crypto/fipsmodule/cipher/aead.c\0") + 1;
        reports::sample(&mut elf, file, &[(117, 1), (103, 2), (115, 3)], b"\xc3");
        let found = recognise(&elf.finish()).unwrap();
        assert_eq!(
            found[0].refused,
            Some(Refusal::Missing {
                function: "EVP_AEAD_CTX_seal_scatter"
            })
        );
        let mut elf = Elf::new();
        sample(&mut elf);
        sample(&mut elf);
        let found = recognise(&elf.finish()).unwrap();
        assert_eq!(
            found[0].refused,
            Some(Refusal::Ambiguous {
                function: "EVP_AEAD_CTX_seal",
                found: 2
            })
        );
    }

    #[test]
    fn a_program_that_only_hashes_has_no_library() {
        let mut elf = Elf::new();
        let file = elf.function("", b"\0aws-lc/crypto/fipsmodule/cipher/aead.c\0") + 1;
        reports::sample(&mut elf, file, &[(124, 59)], b"\xc3");
        assert_eq!(recognise(&elf.finish()), Ok(vec![]));
    }
}
