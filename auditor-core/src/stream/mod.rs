//! Records to ordered chunks: the bytes of each direction of each channel, or gaps of known size.
//!
//! The kernel side stamps each record with its position in its stream. Bytes seen at both ends come once; what one
//! end lost is taken from the other; who moved them is remembered from both. Bounds: see [`Limits`].

mod chunk;
mod delay;
mod flow;
mod streams;
mod testimony;
#[cfg(test)]
mod tests;
mod tls;
#[cfg(test)]
mod tls_tests;
mod unbound;

pub use chunk::{Binding, Channel, ChannelKind, Chunk, Content, EndCause, GapCause, Socket};
pub use streams::{Limits, Revocation, Streams};
