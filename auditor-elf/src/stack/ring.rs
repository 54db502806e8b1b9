//! ring's authenticated encryption, beneath rustls built with it.
//!
//! Each algorithm is a record of three functions, the length of its key and its number; rustls calls the functions
//! through it, so that they stand for all that the processor's features choose below. They seal and open whole records
//! in place, but of anything that is encrypted: the additional data tells TLS (17 03 03 and the length in 1.3; the
//! sequence number before them in 1.2). What is opened is verified only after the function has returned.
//!
//! Before ring 0.17.8 both record and functions were different: nothing is found.
//!
//! Provenance: src/aead/algorithm.rs of ring 0.17.8 to 0.17.14, all the same; checked against 0.17.14 built by
//! Rust 1.95.

use std::collections::BTreeMap;

use iced_x86::{Mnemonic, Register};

use crate::{
    Call, Library, Refusal, Site, Stack, code,
    fuzz::Elf,
    image::{Function, Image},
};

/// Length of the key and number of each algorithm, as they follow the functions.
const AES_128_GCM: &[u8; 16] = b"\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const AES_256_GCM: &[u8; 16] = b"\x20\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0";
const CHACHA20_POLY1305: &[u8; 16] = b"\x20\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0";
/// Places looked at that hold such a pair.
const MAX_CANDIDATES: usize = 1 << 14;

/// The functions of an algorithm.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Algorithm {
    init: u64,
    seal: u64,
    open: u64,
}

/// What is looked for in the file.
pub(super) const TEXTS: &[&[u8]] = &[AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305];

pub(super) fn recognise(image: &Image<'_>) -> Option<Library> {
    let [small, large, chacha] =
        [AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305].map(|kind| algorithms(image, kind));
    // The two sizes of AES share all but what prepares the key; nothing else looks like that.
    let pairs = large.iter().filter(|large| {
        small.iter().any(|small| {
            (small.seal, small.open) == (large.seal, large.open) && small.init != large.init
        })
    });
    let pairs: Vec<Algorithm> = pairs.copied().collect();
    let sites = match (&pairs[..], &chacha[..]) {
        ([], _) => return None,
        ([aes], []) => sites(image, &[*aes]),
        ([aes], [chacha]) => sites(image, &[*aes, *chacha]),
        ([_], many) => Err(Refusal::Ambiguous {
            function: "ring::aead::CHACHA20_POLY1305",
            found: many.len(),
        }),
        (many, _) => Err(Refusal::Ambiguous {
            function: "ring::aead::AES_256_GCM",
            found: many.len(),
        }),
    };
    Some(match sites {
        Ok(sites) => Library::new(Stack::Ring, None, sites),
        Err(why) => Library::refused(Stack::Ring, None, why),
    })
}

fn sites(image: &Image<'_>, algorithms: &[Algorithm]) -> Result<Vec<Site>, Refusal> {
    let mut sites = Vec::new();
    for algorithm in algorithms {
        let both = [
            ("ring::aead::seal", algorithm.seal, Call::RingSeal),
            ("ring::aead::open", algorithm.open, Call::RingOpen),
        ];
        for (name, address, call) in both {
            let function = image
                .function(address, 0)
                .ok_or(Refusal::Missing { function: name })?;
            if !looks_at_its_key(&function) {
                return Err(Refusal::Code {
                    function: name,
                    why: "its key is not its second argument",
                });
            }
            sites.extend(code::enter_and_return(&function, call));
        }
    }
    Ok(sites)
}

/// Whether the function begins by looking at what kind of key `rsi` points at: then `rdi` is for its result, and the other
/// arguments are where they are read.
fn looks_at_its_key(function: &Function<'_>) -> bool {
    code::instructions(function).take(8).any(|first| {
        first.mnemonic() == Mnemonic::Cmp
            && first.memory_base() == Register::RSI
            && first.memory_displacement64() == 0
    })
}

