//! A bounded view of an ELF file: what is mapped where, functions by symbol name, pointers with their relocations.
//!
//! Knows nothing of TLS. Goes through the file in pieces (see [`search`]). Reads at most [`MAX_SYMBOLS`] entries of a table, [`MAX_LOADS`] segments and
//! [`MAX_FUNCTION`] bytes of one function.

use std::collections::BTreeMap;

use object::{
    LittleEndian, elf,
    read::elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable, Sym},
};

use crate::{
    ElfError,
    search::{self, Passed, Piece, Places},
};

type Header = elf::FileHeader64<LittleEndian>;
type Symbol = elf::Sym64<LittleEndian>;

const ENDIAN: LittleEndian = LittleEndian;
/// Symbols or relocations looked at in one table; the largest programs seen have a tenth of it.
const MAX_SYMBOLS: usize = 4 << 20;
/// Segments looked at; linkers make about a dozen.
const MAX_LOADS: usize = 64;
/// Functions of one name; more are not believed.
const MAX_NAMESAKES: usize = 8;
/// Places that hold one address; more are not looked at.
const MAX_POINTERS: usize = 64;
/// Texts with one ending; and the longest path believed before the ending.
const MAX_TEXTS: usize = 16;
const MAX_TEXT: usize = 1024;
/// Bytes of code looked at in one function.
pub(crate) const MAX_FUNCTION: usize = 64 << 10;

/// A part of the file that is mapped to be executed or read.
#[derive(Clone, Copy)]
struct Load {
    address: u64,
    offset: u64,
    size: u64,
    executable: bool,
}

/// The parts of an ELF file that tell where its functions are.
pub(crate) struct Image<'a> {
    file: &'a [u8],
    loads: Vec<Load>,
    sections: SectionTable<'a, Header>,
    places: Places,
    passed: Passed<'a>,
}

/// Machine code at a place that is mapped executable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function<'a> {
    /// Where it is in the file.
    pub(crate) offset: u64,
    /// Where it is in memory, before relocation.
    pub(crate) address: u64,
    /// Its code; cut at [`MAX_FUNCTION`], and a guess of the same bound where `sized` is false.
    pub(crate) code: &'a [u8],
    /// Whether a symbol or a table told where it ends, and all of it is in `code`.
    pub(crate) sized: bool,
}

/// Functions found by name.
pub(crate) struct Named<'a>(Vec<(&'static str, Function<'a>)>);

impl<'a> Image<'a> {
    /// Reads the headers.
    pub(crate) fn parse(file: &'a [u8]) -> Result<Self, ElfError> {
        let header = Header::parse(file).map_err(|_| ElfError::NotElf)?;
        if header.endian().is_err() {
            return Err(ElfError::NotElf);
        }
        let machine = header.e_machine(ENDIAN);
        if machine != elf::EM_X86_64 {
            return Err(ElfError::Machine { found: machine });
        }
        let segments = header
            .program_headers(ENDIAN, file)
            .map_err(|_| ElfError::Malformed {
                what: "program header table",
            })?;
        let loads = segments
            .iter()
            .filter(|segment| segment.p_type(ENDIAN) == elf::PT_LOAD)
            .take(MAX_LOADS)
            .map(|segment| Load {
                address: segment.p_vaddr(ENDIAN),
                offset: segment.p_offset(ENDIAN),
                size: segment.p_filesz(ENDIAN),
                executable: segment.p_flags(ENDIAN) & elf::PF_X != 0,
            })
            .collect();
        // Without sections there are no symbols, but a stack may be found by its bytes.
        let sections = header.sections(ENDIAN, file).unwrap_or_default();
        Ok(Self {
            file,
            loads,
            sections,
            places: Places::default(),
            passed: &|_| {},
        })
    }

