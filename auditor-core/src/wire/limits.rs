//! The bounds of the wire stage. Values only; each is enforced where it says.

use super::{http, sse};

/// Bounds of one [`Wire`](super::Wire), in bytes unless said otherwise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Kept of one message. Beyond it only its size and its SHA-256 go on.
    pub message: usize,
    /// Kept of all unfinished messages of one channel together. At this bound no unfinished
    /// message grows further; it is then cut like one that reached [`message`](Self::message).
    pub channel: usize,
    /// Size of one HTTP head, as transferred and as decoded. A larger one is not understood, and
    /// framing is found again at the next head (HTTP/1.1) or the stream is unknown (HTTP/2).
    pub head: usize,
    /// Number of HTTP/1.1 requests that wait for their response. At this bound the oldest is
    /// given up.
    pub pipeline: usize,
    /// Number of open HTTP/2 streams. At this bound the least recently used is given up.
    pub streams: usize,
    /// Number of compressed bodies that are undone at the same time. Further ones are not heard
    /// and reported as a gap.
    pub decoders: usize,
    /// Undone size of a compressed body that is always accepted.
    pub decoded: u64,
    /// Ratio of undone to transferred size above which a body larger than
    /// [`decoded`](Self::decoded) is given up and reported as a gap.
    pub ratio: u64,
    /// Number of items that wait to be polled. Messages beyond it are reported as a gap.
    pub items: usize,
    /// Distance at which uninteresting bytes are reported as [`Item::Quiet`](super::Item::Quiet).
    pub quiet: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 16 << 20,
            channel: 32 << 20,
            head: 64 << 10,
            pipeline: 256,
            streams: 512,
            decoders: 16,
            decoded: 64 << 20,
            ratio: 200,
            items: 1 << 17,
            quiet: 64 << 10,
        }
    }
}

impl Limits {
    /// What [`Wire::buffered`](super::Wire::buffered) stays below once all items are polled.
    ///
    /// What decoders hold comes on top: at most 16 MiB for each of [`decoders`](Self::decoders).
    pub const fn bound(&self) -> usize {
        // Two directions, each with a head or header block and an HPACK table.
        let directions = 2 * (self.head.saturating_mul(2)).saturating_add(64 << 10);
        // Each exchange has two heads and the fields of an event in each of its bodies.
        let exchanges = self.streams.saturating_add(self.pipeline.saturating_mul(2));
        let heads = exchanges.saturating_mul(2 * (http::MAX_HEAD + sse::MAX_HELD));
        // A message that waits for the end of its line, in each direction.
        let unproven = self.message.saturating_mul(2);
        self.channel
            .saturating_add(unproven)
            .saturating_add(heads)
            .saturating_add(directions)
    }
}
