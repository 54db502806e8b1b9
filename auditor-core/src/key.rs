//! Names of the things the pipeline speaks about: times, processes, channels.
//!
//! Plain values, no behaviour beyond arithmetic and formatting.

use std::fmt;

/// A point in time: nanoseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Time(pub u64);

impl Time {
    /// This time moved forward by `nanos` nanoseconds.
    #[must_use]
    pub const fn after(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Nanoseconds from `earlier` to this time; 0 if `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole milliseconds since the Unix epoch, the unit of OCSF timestamps.
    pub const fn millis(self) -> u64 {
        self.0 / 1_000_000
    }
}

/// One process for ever: a reused pid has another start time.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ProcessKey {
    /// Process (thread group) id in the root pid namespace.
    pub pid: u32,
    /// Start time in nanoseconds since boot, suspend included.
    pub start: u64,
}

/// The thread that did something, with its process.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Actor {
    /// The process.
    pub process: ProcessKey,
    /// The thread, in the root pid namespace.
    pub tid: u32,
}

/// Identifies one [`Channel`](crate::stream::Channel) for the life of the daemon; never reused.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ChannelId(pub u64);

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// An end of a channel. As a direction it names the sender.
///
/// On TCP, `A` is the end that connected, where that is known. A pipe carries only `A` to `B`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Side {
    /// The first end.
    A,
    /// The other end.
    B,
}

impl Side {
    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// 0 for `A`, 1 for `B`: an index into per-direction arrays.
    pub const fn index(self) -> usize {
        self as usize
    }
}
