//! Brotli (RFC 7932), without the large windows that HTTP does not have.

use std::fmt;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::{DecodeError, Sink};
use crate::wire::Encoding;

pub(super) struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    ended: bool,
}

impl Default for Brotli {
    fn default() -> Self {
        let alloc = StandardAlloc::default;
        Self {
            state: BrotliState::new_strict(alloc(), alloc(), alloc()),
            ended: false,
        }
    }
}

impl fmt::Debug for Brotli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Brotli")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Brotli {
    pub(super) fn decode(&mut self, input: &[u8], sink: &mut Sink<'_>) -> Result<(), DecodeError> {
        let mut buffer = [0; 16 * 1024];
        let (mut left, mut at, mut total) = (input.len(), 0, 0);
        while !self.ended {
            let (mut room, mut made) = (buffer.len(), 0);
            let result = BrotliDecompressStream(
                &mut left,
                &mut at,
                input,
                &mut room,
                &mut made,
                &mut buffer,
                &mut total,
                &mut self.state,
            );
            if made > 0 {
                sink(buffer.get(..made).unwrap_or_default())?;
            }
            match result {
                BrotliResult::ResultSuccess => self.ended = true,
                BrotliResult::NeedsMoreInput => break,
                BrotliResult::NeedsMoreOutput => {}
                BrotliResult::ResultFailure => {
                    return Err(DecodeError::Malformed(Encoding::Brotli));
                }
            }
        }
        Ok(())
    }
}
