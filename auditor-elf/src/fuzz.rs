//! Entry points of the fuzz targets: hostile bytes in, the stated bounds asserted. Not part of the product.

mod elf;

pub use elf::Elf;

use crate::recognise;

/// Sites that a file of the targets' size may have.
const MAX_SITES: usize = 4096;

/// Any bytes as a file.
pub fn fuzz_elf(input: &[u8]) {
    let Ok(libraries) = recognise(input) else {
        return;
    };
    for library in libraries {
        assert!(
            library.sites.len() <= MAX_SITES,
            "{} sites",
            library.sites.len()
        );
        assert!(library.sites.is_sorted());
        assert!(library.sites.is_empty() || library.refused.is_none());
        for site in library.sites {
            assert!(site.offset < input.len() as u64, "{site:?} is past the end");
        }
    }
}

/// Small files that hold every stack, with bytes of the input written over them: each step of it is a place of two bytes
/// and the byte that goes there.
pub fn fuzz_elf_mutated(input: &[u8]) {
    for mut file in crate::stack::samples() {
        for step in input.chunks_exact(3) {
            let place = usize::from(u16::from_le_bytes([step[0], step[1]])) % file.len();
            file[place] = step[2];
        }
        fuzz_elf(&file);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stack::{STACKS, samples};

    #[test]
    fn the_unmutated_files_hold_every_stack() {
        let found: Vec<_> = samples()
            .iter()
            .flat_map(|file| recognise(file).unwrap())
            .collect();
        assert_eq!(found.len(), STACKS.len(), "{found:?}");
        assert!(
            found
                .iter()
                .all(|library| !library.sites.is_empty() || is_hopeless(library)),
            "{found:?}"
        );
    }

    fn is_hopeless(library: &crate::Library) -> bool {
        matches!(library.refused, Some(crate::Refusal::Unhearable { .. }))
    }

    #[test]
    fn every_cut_of_a_file_is_survived() {
        for file in samples() {
            for end in 0..file.len() {
                fuzz_elf(&file[..end]);
            }
        }
    }

    #[test]
    fn every_byte_of_a_file_may_be_wrong() {
        for file in samples() {
            for at in 0..file.len() {
                for byte in [0, 1, 0x80, 0xff] {
                    let mut file = file.clone();
                    file[at] = byte;
                    fuzz_elf(&file);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(input in proptest::collection::vec(any::<u8>(), 0..300)) {
            fuzz_elf(&input);
            fuzz_elf_mutated(&input);
        }
    }
}
