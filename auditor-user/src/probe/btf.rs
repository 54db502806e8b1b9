//! Reads the kernel's own type information (BTF) for where structures keep their members.
//!
//! Only what [`Offsets`] needs: structures, unions and their members. The format is the kernel's
//! `Documentation/bpf/btf.rst`. Input is trusted (it is the kernel's), yet checked: a bad file is an error.

use std::{collections::HashMap, fs};

use auditor_common::offset::{NONE, Offsets};
use thiserror::Error;

/// Where the kernel shows its types.
pub(crate) const PATH: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_TYPEDEF: u32 = 8;

/// Why the kernel's types could not be read.
#[derive(Debug, Error)]
pub(crate) enum BtfError {
    /// The kernel shows none.
    #[error("cannot read {PATH}: {0}; the kernel must be built with CONFIG_DEBUG_INFO_BTF")]
    Missing(#[source] std::io::Error),
    /// It is not what the format says.
    #[error("malformed type information in {PATH} at byte {at}")]
    Malformed {
        /// Where, in bytes from the beginning.
        at: usize,
    },
}

/// The kernel's structures by name.
pub(crate) struct Btf {
    data: Vec<u8>,
    /// Where each type begins; type 0 is `void`.
    types: Vec<usize>,
    strings: usize,
    structures: HashMap<Vec<u8>, Vec<u32>>,
    tracepoints: HashMap<Vec<u8>, u32>,
}

impl Btf {
    /// Reads the running kernel's.
    ///
    /// # Errors
    /// When the file is absent or malformed.
    pub(crate) fn of_kernel() -> Result<Self, BtfError> {
        Self::parse(fs::read(PATH).map_err(BtfError::Missing)?)
    }

    fn parse(data: Vec<u8>) -> Result<Self, BtfError> {
        let mut btf = Self {
            data,
            types: vec![0],
            strings: 0,
            structures: HashMap::new(),
            tracepoints: HashMap::new(),
        };
        if btf.word(0)? as u16 != MAGIC {
            return Err(BtfError::Malformed { at: 0 });
        }
        let header = btf.word(4)? as usize;
        let (types, types_len, strings) = (btf.word(8)?, btf.word(12)?, btf.word(16)?);
        btf.strings = header + strings as usize;
        let mut at = header + types as usize;
        let end = at + types_len as usize;
        while at < end {
            let info = btf.word(at + 4)?;
            let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
            let id = btf.types.len() as u32;
            btf.types.push(at);
            if matches!(kind, KIND_STRUCT | KIND_UNION) {
                let name = btf.string(btf.word(at)?)?.to_vec();
                if !name.is_empty() {
                    btf.structures.entry(name).or_default().push(id);
                }
            } else if kind == KIND_TYPEDEF {
                let name = btf.string(btf.word(at)?)?;
                if name.starts_with(b"btf_trace_") {
                    let name = name.to_vec();
                    btf.tracepoints.insert(name, id);
                }
            }
            at += 12
                + match kind {
                    1 | 14 | 17 => 4,
                    3 => 12,
                    KIND_STRUCT | KIND_UNION | 15 | 19 => 12 * count,
                    6 | 13 => 8 * count,
                    _ => 0,
                };
        }
        Ok(btf)
    }

    /// Every offset that the kernel side wants, and the names of those that this kernel has not.
    ///
    /// # Errors
    /// When the type information is malformed.
    pub(crate) fn offsets(&self) -> Result<(Vec<u32>, Vec<&'static str>), BtfError> {
        let mut values = Vec::with_capacity(Offsets::MEMBERS.len());
        let mut missing = Vec::new();
        for (field, structure, paths) in Offsets::MEMBERS {
            let mut found = None;
            for path in *paths {
                found = self.offset(structure, path)?;
                if found.is_some() {
                    break;
                }
            }
            if found.is_none() {
                missing.push(*field);
            }
            values.push(found.unwrap_or(NONE));
        }
        Ok((values, missing))
    }

    /// Whether the tracepoint `name` exists with at least `parameters` parameters.
    pub(crate) fn has_tracepoint(&self, name: &str, parameters: usize) -> bool {
        self.tracepoint_parameters(name)
            .is_ok_and(|found| found.is_some_and(|count| count >= parameters))
    }

