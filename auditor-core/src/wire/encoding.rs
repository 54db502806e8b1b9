//! Undoes HTTP content encodings piece by piece: gzip, deflate, br, zstd (RFC 9110, section 8.4.1).
//!
//! Looks at no content. A body larger than [`Limits::decoded`] whose ratio exceeds
//! [`Limits::ratio`] is refused. Holds the window of the encoding: 32 KiB for gzip and deflate,
//! up to 16 MiB for br, up to 8 MiB for zstd (RFC 9659).

mod brotli;
mod gzip;
mod zstd;

use flate2::{Decompress, FlushDecompress, Status};

use self::{brotli::Brotli, gzip::Gzip, zstd::Zstd};
use super::{Encoding, Limits};

/// Why a body cannot be undone any further.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum DecodeError {
    /// The body does not follow its encoding.
    #[error("malformed {0:?} body")]
    Malformed(Encoding),
    /// The body is a decompression bomb.
    #[error("{made} bytes out of {taken}: more than the limits of size and ratio allow")]
    TooLarge {
        /// Transferred size so far.
        taken: u64,
        /// Undone size so far.
        made: u64,
    },
}

/// Takes undone bytes.
type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), DecodeError> + 'a;

/// Undoes the encoding of one body.
#[derive(Debug)]
pub(super) struct Decoder {
    kind: Kind,
    taken: u64,
    made: u64,
}

#[derive(Debug)]
enum Kind {
    Gzip(Box<Gzip>),
    /// Deflate of which the first byte has not yet told whether it is zlib or raw.
    NewDeflate(Option<u8>),
    Deflate(Box<Decompress>),
    Brotli(Box<Brotli>),
    Zstd(Box<Zstd>),
    /// The encoded data came to its end; whatever follows is ignored.
    Ended,
}

impl Decoder {
    /// Creates the decoder of an encoding; `None` when there is nothing to undo, or no way.
    pub(super) fn new(encoding: Encoding) -> Option<Self> {
        let kind = match encoding {
            Encoding::Gzip => Kind::Gzip(Box::default()),
            Encoding::Deflate => Kind::NewDeflate(None),
            Encoding::Brotli => Kind::Brotli(Box::default()),
            Encoding::Zstd => Kind::Zstd(Box::default()),
            Encoding::Identity | Encoding::Unknown => return None,
        };
        Some(Self {
            kind,
            taken: 0,
            made: 0,
        })
    }

    /// Deflate without any header, as in WebSocket messages.
    pub(super) fn raw_deflate() -> Self {
        Self {
            kind: Kind::Deflate(Box::new(Decompress::new(false))),
            taken: 0,
            made: 0,
        }
    }

    /// Takes the next transferred bytes and hands what they stand for to `take`. After an error
    /// the body is lost.
    pub(super) fn decode(
        &mut self,
        input: &[u8],
        limits: &Limits,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<(), DecodeError> {
        self.taken = self.taken.saturating_add(input.len() as u64);
        let (taken, made) = (self.taken, &mut self.made);
        let mut sink = |bytes: &[u8]| {
            *made = made.saturating_add(bytes.len() as u64);
            if *made > limits.decoded && *made / limits.ratio.max(1) > taken {
                return Err(DecodeError::TooLarge { taken, made: *made });
            }
            take(bytes);
            Ok(())
        };
        self.kind.decode(input, &mut sink)
    }
}

impl Kind {
    fn decode(&mut self, input: &[u8], sink: &mut Sink<'_>) -> Result<(), DecodeError> {
        match self {
            Self::Gzip(gzip) => gzip.decode(input, sink),
            Self::Brotli(brotli) => brotli.decode(input, sink),
            Self::Zstd(zstd) => zstd.decode(input, sink),
            Self::Ended => Ok(()),
            Self::NewDeflate(first) => {
                let [byte, rest @ ..] = input else {
                    return Ok(());
                };
                match *first {
                    None => {
                        *first = Some(*byte);
                        self.decode(rest, sink)
                    }
                    Some(first) => {
                        // A zlib header is deflate's method with a check over both bytes.
                        let check = u16::from_be_bytes([first, *byte]);
                        let zlib = first & 0x0f == 8 && check.is_multiple_of(31);
                        *self = Self::Deflate(Box::new(Decompress::new(zlib)));
                        self.decode(&[first], sink)?;
                        self.decode(input, sink)
                    }
                }
            }
            Self::Deflate(inflate) => {
                let (_, ended) = run_inflate(inflate, input, sink)
                    .map_err(|error| error.unwrap_or(DecodeError::Malformed(Encoding::Deflate)))?;
                if ended {
                    *self = Self::Ended;
                }
                Ok(())
            }
        }
    }
}

/// Inflates; says how much of the input was used and whether the data came to its end. An error
/// without a reason is malformed input.
fn run_inflate(
    inflate: &mut Decompress,
    input: &[u8],
    sink: &mut Sink<'_>,
) -> Result<(usize, bool), Option<DecodeError>> {
    let mut buffer = [0; 16 * 1024];
    let mut used = 0;
    loop {
        let rest = input.get(used..).unwrap_or_default();
        let (in_before, out_before) = (inflate.total_in(), inflate.total_out());
        let status = inflate
            .decompress(rest, &mut buffer, FlushDecompress::None)
            .map_err(|_| None)?;
        let taken = usize::try_from(inflate.total_in() - in_before).unwrap_or(rest.len());
        let made = usize::try_from(inflate.total_out() - out_before).unwrap_or(0);
        used += taken;
        if made > 0 {
            sink(buffer.get(..made).unwrap_or_default()).map_err(Some)?;
        }
        match status {
            Status::StreamEnd => return Ok((used, true)),
            _ if taken == 0 && made == 0 => {
                return if used < input.len() {
                    Err(None)
                } else {
                    Ok((used, false))
                };
            }
            _ => {}
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
