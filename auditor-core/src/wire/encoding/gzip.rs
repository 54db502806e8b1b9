//! gzip (RFC 1952): members one after the other, each a header, deflate data and a trailer.
//!
//! Checks no checksum: the receiver does.

use flate2::Decompress;

use super::{DecodeError, Sink, run_inflate};
use crate::wire::Encoding;

const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const HEADER_CHECK: u8 = 1 << 1;

#[derive(Debug)]
pub(super) struct Gzip {
    state: State,
    inflate: Decompress,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// In the ten fixed bytes; the flags are the fourth.
    Fixed {
        at: u8,
        flags: u8,
    },
    /// In the two bytes of the extra field's length.
    ExtraLength {
        low: Option<u8>,
        flags: u8,
    },
    Extra {
        left: u16,
        flags: u8,
    },
    /// Up to a zero byte.
    Text {
        flags: u8,
    },
    /// In the two bytes of the header's check.
    HeaderCheck {
        left: u8,
    },
    Data,
    Trailer {
        left: u8,
    },
}

impl Default for Gzip {
    fn default() -> Self {
        Self {
            state: State::Fixed { at: 0, flags: 0 },
            inflate: Decompress::new(false),
        }
    }
}

impl Gzip {
    pub(super) fn decode(
        &mut self,
        mut input: &[u8],
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        const MALFORMED: DecodeError = DecodeError::Malformed(Encoding::Gzip);
        while let [byte, rest @ ..] = input {
            let byte = *byte;
            if let State::Data = self.state {
                let (used, ended) = run_inflate(&mut self.inflate, input, sink)
                    .map_err(|error| error.unwrap_or(MALFORMED))?;
                input = input.get(used..).unwrap_or_default();
                if ended {
                    self.state = State::Trailer { left: 8 };
                }
                continue;
            }
            input = rest;
            self.state = match self.state {
                State::Fixed { at: 0, .. } if byte != 0x1f => return Err(MALFORMED),
                State::Fixed { at: 1, .. } if byte != 0x8b => return Err(MALFORMED),
                State::Fixed { at: 2, .. } if byte != 8 => return Err(MALFORMED),
                State::Fixed { at: 3, .. } => State::Fixed { at: 4, flags: byte },
                State::Fixed { at: 9, flags } => after_fixed(flags),
                State::Fixed { at, flags } => State::Fixed { at: at + 1, flags },
                State::ExtraLength { low: None, flags } => State::ExtraLength {
                    low: Some(byte),
                    flags,
                },
                State::ExtraLength {
                    low: Some(low),
                    flags,
                } => match u16::from_le_bytes([low, byte]) {
                    0 => after_fixed(flags),
                    left => State::Extra { left, flags },
                },
                State::Extra { left: 1, flags } => after_fixed(flags),
                State::Extra { left, flags } => State::Extra {
                    left: left - 1,
                    flags,
                },
                State::Text { flags } if byte == 0 => after_fixed(flags),
                State::HeaderCheck { left: 1 } => State::Data,
                State::HeaderCheck { left } => State::HeaderCheck { left: left - 1 },
                State::Trailer { left: 1 } => {
                    self.inflate.reset(false);
                    State::Fixed { at: 0, flags: 0 }
                }
                State::Trailer { left } => State::Trailer { left: left - 1 },
                state @ (State::Text { .. } | State::Data) => state,
            };
        }
        Ok(())
    }
}

/// The next optional part of the header that `flags` still asks for.
const fn after_fixed(flags: u8) -> State {
    if flags & EXTRA != 0 {
        State::ExtraLength {
            low: None,
            flags: flags & !EXTRA,
        }
    } else if flags & NAME != 0 {
        State::Text {
            flags: flags & !NAME,
        }
    } else if flags & COMMENT != 0 {
        State::Text {
            flags: flags & !COMMENT,
        }
    } else if flags & HEADER_CHECK != 0 {
        State::HeaderCheck { left: 2 }
    } else {
        State::Data
    }
}
