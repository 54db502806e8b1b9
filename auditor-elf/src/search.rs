//! Where given texts are in a file, all found in one pass.
//!
//! Goes through the file in pieces of [`PIECE`] bytes and tells after each that it was passed, so that whoever mapped
//! the file may give its memory back. Knows nothing of ELF. Bound: [`MAX_PLACES`] of each text.

use memchr::memmem::Finder;

/// Bytes gone through at once; they stay in the processor's cache while one text after another is looked for.
pub(crate) const PIECE: usize = 256 << 10;
/// Places of one text that are kept, in the order of the file.
const MAX_PLACES: usize = 1 << 18;

/// What is told of each part of a file that was gone through.
pub(crate) type Passed<'a> = &'a dyn Fn(&[u8]);

/// A part of some bytes.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a> {
    /// Where it begins.
    pub(crate) at: usize,
    /// Its bytes, and all that follow.
    pub(crate) rest: &'a [u8],
    /// How many of them are its own.
    pub(crate) len: usize,
}

impl<'a> Piece<'a> {
    /// Its bytes, and as many of the next one's as a text needs that begins in this one.
    pub(crate) fn reaching(&self, text: usize) -> &'a [u8] {
        let end = self.len.saturating_add(text.saturating_sub(1));
        &self.rest[..end.min(self.rest.len())]
    }
}

/// The pieces of `bytes`; each is passed when the next one is asked for.
pub(crate) fn pieces<'a>(bytes: &'a [u8], passed: Passed<'a>) -> impl Iterator<Item = Piece<'a>> {
    (0..bytes.len().div_ceil(PIECE) + 1).map_while(move |number| {
        let at = number * PIECE;
        if let Some(before) = at.checked_sub(PIECE) {
            passed(&bytes[before..at.min(bytes.len())]);
        }
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let len = rest.len().min(PIECE);
        Some(Piece { at, rest, len })
    })
}

/// Where texts are.
#[derive(Default)]
pub(crate) struct Places(Vec<(&'static [u8], Vec<usize>)>);

impl Places {
    /// Looks for all of `texts`.
    pub(crate) fn of(file: &[u8], texts: &[&'static [u8]], passed: Passed<'_>) -> Self {
        let finders: Vec<Finder<'_>> = texts.iter().map(Finder::new).collect();
        let mut found: Vec<(&[u8], Vec<usize>)> =
            texts.iter().map(|text| (*text, Vec::new())).collect();
        for piece in pieces(file, passed) {
            for (finder, (text, places)) in finders.iter().zip(&mut found) {
                let room = MAX_PLACES - places.len();
                let hits = finder.find_iter(piece.reaching(text.len()));
                places.extend(hits.take(room).map(|at| piece.at + at));
            }
        }
        Self(found)
    }

    /// Where a text begins; `None` when it was not looked for.
    pub(crate) fn get(&self, text: &[u8]) -> Option<&[usize]> {
        let found = self.0.iter().find(|(other, _)| *other == text);
        found.map(|(_, places)| places.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_text_is_found_wherever_pieces_part_it() {
        const TEXT: &[u8] = b"needle";
        for before in 0..8 {
            let mut file = vec![b'.'; 3 * PIECE];
            let places = [
                0,
                PIECE - before,
                2 * PIECE - before,
                3 * PIECE - TEXT.len(),
            ];
            for place in places {
                file[place..place + TEXT.len()].copy_from_slice(TEXT);
            }
            let found = Places::of(&file, &[b"other", TEXT], &|_| {});
            assert_eq!(found.get(TEXT), Some(&places[..]));
            assert_eq!(found.get(b"other"), Some(&[][..]));
            assert_eq!(found.get(b"never asked for"), None);
        }
    }

    #[test]
    fn every_byte_is_passed_once_and_none_too_early() {
        for len in [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 5] {
            let file = vec![0; len];
            let told = RefCell::new(0);
            let passed = |part: &[u8]| *told.borrow_mut() += part.len();
            for piece in pieces(&file, &passed) {
                assert_eq!(*told.borrow(), piece.at);
            }
            assert_eq!(*told.borrow(), len);
        }
    }
}
