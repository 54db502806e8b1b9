//! Decodes HPACK header blocks (RFC 7541), also on a connection that was joined in its middle.
//!
//! Gives no meaning to fields. Holds one dynamic table of at most 64 KiB; at most the given limit
//! of bytes of one block's fields are handed on.

mod huffman;
mod table;

pub(super) use self::table::MAX_SIZE;
use self::table::{Table, Text};

/// The block does not follow the format; the table is of no use any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("malformed header block")]
pub(super) struct Malformed;

/// Decodes the header blocks of one direction.
#[derive(Debug)]
pub(super) struct Decoder {
    table: Table,
}

impl Decoder {
    /// A decoder for a connection that is heard from its beginning.
    pub(super) const fn new() -> Self {
        Self {
            table: Table::new(),
        }
    }

    /// A decoder for a connection that is joined later. Fields that refer to what was told before
    /// are left out.
    pub(super) const fn joined() -> Self {
        Self {
            table: Table::unknown(),
        }
    }

    /// Bytes held.
    pub(super) const fn buffered(&self) -> usize {
        self.table.size()
    }

    /// Decodes one whole block. Fields beyond `limit` bytes of names and values are left out, and
    /// so are fields that are not wholly known; says whether any was.
    pub(super) fn decode(
        &mut self,
        mut block: &[u8],
        limit: usize,
        field: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<bool, Malformed> {
        let mut left = limit;
        let mut partial = false;
        while let Some(&first) = block.first() {
            let (name, value) = if first & 0x80 != 0 {
                match integer(&mut block, 7)? {
                    0 => return Err(Malformed),
                    index => self.table.get(index),
                }
            } else if first & 0xc0 == 0x40 {
                let (name, value) = self.literal(&mut block, 6)?;
                self.table.insert(name.clone(), value.clone());
                (name, value)
            } else if first & 0xe0 == 0x20 {
                let size = integer(&mut block, 5)?;
                self.table.resize(size);
                continue;
            } else {
                self.literal(&mut block, 4)?
            };
            match (name, value) {
                (Some(name), Some(value)) if name.len() + value.len() <= left => {
                    left -= name.len() + value.len();
                    field(&name, &value);
                }
                _ => partial = true,
            }
        }
        Ok(partial)
    }

    fn literal(&self, block: &mut &[u8], prefix: u32) -> Result<(Text, Text), Malformed> {
        let name = match integer(block, prefix)? {
            0 => Some(string(block)?),
            index => self.table.get(index).0,
        };
        Ok((name, Some(string(block)?)))
    }
}

/// An integer with a prefix of so many bits (section 5.1); at most 28 bits.
fn integer(block: &mut &[u8], prefix: u32) -> Result<usize, Malformed> {
    let mut next = || {
        let (first, rest) = block.split_first().ok_or(Malformed)?;
        *block = rest;
        Ok(usize::from(*first))
    };
    let mask = (1 << prefix) - 1;
    let mut value = next()? & mask;
    if value < mask {
        return Ok(value);
    }
    for shift in [0, 7, 14, 21] {
        let byte = next()?;
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

/// A string (section 5.2).
fn string(block: &mut &[u8]) -> Result<Vec<u8>, Malformed> {
    let huffman = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(block, 7)?;
    let (text, rest) = block.split_at_checked(length).ok_or(Malformed)?;
    *block = rest;
    if huffman {
        huffman::decode(text).ok_or(Malformed)
    } else {
        Ok(text.to_vec())
    }
}

#[cfg(test)]
mod tests;
