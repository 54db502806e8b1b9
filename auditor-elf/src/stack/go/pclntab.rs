//! The table of functions that every Go program carries, stripped or not.
//!
//! Finds it, finds functions in it by name, and tells where the addresses in it begin. Looks at no code. Bounds:
//! [`MAX_CANDIDATES`] places that look like a table, [`MAX_FUNCTIONS`] functions.

use crate::{Refusal, image::Image};

/// The table's first bytes since Go 1.20 and before: magic, two zeros, step of code addresses, size of a pointer.
pub(super) const MAGICS: [&[u8]; 2] = [
    b"\xf1\xff\xff\xff\0\0\x01\x08",
    b"\xf0\xff\xff\xff\0\0\x01\x08",
];
/// `textStart` in the header; 0 since it would need a relocation.
const TEXT_START: usize = 24;
/// `minpc` and `text` in the runtime's `moduledata`, whose first word points at the table.
const MIN_PC: u64 = 160;
const TEXT: u64 = 176;
const MAX_CANDIDATES: usize = 64;
const MAX_FUNCTIONS: usize = 4 << 20;

/// The table, split into the parts used here.
pub(super) struct Table<'a> {
    address: u64,
    text_start: u64,
    /// Names, each ended by a zero.
    names: &'a [u8],
    /// Pairs of a function's start and the place of its record, and at last an end; then the records.
    functions: &'a [u8],
    count: usize,
}

impl<'a> Table<'a> {
    /// The first place in the file that holds a well-formed table.
    pub(super) fn find(image: &Image<'a>) -> Option<Self> {
        MAGICS.iter().find_map(|magic| {
            let mut places = image.places(magic).into_iter().take(MAX_CANDIDATES);
            places.find_map(|at| Self::parse(&image.bytes()[at..], image.address_of(at as u64)?))
        })
    }

    fn parse(bytes: &'a [u8], address: u64) -> Option<Self> {
        let count = usize::try_from(word(bytes, 8)?)
            .ok()
            .filter(|count| (1..=MAX_FUNCTIONS).contains(count))?;
        let part = |at| usize::try_from(word(bytes, at)?).ok();
        let (names, units, functions) = (part(32)?, part(40)?, part(64)?);
        let functions = bytes.get(functions..)?;
        functions.get(..count * 8 + 4)?;
        let names = bytes.get(names..units)?;
        Some(Self {
            address,
            text_start: word(bytes, TEXT_START)?,
            names,
            functions,
            count,
        })
    }

    /// Whether the program has a function of this name, or inlined one.
    pub(super) fn has(&self, name: &str) -> bool {
        self.name(name).is_some()
    }

    /// Where a name is among the names.
    fn name(&self, name: &str) -> Option<u32> {
        let whole = [b"\0", name.as_bytes(), b"\0"].concat();
        let at = memchr::memmem::find(self.names, &whole)?;
        u32::try_from(at + 1).ok()
    }

    /// Where a function begins, counted from the begin of all code, and its size.
    pub(super) fn function(&self, name: &'static str) -> Result<(u64, u64), Refusal> {
        let missing = Refusal::Missing { function: name };
        let wanted = self.name(name).ok_or(missing)?;
        let mut found = (0..self.count).filter(|at| self.name_of(*at) == Some(wanted));
        let at = found.next().ok_or(missing)?;
        match found.count() {
            0 => {}
            more => {
                return Err(Refusal::Ambiguous {
                    function: name,
                    found: more + 1,
                });
            }
        }
        let (start, end) = self.start(at).zip(self.start(at + 1)).ok_or(missing)?;
        let size = end.checked_sub(start).ok_or(Refusal::Code {
            function: name,
            why: "it ends before it begins",
        })?;
        Ok((start.into(), size.into()))
    }

    /// The name of a function, as a place among the names: second field of its record, after its start.
    fn name_of(&self, at: usize) -> Option<u32> {
        let record = half(self.functions, at * 8 + 4)? as usize;
        half(self.functions, record.checked_add(4)?)
    }

    /// The start of a function; of the one past the last, the end of all.
    fn start(&self, at: usize) -> Option<u32> {
        half(self.functions, at * 8)
    }

    /// Where the code begins from which starts are counted.
    ///
    /// The runtime's own record knows it: it points at the table, and its lowest address of code is that of the
    /// table's first function. `.text` is elsewhere when a C linker put other code before.
    pub(super) fn text(&self, image: &Image<'_>) -> Option<u64> {
        let first = u64::from(self.start(0)?);
        let modules = image.pointers_to(self.address);
        let fields = modules
            .iter()
            .flat_map(|at| [at.wrapping_add(TEXT), at.wrapping_add(MIN_PC)]);
        let words = image.pointers_at(fields);
        let mut own = modules.iter().filter_map(|module| {
            let text = words.get(&module.wrapping_add(TEXT))?;
            let lowest = words.get(&module.wrapping_add(MIN_PC))?;
            (text.checked_add(first) == Some(*lowest)).then_some(*text)
        });
        own.next()
            .or((self.text_start != 0).then_some(self.text_start))
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A table of these functions, the last of which ends at `end`.
pub(super) fn sample(text: u64, functions: &[(&str, u32)], end: u32) -> Vec<u8> {
    let (mut names, mut starts, mut records) = (vec![0], Vec::new(), Vec::new());
    let table = functions.len() * 8 + 4;
    for (name, start) in functions {
        starts.extend_from_slice(&start.to_le_bytes());
        starts.extend_from_slice(&((table + records.len()) as u32).to_le_bytes());
        records.extend_from_slice(&start.to_le_bytes());
        records.extend_from_slice(&(names.len() as u32).to_le_bytes());
        names.extend_from_slice(name.as_bytes());
        names.push(0);
    }
    starts.extend_from_slice(&end.to_le_bytes());
    let mut bytes = MAGICS[0].to_vec();
    let after = 72 + names.len() as u64;
    for value in [
        functions.len() as u64,
        0,
        text,
        72,
        after,
        after,
        after,
        after,
    ] {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    [bytes, names, starts, records].concat()
}