    fn tracepoint_parameters(&self, name: &str) -> Result<Option<usize>, BtfError> {
        let Some(&id) = self.tracepoints.get(format!("btf_trace_{name}").as_bytes()) else {
            return Ok(None);
        };
        // typedef -> pointer -> function prototype, whose first parameter is the tracepoint's own data.
        let pointer = self.word(self.at(id)? + 8)?;
        let prototype = self.word(self.at(pointer)? + 8)?;
        let info = self.word(self.at(prototype)? + 4)?;
        Ok(Some((info & 0xffff).saturating_sub(1) as usize))
    }

    /// Byte offset of a member, by a dotted path that may pass through anonymous members.
    fn offset(&self, structure: &str, path: &str) -> Result<Option<u32>, BtfError> {
        'structure: for &id in self
            .structures
            .get(structure.as_bytes())
            .into_iter()
            .flatten()
        {
            let (mut current, mut bits) = (id, 0);
            for name in path.split('.') {
                let Some((at, inner)) = self.member(current, name.as_bytes(), 0)? else {
                    continue 'structure;
                };
                bits += at;
                current = inner;
            }
            return Ok(Some(bits / 8));
        }
        Ok(None)
    }

    /// Bit offset and type of a member.
    fn member(&self, id: u32, name: &[u8], depth: u8) -> Result<Option<(u32, u32)>, BtfError> {
        let at = self.at(self.strip(id)?)?;
        let info = self.word(at + 4)?;
        if !matches!(info >> 24 & 0x1f, KIND_STRUCT | KIND_UNION) || depth > 8 {
            return Ok(None);
        }
        let has_bitfields = info >> 31 == 1;
        for index in 0..(info & 0xffff) as usize {
            let member = at + 12 + 12 * index;
            let inner = self.word(member + 4)?;
            let offset = self.word(member + 8)? & if has_bitfields { 0xff_ffff } else { u32::MAX };
            let called = self.string(self.word(member)?)?;
            if called == name {
                return Ok(Some((offset, inner)));
            }
            if called.is_empty()
                && let Some((deeper, inner)) = self.member(inner, name, depth + 1)?
            {
                return Ok(Some((offset + deeper, inner)));
            }
        }
        Ok(None)
    }

    /// The type behind typedefs and qualifiers.
    fn strip(&self, mut id: u32) -> Result<u32, BtfError> {
        for _ in 0..16 {
            let at = self.at(id)?;
            if !matches!(self.word(at + 4)? >> 24 & 0x1f, 8..=11 | 18) {
                break;
            }
            id = self.word(at + 8)?;
        }
        Ok(id)
    }

    fn at(&self, id: u32) -> Result<usize, BtfError> {
        self.types
            .get(id as usize)
            .copied()
            .ok_or(BtfError::Malformed { at: 0 })
    }

    fn word(&self, at: usize) -> Result<u32, BtfError> {
        let bytes = self
            .data
            .get(at..at + 4)
            .ok_or(BtfError::Malformed { at })?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn string(&self, offset: u32) -> Result<&[u8], BtfError> {
        let at = self.strings + offset as usize;
        let rest = self.data.get(at..).ok_or(BtfError::Malformed { at })?;
        let len = rest
            .iter()
            .position(|&byte| byte == 0)
            .ok_or(BtfError::Malformed { at })?;
        Ok(&rest[..len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_with_type_information_has_every_offset() {
        let Ok(btf) = Btf::of_kernel() else { return };
        let (values, missing) = btf.offsets().unwrap();
        assert_eq!(values.len(), Offsets::MEMBERS.len());
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn tracepoints_are_known_by_their_number_of_parameters() {
        let Ok(btf) = Btf::of_kernel() else { return };
        assert!(btf.has_tracepoint("sys_exit", 2));
        assert!(!btf.has_tracepoint("sys_exit", 3));
        assert!(!btf.has_tracepoint("no_such_thing", 0));
    }

    #[test]
    fn a_malformed_file_is_an_error() {
        for len in 0..24 {
            assert!(Btf::parse(vec![0x9f; len]).is_err());
        }
        let mut header = vec![0; 24];
        header[..2].copy_from_slice(&MAGIC.to_le_bytes());
        header[8..16].copy_from_slice(&[0xff; 8]);
        assert!(Btf::parse(header).is_err());
    }
}
