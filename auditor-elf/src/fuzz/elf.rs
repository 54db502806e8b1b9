//! Writes small ELF files, for tests and as what fuzzing begins with.
//!
//! One executable segment holds the whole file, so that an address is [`BASE`] plus the offset in the file.

/// Where the file's first byte is in memory.
const BASE: u64 = 0x40_0000;
/// Functions begin at multiples of this.
const ALIGN: usize = 16;

/// A file in the making.
#[derive(Clone, Debug, Default)]
pub struct Elf {
    text: Vec<u8>,
    symbols: Vec<(String, u64, u64)>,
    sections: Vec<(String, Vec<u8>)>,
    local: bool,
}

impl Elf {
    /// An empty one, whose symbols will be exported.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has its symbols in the table that `strip` removes.
    pub fn local(mut self) -> Self {
        self.local = true;
        self
    }

    /// Where the next function will be.
    pub fn next(&self) -> u64 {
        BASE + 64 + 56 + self.text.len().next_multiple_of(ALIGN) as u64
    }

    /// Adds a function and gives its address; `name` empty for one without a symbol.
    pub fn function(&mut self, name: &str, code: &[u8]) -> u64 {
        let address = self.next();
        self.text
            .resize(self.text.len().next_multiple_of(ALIGN), 0xcc);
        self.text.extend_from_slice(code);
        if !name.is_empty() {
            self.symbols
                .push((name.to_owned(), address, code.len() as u64));
        }
        address
    }

    /// Adds a second name for what is at `address`.
    pub fn alias(&mut self, name: &str, address: u64, size: u64) {
        self.symbols.push((name.to_owned(), address, size));
    }

    /// Adds a section of data.
    pub fn section(&mut self, name: &str, data: &[u8]) {
        self.sections.push((name.to_owned(), data.to_vec()));
    }

    /// The offset in the file of what is at `address`.
    pub fn offset(address: u64) -> u64 {
        address - BASE
    }

    /// The file.
    pub fn finish(&self) -> Vec<u8> {
        let (mut symbols, mut strings) = (vec![0; 24], vec![0]);
        for (name, address, size) in &self.symbols {
            symbols.extend_from_slice(&(strings.len() as u32).to_le_bytes());
            symbols.extend_from_slice(&[0x12, 0, 1, 0]); // global function, in section 1
            symbols.extend_from_slice(&address.to_le_bytes());
            symbols.extend_from_slice(&size.to_le_bytes());
            strings.extend_from_slice(name.as_bytes());
            strings.push(0);
        }
        let (kind, table, names) = if self.local {
            (2, ".symtab", ".strtab")
        } else {
            (11, ".dynsym", ".dynstr")
        };
        let mut sections = vec![
            ("", 0u32, 0u32, Vec::new()),
            (".text", 1, 0, self.text.clone()),
        ];
        sections.push((table, kind, 3, symbols));
        sections.push((names, 3, 0, strings));
        sections.extend(
            self.sections
                .iter()
                .map(|(name, data)| (name.as_str(), 1, 0, data.clone())),
        );
        sections.push((".shstrtab", 3, 0, Vec::new()));
        layout(sections)
    }
}

/// Header, one segment, the sections' content, their table.
fn layout(mut sections: Vec<(&str, u32, u32, Vec<u8>)>) -> Vec<u8> {
    let mut names = Vec::new();
    let starts: Vec<u32> = sections
        .iter()
        .map(|(name, ..)| {
            let start = names.len() as u32;
            names.extend_from_slice(name.as_bytes());
            names.push(0);
            start
        })
        .collect();
    let count = sections.len();
    sections[count - 1].3 = names;

    let (mut file, mut table) = (vec![0; 64 + 56], Vec::new());
    for ((_, kind, link, data), name) in sections.iter().zip(starts) {
        if *kind != 0 && file.len() > 120 {
            file.resize(file.len().next_multiple_of(8), 0);
        }
        table.extend_from_slice(&name.to_le_bytes());
        table.extend_from_slice(&kind.to_le_bytes());
        let address = if *kind == 1 {
            BASE + file.len() as u64
        } else {
            0
        };
        let entry = if matches!(kind, 2 | 11) { 24 } else { 0 };
        for value in [2, address, file.len() as u64, data.len() as u64] {
            table.extend_from_slice(&value.to_le_bytes());
        }
        table.extend_from_slice(&link.to_le_bytes());
        table.extend_from_slice(&0u32.to_le_bytes());
        for value in [8u64, entry] {
            table.extend_from_slice(&value.to_le_bytes());
        }
        file.extend_from_slice(data);
    }
    let sections_at = file.len() as u64;
    file.extend_from_slice(&table);
    header(&mut file, sections_at, count as u16);
    file
}

fn header(file: &mut [u8], sections_at: u64, sections: u16) {
    let size = file.len() as u64;
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    for (at, value) in [
        (16, 3u16),
        (18, 62),
        (20, 1),
        (52, 64),
        (54, 56),
        (56, 1),
        (58, 64),
        (60, sections),
    ] {
        file[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    file[62..64].copy_from_slice(&(sections - 1).to_le_bytes());
    for (at, value) in [
        (32, 64),
        (40, sections_at),
        (72, 0),
        (80, BASE),
        (88, BASE),
        (96, size),
        (104, size),
    ] {
        file[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    file[64..68].copy_from_slice(&1u32.to_le_bytes());
    file[68..72].copy_from_slice(&5u32.to_le_bytes());
}