    /// Looks for all of `texts` at once, and tells from now on what was gone through.
    pub(crate) fn searched(self, texts: &[&'static [u8]], passed: Passed<'a>) -> Self {
        Self {
            places: Places::of(self.file, texts, passed),
            passed,
            ..self
        }
    }

    /// Where a text begins in the file; at once if it was among those of [`Self::searched`].
    pub(crate) fn places(&self, text: &'static [u8]) -> Vec<usize> {
        if let Some(places) = self.places.get(text) {
            return places.to_vec();
        }
        let found = Places::of(self.file, &[text], self.passed);
        found.get(text).unwrap_or_default().to_vec()
    }

    /// The file's bytes from `address` to the end of its segment.
    fn mapped(&self, address: u64, executable: bool) -> Option<(u64, &'a [u8])> {
        self.loads
            .iter()
            .filter(|load| load.executable || !executable)
            .find_map(|load| {
                let inside = address
                    .checked_sub(load.address)
                    .filter(|inside| *inside < load.size)?;
                let offset = load.offset.checked_add(inside)?;
                let start = usize::try_from(offset).ok()?;
                let rest = usize::try_from(load.size - inside).ok()?;
                let end = start.saturating_add(rest).min(self.file.len());
                Some((offset, self.file.get(start..end)?))
            })
    }

    /// The function at `address`; `size` 0 when it is not known.
    pub(crate) fn function(&self, address: u64, size: u64) -> Option<Function<'a>> {
        let (offset, bytes) = self.mapped(address, true)?;
        let known = usize::try_from(size).unwrap_or(usize::MAX);
        let sized = known != 0 && known <= bytes.len().min(MAX_FUNCTION);
        let code = &bytes[..bytes.len().min(if sized { known } else { MAX_FUNCTION })];
        (!code.is_empty()).then_some(Function {
            offset,
            address,
            code,
            sized,
        })
    }