/// The records that end in this length and number, and begin with three different functions.
fn algorithms(image: &Image<'_>, kind: &'static [u8; 16]) -> Vec<Algorithm> {
    let places: Vec<u64> = image
        .places(kind)
        .into_iter()
        .filter_map(|at| image.address_of(at as u64))
        .filter(|address| address % 8 == 0 && *address >= 24)
        .take(MAX_CANDIDATES)
        .collect();
    let words = image.pointers_at(
        places
            .iter()
            .flat_map(|place| [24, 16, 8].map(|before| place - before)),
    );
    let is_code = |address: &u64| image.function(*address, 0).is_some();
    let record = |place: &u64| record(&words, *place, is_code);
    let mut found: Vec<Algorithm> = places.iter().filter_map(record).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn record(
    words: &BTreeMap<u64, u64>,
    place: u64,
    is_code: impl Fn(&u64) -> bool,
) -> Option<Algorithm> {
    let function = |before: u64| words.get(&(place - before)).copied().filter(&is_code);
    let (init, seal, open) = (function(24)?, function(16)?, function(8)?);
    (init != seal && seal != open && open != init).then_some(Algorithm { init, seal, open })
}

/// A ring as far as this module looks at it.
pub(super) fn sample(elf: &mut Elf) {
    // push rbx; cmp dword [rsi], 5; ret
    let mut function = || elf.function("", b"\x53\x83\x3e\x05\xc3");
    let [small, large, seal, open] = [function(), function(), function(), function()];
    let [init, other_seal, other_open] = [function(), function(), function()];
    let kinds = [
        (AES_128_GCM, [small, seal, open]),
        (AES_256_GCM, [large, seal, open]),
    ];
    let records = kinds
        .into_iter()
        .chain([(CHACHA20_POLY1305, [init, other_seal, other_open])]);
    let bytes: Vec<u8> = records
        .flat_map(|(kind, functions)| {
            [&functions.map(u64::to_le_bytes).concat(), &kind[..]].concat()
        })
        .collect();
    elf.section(".data.rel.ro", &bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Role, recognise};

    const SECOND: &[u8] = b"\x53\x83\x3e\x05\xc3";
    /// cmp dword [rdi], 5; ret
    const FIRST: &[u8] = b"\x83\x3f\x05\xc3";

    fn records(elf: &mut Elf, records: &[(&[u8; 16], [u64; 3])]) {
        let bytes = records.iter().flat_map(|(kind, functions)| {
            [&functions.map(u64::to_le_bytes).concat(), &kind[..]].concat()
        });
        elf.section(".data.rel.ro", &bytes.collect::<Vec<u8>>());
    }

    #[test]
    fn the_functions_of_all_algorithms_are_probed() {
        let mut elf = Elf::new();
        sample(&mut elf);
        let found = recognise(&elf.finish()).unwrap();
        assert_eq!((found.len(), found[0].stack), (1, Stack::Ring), "{found:?}");
        let count = |role| {
            found[0]
                .sites
                .iter()
                .filter(|site| site.role == role)
                .count()
        };
        assert_eq!(count(Role::Enter(Call::RingSeal)), 2);
        assert_eq!(count(Role::Return(Call::RingOpen)), 2);
        assert_eq!(found[0].sites.len(), 8);
    }

    #[test]
    fn aes_alone_is_enough_and_half_of_it_is_not() {
        let mut elf = Elf::new();
        let [one, other, seal, open] = [(); 4].map(|()| elf.function("", SECOND));
        let pair = [
            (AES_128_GCM, [one, seal, open]),
            (AES_256_GCM, [other, seal, open]),
        ];
        for (kept, sites) in [(&pair[..], 4), (&pair[..1], 0), (&pair[1..], 0)] {
            let mut elf = elf.clone();
            records(&mut elf, kept);
            let found = recognise(&elf.finish()).unwrap();
            assert_eq!(
                found
                    .iter()
                    .map(|library| library.sites.len())
                    .sum::<usize>(),
                sites
            );
        }
    }

    #[test]
    fn records_that_do_not_share_their_functions_are_not_rings() {
        let mut elf = Elf::new();
        let [one, other, seal, open] = [(); 4].map(|()| elf.function("", SECOND));
        records(
            &mut elf,
            &[
                (AES_128_GCM, [one, seal, open]),
                (AES_256_GCM, [other, open, seal]),
            ],
        );
        assert_eq!(recognise(&elf.finish()), Ok(vec![]));
    }

    #[test]
    fn two_pairs_are_refused() {
        let mut elf = Elf::new();
        sample(&mut elf);
        sample(&mut elf);
        let found = recognise(&elf.finish()).unwrap();
        assert_eq!(
            found[0].refused,
            Some(Refusal::Ambiguous {
                function: "ring::aead::AES_256_GCM",
                found: 2
            })
        );
    }

    #[test]
    fn functions_with_other_arguments_are_refused() {
        let mut elf = Elf::new();
        let [one, other, seal] = [(); 3].map(|()| elf.function("", SECOND));
        let open = elf.function("", FIRST);
        records(
            &mut elf,
            &[
                (AES_128_GCM, [one, seal, open]),
                (AES_256_GCM, [other, seal, open]),
            ],
        );
        let found = recognise(&elf.finish()).unwrap();
        assert!(
            matches!(
                found[0].refused,
                Some(Refusal::Code {
                    function: "ring::aead::open",
                    ..
                })
            ),
            "{found:?}"
        );
    }
}
