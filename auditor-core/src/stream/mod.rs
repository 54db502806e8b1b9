//! Records to ordered chunks: the bytes of each direction of each channel, or gaps of known size.

mod chunk;

pub use chunk::{Channel, ChannelKind, Chunk, Content, EndCause, GapCause, Socket};
