//! Zstandard (RFC 8878): frames one after the other, taken block by block.
//!
//! The decoder gives out a frame's last window (up to 8 MiB, RFC 9659) only at the frame's end,
//! so events in a long `text/event-stream` under zstd are heard late. Holds that window and one
//! block (up to 128 KiB) besides.

use std::fmt;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{DecodeError, Sink};
use crate::wire::Encoding;

const MAX_WINDOW: u64 = 8 << 20;
const MAX_BLOCK: usize = 128 << 10;
const MALFORMED: DecodeError = DecodeError::Malformed(Encoding::Zstd);

pub(super) struct Zstd {
    frame: FrameDecoder,
    state: State,
    /// The header or block at hand, as far as it came.
    unit: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// At a frame's header.
    Header,
    /// In a skippable frame.
    Skip { left: u32 },
    /// At a block; the frame may end with a checksum.
    Block { checksum: bool },
}

impl Default for Zstd {
    fn default() -> Self {
        let mut frame = FrameDecoder::new();
        frame.set_max_window_size(MAX_WINDOW);
        Self {
            frame,
            state: State::Header,
            unit: Vec::new(),
        }
    }
}

impl fmt::Debug for Zstd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zstd")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Zstd {
    pub(super) fn decode(
        &mut self,
        mut input: &[u8],
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        loop {
            if let State::Skip { left } = &mut self.state {
                let skipped = (*left as usize).min(input.len());
                input = input.get(skipped..).unwrap_or_default();
                *left -= u32::try_from(skipped).unwrap_or(*left);
                if *left > 0 {
                    return Ok(());
                }
                self.state = State::Header;
            }
            // What is missing is known only when its beginning is there.
            while let Some(missing) = self
                .needed()?
                .checked_sub(self.unit.len())
                .filter(|n| *n > 0)
            {
                let (taken, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
                self.unit.extend_from_slice(taken);
                input = rest;
                if taken.len() < missing {
                    return Ok(());
                }
            }
            self.take_unit(sink)?;
            self.unit.clear();
        }
    }

    /// Size of the header or block at hand, as far as its beginning tells.
    fn needed(&self) -> Result<usize, DecodeError> {
        let unit = self.unit.as_slice();
        match self.state {
            State::Skip { .. } => Ok(0),
            State::Header => {
                let [a, b, c, d, descriptor, ..] = *unit else {
                    return Ok(5);
                };
                if is_skippable(u32::from_le_bytes([a, b, c, d])) {
                    return Ok(8);
                }
                let single_segment = descriptor >> 5 & 1;
                let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
                let content_size = match descriptor >> 6 {
                    0 => usize::from(single_segment),
                    1 => 2,
                    2 => 4,
                    _ => 8,
                };
                Ok(5 + usize::from(1 - single_segment) + dictionary + content_size)
            }
            State::Block { checksum } => {
                let [a, b, c, ..] = *unit else { return Ok(3) };
                let header = u32::from_le_bytes([a, b, c, 0]);
                let size = if header >> 1 & 3 == 1 {
                    1
                } else {
                    (header >> 3) as usize
                };
                if size > MAX_BLOCK {
                    return Err(MALFORMED);
                }
                let last = header & 1 == 1;
                Ok(3 + size + if last && checksum { 4 } else { 0 })
            }
        }
    }

    fn take_unit(&mut self, sink: &mut Sink<'_>) -> Result<(), DecodeError> {
        match self.state {
            State::Skip { .. } => {}
            State::Header => {
                if let [a, b, c, d, e, f, g, h] = *self.unit.as_slice()
                    && is_skippable(u32::from_le_bytes([a, b, c, d]))
                {
                    self.state = State::Skip {
                        left: u32::from_le_bytes([e, f, g, h]),
                    };
                    return Ok(());
                }
                self.frame
                    .reset(self.unit.as_slice())
                    .map_err(|_| MALFORMED)?;
                let checksum = self
                    .unit
                    .get(4)
                    .is_some_and(|descriptor| descriptor & 4 != 0);
                self.state = State::Block { checksum };
            }
            State::Block { .. } => {
                self.frame
                    .decode_blocks(self.unit.as_slice(), BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(|_| MALFORMED)?;
                if let Some(bytes) = self.frame.collect() {
                    sink(&bytes)?;
                }
                if self.frame.is_finished() {
                    self.state = State::Header;
                }
            }
        }
        Ok(())
    }
}

const fn is_skippable(magic: u32) -> bool {
    magic & 0xffff_fff0 == 0x184d_2a50
}