    /// The defined functions of these names: those exported, and where a name is not exported, its local ones.
    pub(crate) fn named(&self, names: &[&'static str]) -> Named<'a> {
        let mut found = Named(Vec::new());
        for table in [elf::SHT_DYNSYM, elf::SHT_SYMTAB] {
            let missing: Vec<&'static str> = names
                .iter()
                .copied()
                .filter(|name| found.all(name).is_empty())
                .collect();
            if !missing.is_empty() {
                self.search(table, &missing, &mut found);
            }
        }
        found
    }

    fn search(&self, table: u32, names: &[&'static str], found: &mut Named<'a>) {
        let Some((symbols, strings)) = self.symbols(table) else {
            return;
        };
        for symbol in symbols.iter().take(MAX_SYMBOLS) {
            if symbol.st_type() != elf::STT_FUNC || symbol.st_shndx(ENDIAN) == elf::SHN_UNDEF {
                continue;
            }
            let Some(text) = strings.get(symbol.st_name(ENDIAN) as usize..) else {
                continue;
            };
            let Some(name) = names.iter().find(|name| is_string(text, name)) else {
                continue;
            };
            let Some(function) = self.function(symbol.st_value(ENDIAN), symbol.st_size(ENDIAN))
            else {
                continue;
            };
            let same = found.all(name);
            if same.len() < MAX_NAMESAKES
                && same.iter().all(|other| other.address != function.address)
            {
                found.0.push((name, function));
            }
        }
    }

    /// A symbol table and the names in it.
    fn symbols(&self, table: u32) -> Option<(&'a [Symbol], &'a [u8])> {
        let section = self
            .sections
            .iter()
            .find(|section| section.sh_type(ENDIAN) == table)?;
        let symbols = section.data_as_array(ENDIAN, self.file).ok()?;
        let strings = self
            .sections
            .section(object::SectionIndex(section.sh_link(ENDIAN) as usize))
            .ok()?;
        Some((symbols, strings.data(ENDIAN, self.file).ok()?))
    }

    /// Whether the zero-terminated `text` is at `address`.
    pub(crate) fn is_string(&self, address: u64, text: &str) -> bool {
        self.mapped(address, false)
            .is_some_and(|(_, bytes)| is_string(bytes, text))
    }

    /// The names of exported symbols and of their versions, one after another, each ended by a zero.
    pub(crate) fn dynamic_names(&self) -> &'a [u8] {
        self.symbols(elf::SHT_DYNSYM)
            .map_or(&[], |(_, strings)| strings)
    }

    /// Where a byte of the file is in memory.
    pub(crate) fn address_of(&self, offset: u64) -> Option<u64> {
        self.loads.iter().find_map(|load| {
            let inside = offset
                .checked_sub(load.offset)
                .filter(|inside| *inside < load.size)?;
            load.address.checked_add(inside)
        })
    }

    /// The places in memory that hold the address `target` once the program is loaded; the first few.
    pub(crate) fn pointers_to(&self, target: u64) -> Vec<u64> {
        let bytes = target.to_le_bytes();
        let pieces = search::pieces(self.file, self.passed);
        let written = pieces
            .flat_map(|piece| {
                let found = memchr::memmem::find_iter(piece.reaching(bytes.len()), &bytes);
                found.map(move |at| piece.at + at).collect::<Vec<_>>()
            })
            .filter_map(|at| self.address_of(at as u64))
            .filter(|address| address % 8 == 0);
        let relocated = self
            .relative()
            .filter(|(_, addend)| *addend == target)
            .map(|(place, _)| place);
        relocated.chain(written).take(MAX_POINTERS).collect()
    }

    /// The addresses that are at these places once the program is loaded, counted as in the file.
    pub(crate) fn pointers_at(&self, places: impl IntoIterator<Item = u64>) -> BTreeMap<u64, u64> {
        let written = |place| {
            Some(u64::from_le_bytes(
                *self.mapped(place, false)?.1.first_chunk()?,
            ))
        };
        let mut found: BTreeMap<u64, u64> = places
            .into_iter()
            .filter_map(|place| Some((place, written(place)?)))
            .collect();
        for (place, addend) in self.relative() {
            if let Some(value) = found.get_mut(&place) {
                *value = addend;
            }
        }
        found
    }

    /// Places that the loader fills with an address in this file, and that address.
    fn relative(&self) -> impl Iterator<Item = (u64, u64)> {
        let tables = self
            .sections
            .iter()
            .filter(|section| section.sh_type(ENDIAN) == elf::SHT_RELA);
        tables
            .filter_map(|section| {
                section
                    .data_as_array::<elf::Rela64<LittleEndian>, _>(ENDIAN, self.file)
                    .ok()
            })
            .flat_map(|entries| entries.iter().take(MAX_SYMBOLS))
            .filter(|entry| entry.r_type(ENDIAN, false) == elf::R_X86_64_RELATIVE)
            .map(|entry| {
                (
                    entry.r_offset.get(ENDIAN),
                    entry.r_addend.get(ENDIAN) as u64,
                )
            })
    }

    /// Addresses in this file that the loader puts somewhere.
    pub(crate) fn relative_targets(&self) -> impl Iterator<Item = u64> {
        self.relative().map(|(_, addend)| addend)
    }

    /// Pieces of the executable parts, each with its address.
    pub(crate) fn code(&self) -> impl Iterator<Item = (u64, Piece<'a>)> {
        self.loads
            .iter()
            .filter(|load| load.executable)
            .filter_map(|load| Some((load.address, self.mapped(load.address, true)?.1)))
            .flat_map(|(address, code)| {
                search::pieces(code, self.passed)
                    .map(move |piece| (address.wrapping_add(piece.at as u64), piece))
            })
    }

    /// The bytes right before an address in an executable part.
    pub(crate) fn before(&self, address: u64) -> Option<&'a [u8; 8]> {
        self.mapped(address.checked_sub(8)?, true)?.1.first_chunk()
    }

    /// Where the zero-terminated texts begin that end in `end`; the first few.
    pub(crate) fn texts_ending(&self, end: &'static str) -> Vec<u64> {
        self.places(end.as_bytes())
            .into_iter()
            .filter(|at| self.file.get(at + end.len()) == Some(&0))
            .take(MAX_TEXTS)
            .filter_map(|at| {
                let before = self.file[at.saturating_sub(MAX_TEXT)..at].iter().rev();
                let length = before
                    .take_while(|byte| byte.is_ascii_graphic() || **byte == b' ')
                    .count();
                self.address_of((at - length) as u64)
            })
            .collect()
    }

    /// Every byte of the file.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.file
    }
}

impl<'a> Named<'a> {
    /// Every function of this name, mostly one.
    pub(crate) fn all(&self, name: &str) -> Vec<Function<'a>> {
        self.0
            .iter()
            .filter(|(found, _)| *found == name)
            .map(|(_, function)| *function)
            .collect()
    }

    /// The function, if there is exactly one of this name.
    pub(crate) fn one(&self, name: &str) -> Option<Function<'a>> {
        match self.all(name)[..] {
            [function] => Some(function),
            _ => None,
        }
    }

    /// Whether there is one.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(found, _)| *found == name)
    }
}

/// Whether `text` begins with the zero-terminated `name`.
fn is_string(text: &[u8], name: &str) -> bool {
    text.strip_prefix(name.as_bytes())
        .is_some_and(|rest| rest.first() == Some(&0))
}
