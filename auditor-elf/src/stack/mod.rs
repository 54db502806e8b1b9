//! The stacks that are known, a file each. None knows of another.

mod gnutls;
mod go;
mod openssl;

use crate::{Library, fuzz::Elf, image::Image};

/// Looks for one stack in a file.
type Recognise = fn(&Image<'_>) -> Option<Library>;

/// All that are known.
pub(crate) const STACKS: [Recognise; 3] = [openssl::recognise, go::recognise, gnutls::recognise];

/// A small file that holds every stack.
pub(crate) fn samples() -> Vec<u8> {
    let mut elf = Elf::new();
    openssl::sample(&mut elf);
    go::sample(&mut elf);
    gnutls::sample(&mut elf);
    elf.finish()
}
