//! Which TLS stacks a mapped file holds, and where to probe them: bytes in, file offsets out.
//!
//! Opens no file, looks at no process, attaches nothing. The bytes are hostile: nothing here panics, and
//! module `image` bounds what is read of a file. x86-64 only.
//!
//! ```text
//! file bytes ─image─> segments, sections, symbols ─stack/*─> Library { stack, sites } ── the caller attaches
//! ```

mod code;
mod error;
pub mod fuzz;
mod image;
mod library;
mod reports;
mod search;
mod stack;

pub use error::ElfError;
pub use library::{Call, Count, Library, Refusal, Role, Site, Stack};

/// Tells which TLS stacks `file`, the whole of an ELF executable or shared library, holds; mostly none.
///
/// A stack that is there but cannot be probed is told, too: it has a refusal and no sites.
///
/// # Errors
///
/// When `file` is no ELF file of this machine, or lies about its own layout.
pub fn recognise(file: &[u8]) -> Result<Vec<Library>, ElfError> {
    recognise_passing(file, &|_| {})
}

/// The same, and tells `passed` of each part of `file` that was gone through: whoever mapped the file may give the
/// memory back. Parts are told more than once, and may be read again.
///
/// # Errors
///
/// As [`recognise`].
pub fn recognise_passing(file: &[u8], passed: &dyn Fn(&[u8])) -> Result<Vec<Library>, ElfError> {
    let image = image::Image::parse(file)?.searched(&stack::TEXTS.concat(), passed);
    Ok(stack::STACKS
        .iter()
        .filter_map(|recognise| recognise(&image))
        .collect())
}
