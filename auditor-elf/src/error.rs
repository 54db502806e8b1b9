//! Why a file could not be looked at.

/// The file is not one that could hold a TLS stack; its content is at fault, trying again changes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// It does not begin as a 64-bit little-endian ELF file does.
    #[error("not a 64-bit little-endian ELF file")]
    NotElf,
    /// Its code is for another processor.
    #[error(
        "code for ELF machine {found}, only x86-64 ({}) is understood",
        object::elf::EM_X86_64
    )]
    Machine {
        /// `e_machine` of the file.
        found: u16,
    },
    /// A table points outside the file.
    #[error("the {what} of this ELF file lies outside it")]
    Malformed {
        /// The table.
        what: &'static str,
    },
}
